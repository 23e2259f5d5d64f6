/** The one menu: of a message, a chat, a member, the account. It opens where it was asked for, and by the keyboard. */

import { html, useLayoutEffect, useRef } from "../vendor/preact.js";
import { stage } from "../model/stage.js";
import { useObserved } from "../observed.js";
import { say } from "../words.js";
import { Icon } from "./icons.js";

export const QUICK = ["👍", "❤️", "😂", "😮", "😢", "🙏"];
const MARGIN = 8;

/** Where the pointer was, or beside what was worked by a key. @param {Event} event */
export function menuAt(event, menu) {
  event.preventDefault();
  if (event instanceof MouseEvent && event.type === "contextmenu" && (event.clientX || event.clientY)) {
    return stage.openMenu({ x: event.clientX, y: event.clientY, ...menu });
  }
  const box = /** @type {HTMLElement} */ (event.currentTarget ?? event.target).getBoundingClientRect();
  stage.openMenu({ x: box.left, y: box.bottom + 4, ...menu });
}

export function Menu() {
  useObserved(stage);
  const { menu } = stage;
  return menu && html`<${Opened} key=${`${menu.x} ${menu.y}`} menu=${menu} />`;
}

function Opened({ menu }) {
  const ref = useRef(null);
  useLayoutEffect(() => {
    const box = ref.current;
    const before = document.activeElement;
    const x = Math.max(MARGIN, Math.min(menu.x, innerWidth - box.offsetWidth - MARGIN));
    const y = Math.max(MARGIN, Math.min(menu.y, innerHeight - box.offsetHeight - MARGIN));
    box.style.left = `${x}px`;
    box.style.top = `${y}px`;
    items(box)[0]?.focus({ preventScroll: true });
    return () => {
      // Not when an item has opened something that took the focus.
      if (before instanceof HTMLElement && before.isConnected && !document.querySelector("dialog[open]")) {
        if (document.activeElement === document.body) before.focus({ preventScroll: true });
      }
    };
  }, []);
  const choose = (act) => {
    stage.closeMenu();
    act();
  };
  const close = (event) => {
    event.preventDefault();
    stage.closeMenu();
  };
  return html`<div class="veil" onClick=${() => stage.closeMenu()} onContextMenu=${close}>
    <div class="menu" ref=${ref} role="menu" aria-label=${menu.label} onKeyDown=${walk}
        onClick=${(event) => event.stopPropagation()}>
      ${menu.reactTo && html`<div class="menu-reactions" role="group" aria-label=${say("message.react")}>
        ${QUICK.map((emoji) => html`<button type="button" role="menuitem" tabindex="-1" class="emoji" key=${emoji}
          aria-label=${say("message.reactWith", { emoji })}
          onClick=${() => choose(() => menu.reactTo(emoji))}>${emoji}</button>`)}
        <button type="button" role="menuitem" tabindex="-1" class="emoji" aria-label=${say("emoji.more")}
            onClick=${() => choose(() => stage.ask("emoji", { choose: menu.reactTo }))}>
          <${Icon} name="down" size=${16} />
        </button>
      </div>`}
      ${menu.items.filter(Boolean).map(({ icon, label, danger, checked, act }) => html`
        <button type="button" key=${label} role=${checked === undefined ? "menuitem" : "menuitemradio"}
            aria-checked=${checked} tabindex="-1" class=${danger ? "menu-item danger" : "menu-item"}
            onClick=${() => choose(act)}>
          <${Icon} name=${icon} />
          <span>${label}</span>
          ${checked && html`<${Icon} name="check" size=${16} />`}
        </button>`)}
    </div>
  </div>`;
}

const items = (box) => [...box.querySelectorAll("button")];

function walk(event) {
  const all = items(event.currentTarget);
  const at = all.indexOf(document.activeElement);
  const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
  event.stopPropagation();
  if (step) all.at((at + step + all.length) % all.length)?.focus();
  else if (event.key === "Home") all[0]?.focus();
  else if (event.key === "End") all.at(-1)?.focus();
  else if (event.key === "Escape" || event.key === "Tab") stage.closeMenu();
  else return;
  event.preventDefault();
}
