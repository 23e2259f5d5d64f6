/** The list of chats, and above it the search that takes its place while something is asked. */

import { html, useEffect, useState } from "../vendor/preact.js";
import { account, client } from "../model/account.js";
import { chats, isDirect, isMuted, isNotes, nameOfChat } from "../model/chats.js";
import { brief } from "../model/dates.js";
import { line } from "../model/desk.js";
import { outbox } from "../model/outbox.js";
import { people } from "../model/people.js";
import { place, toChat } from "../model/place.js";
import { typing } from "../model/presence.js";
import { drafts, preferences } from "../model/preferences.js";
import { stage } from "../model/stage.js";
import { useObserved } from "../observed.js";
import { language, say } from "../words.js";
import { Icon, Ticks } from "./icons.js";
import { menuAt } from "./menu.js";
import { attempt, Avatar, Button, Empty, walkRows } from "./parts.js";
import { SearchResults, search } from "./search.js";

export function Sidebar() {
  useObserved(search);
  const isSearching = search.isOpen;
  return html`<nav class="sidebar" aria-label=${say("chats.title")}>
    <header class="bar">
      <${Button} icon="menu" label=${say("menu.title")} aria-haspopup="menu" onClick=${openAccountMenu} />
      <${SearchField} />
      <${Button} icon="pencil" label=${say("chats.new")} onClick=${() => stage.ask("newChat")} />
    </header>
    ${isSearching ? html`<${SearchResults} />` : html`<${ChatList} />`}
    <${Line} />
  </nav>`;
}

function SearchField() {
  useObserved(search, language);
  const press = (event) => {
    if (event.key === "Escape") {
      event.stopPropagation();
      search.close();
      event.target.blur();
    }
    if (event.key === "ArrowDown") {
      event.preventDefault();
      firstRow()?.focus();
    }
  };
  return html`<div class="search-field" role="search">
    <${Icon} name="search" size=${16} />
    <input id="search" type="search" value=${search.query}
      placeholder=${say("search.placeholder")} aria-label=${say("search.placeholder")}
      autocomplete="off" spellcheck="false" maxlength="256" onClick=${() => search.open()}
      onInput=${(event) => search.ask(event.target.value)} onKeyDown=${press} />
    ${search.isOpen && html`<${Button} icon="close" label=${say("search.close")} onClick=${() => search.close()} />`}
  </div>`;
}

/** @returns {HTMLElement | null} */
const firstRow = () => document.querySelector(".sidebar .scroll a, .sidebar .scroll button");

/** How the line is: said only when it is not well, and below, so that nothing moves away from a finger. */
export function Line() {
  useObserved(line, outbox, language);
  const [, tick] = useState(0);
  const isLost = line.phase !== "online" && line.phase !== "ended";
  useEffect(() => {
    if (!isLost || !line.retryAt) return;
    const timer = setInterval(() => tick((count) => count + 1), 1_000);
    return () => clearInterval(timer);
  }, [isLost, line.retryAt]);
  const seconds = line.retryAt ? Math.max(0, Math.ceil((line.retryAt - Date.now()) / 1_000)) : 0;
  const word = line.phase === "offline" && seconds > 0 ? say("line.retry", { count: seconds })
    : line.phase === "updating" ? say("line.updating") : say("line.connecting");
  return html`<div class="line" role="status" data-phase=${line.phase}>
    ${isLost && html`
      <span class="line-word">
        ${word}${outbox.waiting > 0 && ` · ${say("line.waiting", { count: outbox.waiting })}`}
      </span>
      ${line.phase === "offline" && html`<button type="button" class="button link" onClick=${() => client.retryNow()}>
        ${say("line.now")}
      </button>`}`}
  </div>`;
}

function ChatList() {
  useObserved(chats, place, language, preferences, typing, people, outbox);
  const list = chats.list();
  const gone = outbox.chatIds().filter((chatId) => !chats.get(chatId));
  if (!list.length && !gone.length) {
    return html`<${Empty} icon="group" text=${say("chats.none")} action=${say("chats.findPeople")}
      onAction=${() => document.getElementById("search").focus()} />`;
  }
  return html`<ul class="scroll chats" role="list" onKeyDown=${walkRows}>
    ${list.map((chat) => html`<${ChatRow} key=${chat.chat_id} chat=${chat} isHere=${chat.chat_id === place.chatId} />`)}
    ${gone.map((chatId) => html`<${GoneRow} key=${chatId} chatId=${chatId} />`)}
  </ul>`;
}

