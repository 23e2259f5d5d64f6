/** The whole page: what is shown to whom, and the keys that work everywhere. */

import { html, useEffect } from "../vendor/preact.js";
import { account } from "../model/account.js";
import { chats } from "../model/chats.js";
import { keyOf } from "../model/keys.js";
import { place, toChat } from "../model/place.js";
import { stage } from "../model/stage.js";
import { useObserved } from "../observed.js";
import { language, say } from "../words.js";
import { Chat } from "./chat.js";
import { Dialogs } from "./dialogs.js";
import { Info } from "./info.js";
import { Menu } from "./menu.js";
import { search } from "./search.js";
import { Sidebar } from "./sidebar.js";
import { SignIn } from "./signin.js";

export function Page() {
  useObserved(account, language);
  if (account.phase === "starting") return html`<main class="starting"><p class="late" role="status">${say("line.connecting")}</p></main>`;
  if (account.phase === "out") return html`<${SignIn} />`;
  return html`<${Desk} />`;
}

function Desk() {
  useObserved(place, stage);
  useEffect(() => {
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
  return html`<div class="desk" data-pane=${place.chatId ? "chat" : "list"} data-info=${stage.isInfoOpen && place.chatId ? "open" : "closed"}>
    <${Sidebar} /><${Chat} /><${Info} />
    <${Menu} /><${Dialogs} />
    <div class="word" role="status">${stage.word && html`<p>${stage.word}</p>`}</div>
    ${stage.hasNewVersion && html`<p class="new-version" role="status">${say("version.new")} <button type="button" class="button link" onClick=${() => location.reload()}>${say("version.reload")}</button></p>`}
  </div>`;
}

const ACTS = {
  switcher: () => stage.ask("switcher"),
  search: () => { place.chatId ? search.open(place.chatId) : search.open(); setTimeout(() => document.getElementById("search")?.focus()); },
  help: () => stage.ask("keys"),
  nextUnread: () => step((chat) => chat.unread > 0, 1),
  nextChat: () => step(() => true, 1),
  previousChat: () => step(() => true, -1),
  landmark: nextLandmark,
  close() {
    if (search.isOpen) return search.close();
    if (stage.isInfoOpen) return stage.toggleInfo(false);
    if (place.chatId) place.go("#");
  },
};

function press(event) {
  if (stage.dialog || stage.menu || event.defaultPrevented) return;
  const isTyping = event.target.closest?.("input, textarea, select");
  if (isTyping && event.key === "?") return;
  const name = keyOf(event, "page");
  if (!name || (isTyping && name === "close" && event.target.id === "composer" && event.target.value)) return;
  event.preventDefault();
  ACTS[name]();
}

/** The next chat in the list, counted from this one, that fits. */
function step(fits, direction) {
  const list = chats.list();
  const here = list.findIndex((chat) => chat.chat_id === place.chatId);
  for (let away = 1; away <= list.length; away += 1) {
    const from = here < 0 && direction < 0 ? 0 : here;
    const chat = list.at((from + away * direction) % list.length);
    if (chat && chat.chat_id !== place.chatId && fits(chat)) return place.go(toChat(chat.chat_id));
  }
}

/** From one part of the page to the next: list, messages, writing, panel. */
function nextLandmark() {
  const stops = [".sidebar #search, .sidebar a[aria-current]", ".message[tabindex='0']", "#composer", ".info button"]
    .map((stop) => /** @type {HTMLElement | null} */ (document.querySelector(stop)))
    .filter((stop) => stop !== null && stop.offsetParent !== null);
  const at = stops.findIndex((stop) => stop.closest(".sidebar, .messages, .composer, .info") === document.activeElement?.closest(".sidebar, .messages, .composer, .info"));
  stops[(at + 1) % stops.length]?.focus();
}
