/** One message as a bubble, and one that is still on its way. */

import { Component, html } from "../vendor/preact.js";
import { account, client } from "../model/account.js";
import { chats } from "../model/chats.js";
import { clock, exact } from "../model/dates.js";
import { outbox } from "../model/outbox.js";
import { hue, people } from "../model/people.js";
import { toMessage } from "../model/place.js";
import { stage } from "../model/stage.js";
import { say } from "../words.js";
import { Icon, Ticks } from "./icons.js";
import { menuAt } from "./menu.js";
import { messageMenu } from "./message-menu.js";
import { attempt, Avatar, sentence } from "./parts.js";
import { Words } from "./text.js";

const HOLD = 500;
const BIG = /^\p{Extended_Pictographic}(\u200d\p{Extended_Pictographic}|\ufe0f|\p{Emoji_Modifier})*$/u;

/** Drawn again only when something of it has changed: a long chat has many of them. */
export class Message extends Component {
  shouldComponentUpdate(next) {
    return Object.keys(next).some((name) => next[name] !== this.props[name]);
  }

  #menu = () => {
    const { message, timeline } = this.props;
    return messageMenu({ chat: chats.get(message.chat_id), timeline, message });
  };

  #open = (event) => menuAt(event, this.#menu());

  render({ message, isDirect, quote, fate, isFirst, isLast, isTabStop }) {
    const isMine = message.sender_id === account.id;
    const isNamed = !isMine && !isDirect;
    const classes = `message ${isMine ? "mine" : "theirs"}${isFirst ? " first" : ""}${isLast ? " last" : ""}`;
    return html`<li class=${classes} data-id=${message.message_id} data-seq=${message.seq}
        tabindex=${isTabStop ? 0 : -1} onContextMenu=${this.#open} ...${holding(this.#menu)}>
      ${isNamed && html`<span class="message-side">
        ${isLast && html`<${Avatar} id=${message.sender_id} name=${message.sender_name} size=${32}
          userId=${message.sender_id} />`}
      </span>`}
      <div class="bubble">
        ${isNamed && isFirst
          ? html`<span class="author" data-hue=${hue(message.sender_id)}>${message.sender_name}</span>`
          : html`<span class="unseen">${isMine ? say("you") : message.sender_name}: </span>`}
        ${message.deleted
          ? html`<p class="text gone">${say("message.deleted")}<${Meta} message=${message} /></p>`
          : html`
            ${message.reply_to && html`<${Quote} message=${quote} chatId=${message.chat_id} id=${message.reply_to} />`}
            <p class=${BIG.test(message.text) ? "text big" : "text"}>
              <span class="words"><${Words} text=${message.text} me=${account.user?.user_name ?? ""} /></span>
              <${Meta} message=${message} fate=${fate} isDirect=${isDirect} />
            </p>
            <${Reactions} message=${message} />`}
      </div>
      ${!message.deleted && html`<button type="button" class="button more" tabindex="-1" aria-haspopup="menu"
        aria-label=${say("message.actions")} onClick=${this.#open}><${Icon} name="more" /></button>`}
    </li>`;
  }
}

function Meta({ message, fate, isDirect }) {
  return html`<span class="meta">
    ${message.edited_at && !message.deleted && html`
      <span class="edited" title=${exact(message.edited_at)}>${say("message.edited")}</span> `}
    <time datetime=${message.sent_at} title=${exact(message.sent_at)}>${clock(message.sent_at)}</time>
    ${fate && html`<${Tick} fate=${fate} message=${message} isDirect=${isDirect} />`}
  </span>`;
}

function Tick({ fate, message, isDirect }) {
  const word = say(`tick.${fate}`);
  const ticks = html`<${Ticks} count=${fate === "stored" ? 1 : 2} /><span class="unseen">${word}</span>`;
  if (isDirect) return html`<span class=${`tick ${fate}`} title=${word}>${ticks}</span>`;
  const askReaders = () => stage.ask("readers", { chat: chats.get(message.chat_id), message });
  return html`<button type="button" class=${`tick ${fate}`} tabindex="-1" title=${say("tick.who")}
    onClick=${askReaders}>${ticks}</button>`;
}

function Quote({ message, chatId, id }) {
  const isGone = message === null || message?.deleted;
  return html`<a class="quote" href=${toMessage(chatId, id)} tabindex="-1"
      data-hue=${message ? hue(message.sender_id) : 0}>
    <span class="quote-author cut">${message?.sender_name ?? ""}</span>
    <span class="cut">${isGone ? say("message.deleted") : (message?.text ?? "…")}</span>
  </a>`;
}

function Reactions({ message }) {
  if (!message.reactions?.length) return null;
  return html`<ul class="reactions" role="list" aria-label=${say("message.reactions")}>
    ${message.reactions.map(({ emoji, user_ids: userIds }) => {
      const isMine = userIds.includes(account.id);
      const nameOf = (id) => (id === account.id ? say("you") : people.name(id));
      const names = userIds.slice(0, 10).map(nameOf).filter(Boolean);
      return html`<li key=${emoji}>
        <button type="button" class="reaction" aria-pressed=${isMine} tabindex="-1" title=${names.join(", ")}
            aria-label=${say("message.reacted", { emoji, count: userIds.length })}
            onClick=${() => react(message, emoji)}>
          <span class="emoji">${emoji}</span>
          <span>${userIds.length}</span>
        </button>
      </li>`;
    })}
  </ul>`;
}

/** A second time takes it back. */
export function react(message, emoji) {
  const mine = message.reactions.find((one) => one.emoji === emoji)?.user_ids.includes(account.id);
  const { chat_id: chatId, message_id: id } = message;
  return attempt(() => (mine ? client.unreact(chatId, id, emoji) : client.react(chatId, id, emoji)));
}

/** A finger that stays opens the menu, also where the browser makes no `contextmenu` of it. */
function holding(menu) {
  let timer = 0;
  const end = () => clearTimeout(timer);
  return {
    onTouchStart: ({ touches: [{ clientX: x, clientY: y }] }) => {
      timer = setTimeout(() => stage.openMenu({ x, y, ...menu() }), HOLD);
    },
    onTouchEnd: end,
    onTouchMove: end,
    onTouchCancel: end,
  };
}

/** Typed, and not yet stored; or refused, and then it keeps its words and says why. */
export function Letter({ letter, timeline, isFirst, isLast, isTabStop }) {
  const { failure } = letter;
  const classes = `message mine${isFirst ? " first" : ""}${isLast ? " last" : ""}${failure ? " failed" : " waiting"}`;
  return html`<li class=${classes} data-id=${letter.client_id} tabindex=${isTabStop ? 0 : -1}>
    <div class="bubble">
      <span class="unseen">${say("you")}: </span>
      ${letter.reply_to && html`<${Quote} message=${timeline.quoted(letter.reply_to)} chatId=${letter.chat_id}
        id=${letter.reply_to} />`}
      <p class="text">
        <span class="words"><${Words} text=${letter.text} /></span>
        <span class="meta">
          <time datetime=${letter.sent_at}>${clock(letter.sent_at)}</time>
          <span class="tick">
            <${Icon} name=${failure ? "alert" : "clock"} size=${14} />
            <span class="unseen">${say(failure ? "tick.failed" : "tick.waiting")}</span>
          </span>
        </span>
      </p>
      ${failure && html`<p class="failure">
        <span>${sentence(failure)}</span>
        <button type="button" class="button link" onClick=${() => outbox.again(letter.client_id)}>
          ${say("again")}
        </button>
        <button type="button" class="button link" onClick=${() => outbox.drop(letter.client_id)}>
          ${say("message.delete")}
        </button>
      </p>`}
    </div>
  </li>`;
}
