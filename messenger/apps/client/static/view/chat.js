/** One chat: who it is with, what was said, and the place to say something. */

import { html, useEffect } from "../vendor/preact.js";
import { chats, isDirect, isNotes, nameOfChat } from "../model/chats.js";
import { outbox } from "../model/outbox.js";
import { people } from "../model/people.js";
import { place } from "../model/place.js";
import { presence, typing } from "../model/presence.js";
import { announcer, stage } from "../model/stage.js";
import { timelines } from "../model/timeline.js";
import { useObserved } from "../observed.js";
import { language, say } from "../words.js";
import { Composer } from "./composer.js";
import { Icon } from "./icons.js";
import { Letter } from "./message.js";
import { Messages } from "./messages.js";
import { Avatar, Button, Empty, Skeleton, sentence } from "./parts.js";
import { search } from "./search.js";
import { Line, typingWord } from "./sidebar.js";

export function Chat() {
  useObserved(place, chats, language);
  const { chatId, messageId, visit } = place;
  const chat = chatId && chats.get(chatId);
  if (!chatId) {
    return html`<main class="chat none" aria-label=${say("app.name")}>
      <${Empty} icon="group" text=${say("chat.choose")} />
    </main>`;
  }
  if (!chat) {
    return html`<main class="chat none" aria-label=${say("app.name")}>
      <${Empty} icon="alert" text=${say("chat.missing")} action=${say("back")} onAction=${() => place.go("#")} />
      <${Unsent} chatId=${chatId} />
    </main>`;
  }
  return html`<${OpenChat} key=${chatId} chat=${chat} messageId=${messageId} visit=${visit} />`;
}

/** What was said too late, or before the chat could be read, keeps its words. */
function Unsent({ chatId }) {
  useObserved(outbox);
  const letters = outbox.of(chatId);
  return letters.length > 0 && html`<ol class="message-list" role="list" aria-label=${say("chat.messages")}>
    ${letters.map((letter) => html`<${Letter} key=${letter.client_id} letter=${letter} timeline=${timelines.of(chatId)}
      isFirst isLast isTabStop />`)}
  </ol>`;
}

function OpenChat({ chat, messageId, visit }) {
  const timeline = timelines.of(chat.chat_id);
  useObserved(timeline, announcer);
  useEffect(() => {
    if (messageId) timeline.toMessage(messageId);
    else if (!timeline.isOpen) timeline.open("unread");
    else timeline.returns();
  }, [timeline, messageId, visit]);
  return html`<main class="chat" aria-label=${nameOfChat(chat)}>
    <${Head} chat=${chat} />
    ${timeline.isOpen
      ? html`<${Messages} timeline=${timeline} chat=${chat} />`
      : html`<div class="messages-place"><div class="messages">
        ${timeline.failure
          ? html`<${Empty} icon="alert" text=${sentence(timeline.failure)} action=${say("again")}
            onAction=${() => timeline.open("unread")} />`
          : html`<${Skeleton} rows=${8} />`}
        <${Unsent} chatId=${chat.chat_id} />
      </div></div>`}
    <div class="narrow-only"><${Line} /></div>
    <${Composer} chat=${chat} timeline=${timeline} />
    <p class="unseen" aria-live="polite">${announcer.text}</p>
  </main>`;
}

function Head({ chat }) {
  useObserved(typing, presence, people, stage);
  const name = nameOfChat(chat);
  const who = typing.in(chat.chat_id);
  const openSearch = () => {
    search.open(chat.chat_id);
    document.getElementById("search")?.focus();
    place.go(narrow() ? "#" : location.hash);
  };
  return html`
    <header class="bar chat-head">
      <a class="button plain narrow-only" href="#" aria-label=${say("back")} title=${say("back")}>
        <${Icon} name="back" />
      </a>
      <button type="button" class="chat-title" aria-expanded=${stage.isInfoOpen} onClick=${() => stage.toggleInfo()}>
        <${Avatar} id=${chat.peer_id ?? chat.chat_id} name=${name} size=${36} icon=${isNotes(chat) ? "pencil" : null}
          userId=${isNotes(chat) ? null : (chat.peer_id ?? null)} />
        <span class="chat-title-words">
          <span class="chat-title-name cut">${name}</span>
          <span class="chat-title-state cut">
            ${who.length ? html`<span class="typing">${typingWord(chat, who)}</span>` : state(chat)}
          </span>
        </span>
      </button>
      <${Button} icon="search" label=${say("search.inChat")} onClick=${openSearch} />
      <${Button} icon="info" label=${say("info.title")} aria-expanded=${stage.isInfoOpen}
        onClick=${() => stage.toggleInfo()} />
    </header>`;
}

const narrow = () => matchMedia("(max-width: 719px)").matches;

function state(chat) {
  if (isNotes(chat)) return say("chat.notesState");
  if (isDirect(chat)) return presence.isOnline(chat.peer_id) ? say("presence.online") : say("presence.unknown");
  return say("chat.members", { count: chat.member_count });
}