function ChatRow({ chat, isHere }) {
  const name = nameOfChat(chat);
  const last = chat.last_message;
  const isMine = last?.sender_id === account.id;
  const time = last ? last.sent_at : chat.created_at;
  const isReadByAll = last && chat.read_by_all_seq >= last.seq;
  return html`<li>
    <a class="row-link chat-row" href=${toChat(chat.chat_id)} aria-current=${isHere ? "page" : undefined}
        data-chat=${chat.chat_id} onContextMenu=${(event) => menuAt(event, chatMenu(chat))}>
      <${Avatar} id=${chat.peer_id ?? chat.chat_id} name=${name} userId=${isNotes(chat) ? null : (chat.peer_id ?? null)}
        icon=${isNotes(chat) ? "pencil" : null} />
      <span class="chat-row-name">
        <span class="cut">${name}</span>
        ${isMuted(chat) && html`<${Icon} name="bellOff" size=${14} /><span class="unseen">${say("chat.muted")}</span>`}
      </span>
      <span class="chat-row-time">
        ${isMine && !last.deleted && html`<span class=${isReadByAll ? "tick all" : "tick"}>
          <${Ticks} count=${isReadByAll ? 2 : 1} />
          <span class="unseen">${say(isReadByAll ? "tick.all" : "tick.stored")}</span>
        </span>`}
        <time datetime=${time}>${brief(time)}</time>
      </span>
      <span class="chat-row-last cut"><${LastLine} chat=${chat} /></span>
      ${chat.unread > 0 && html`<span class=${isMuted(chat) ? "badge muted" : "badge"}
        aria-label=${say("chats.unread", { count: chat.unread })}>${chat.unread > 999 ? "999+" : chat.unread}</span>`}
    </a>
  </li>`;
}

/** A chat that I am not in any more, as long as something is kept that was said to it too late. */
function GoneRow({ chatId }) {
  return html`<li>
    <a class="row-link chat-row" href=${toChat(chatId)} aria-current=${chatId === place.chatId ? "page" : undefined}>
      <${Avatar} id=${chatId} name="" icon="alert" />
      <span class="chat-row-name cut">${say("chats.gone")}</span>
      <span class="chat-row-last cut">${outbox.of(chatId).at(-1).text}</span>
    </a>
  </li>`;
}

function LastLine({ chat }) {
  const who = typing.in(chat.chat_id);
  if (who.length) return html`<span class="typing">${typingWord(chat, who)}</span>`;
  const draft = drafts.of(account.id, chat.chat_id);
  if (draft && chat.chat_id !== place.chatId) return html`<span class="draft">${say("chat.draft")}</span> ${draft}`;
  const waiting = outbox.of(chat.chat_id).at(-1);
  if (waiting) return html`<${Icon} name=${waiting.failure ? "alert" : "clock"} size=${14} /> ${waiting.text}`;
  const last = chat.last_message;
  if (!last) return say("chat.empty");
  if (last.deleted) return html`<em>${say("message.deleted")}</em>`;
  const author = last.sender_id === account.id ? say("you") : last.sender_name;
  return isDirect(chat) ? last.text : html`<span class="chat-row-author">${author}:</span> ${last.text}`;
}

export function typingWord(chat, who) {
  if (isDirect(chat)) return say("typing.here");
  const names = who.map((userId) => people.name(userId)).filter(Boolean);
  if (names.length === 1) return say("typing.one", { name: names[0] });
  return say("typing.many", { count: Math.max(2, who.length) });
}

export function chatMenu(chat) {
  const isSilent = isMuted(chat);
  const openInfo = () => {
    place.go(toChat(chat.chat_id));
    stage.toggleInfo(true);
  };
  return {
    label: nameOfChat(chat),
    items: [
      isSilent
        ? { icon: "bell", label: say("chat.unmute"), act: () => attempt(() => chats.mute(chat.chat_id, null)) }
        : { icon: "bellOff", label: say("chat.mute"), act: () => stage.ask("mute", { chat }) },
      { icon: "info", label: say("info.title"), act: openInfo },
    ],
  };
}

function openAccountMenu(event) {
  menuAt(event, {
    label: say("menu.title"),
    items: [
      { icon: "person", label: say("profile.title"), act: () => stage.ask("profile") },
      { icon: "device", label: say("devices.title"), act: () => stage.ask("devices") },
      { icon: "palette", label: say("settings.title"), act: () => stage.ask("settings") },
      { icon: "keyboard", label: say("keys.title"), act: () => stage.ask("keys") },
      { icon: "exit", label: say("signout"), danger: true, act: () => stage.ask("signOut") },
    ],
  });
}
