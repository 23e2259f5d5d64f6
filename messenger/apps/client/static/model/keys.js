/** Every key that means something, once: for the listeners, and for the page that explains them. */

/** `where`: everywhere; `message`: while a message has the focus; `composer`: while one writes. */
export const KEYS = [
  { where: "page", name: "switcher", keys: ["Control+k", "Meta+k"] },
  { where: "page", name: "search", keys: ["Control+f", "Meta+f"] },
  { where: "page", name: "nextUnread", keys: ["Alt+n"] },
  { where: "page", name: "previousChat", keys: ["Alt+ArrowUp"] },
  { where: "page", name: "nextChat", keys: ["Alt+ArrowDown"] },
  { where: "page", name: "landmark", keys: ["Control+F6", "F6"] },
  { where: "page", name: "help", keys: ["?", "Control+/"] },
  { where: "page", name: "close", keys: ["Escape"] },
  { where: "message", name: "next", keys: ["j", "ArrowDown"] },
  { where: "message", name: "previous", keys: ["k", "ArrowUp"] },
  { where: "message", name: "reply", keys: ["r"] },
  { where: "message", name: "quoted", keys: ["q"] },
  { where: "message", name: "edit", keys: ["e"] },
  { where: "message", name: "react", keys: ["+"] },
  { where: "message", name: "copy", keys: ["c"] },
  { where: "message", name: "delete", keys: ["Delete"] },
  { where: "message", name: "menu", keys: ["Enter", "ContextMenu"] },
  { where: "composer", name: "send", keys: ["Enter"] },
  { where: "composer", name: "newLine", keys: ["Shift+Enter"] },
  { where: "composer", name: "editLast", keys: ["ArrowUp"] },
  { where: "composer", name: "cancel", keys: ["Escape"] },
];

const typed = (event) => [event.ctrlKey && "Control", event.metaKey && "Meta", event.altKey && "Alt",
  event.shiftKey && event.key.length > 1 && "Shift", event.key].filter(Boolean).join("+");

/** @returns {string | null} the name of what this key means there */
export function keyOf(event, where) {
  const key = typed(event);
  return KEYS.find((one) => one.where === where && one.keys.includes(key))?.name ?? null;
}

/** For people: "Ctrl K". */
export function shown(keys) {
  const isMac = /Mac|iPhone|iPad/.test(navigator.userAgent);
  const own = keys.find((key) => key.startsWith("Meta+") === isMac) ?? keys[0];
  const names = { Control: "Ctrl", Meta: "⌘", ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc", Delete: "Del" };
  const word = (part) => names[part] ?? (part.length === 1 ? part.toUpperCase() : part);
  return own.split("+").filter(Boolean).map(word).join(" ") || "+";
}
