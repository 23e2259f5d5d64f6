/**
 * What was said, as much of it as is near the reader. Of a long chat only some rows are on the page; they come and go
 * at both ends, and the text before the reader's eyes stays where it is whatever happens above or below.
 */

import { Component, html } from "../vendor/preact.js";
import { account } from "../model/account.js";
import { chats, isDirect } from "../model/chats.js";
import { day, dayOf } from "../model/dates.js";
import { outbox } from "../model/outbox.js";
import { reading } from "../model/reading.js";
import { language, say } from "../words.js";
import { Letter, Message } from "./message.js";
import { Icon } from "./icons.js";
import { actOn } from "./message-menu.js";

const ROWS = 120;
const STEP = 15;
/** How near an end more rows are put there, and how near to that more are asked for, in pixels. */
const NEAR = 1_200;
const NEARER = 600;
/** With more than this out of view rows go, and still enough are left at both ends. */
const FAR = 4 * NEAR;
const AT_END = 24;
const TOGETHER = 5 * 60_000;

export class Messages extends Component {
  #box = null;
  #frame = 0;
  #aims = 0;
  #isAtEnd = true;
  #size = null;
  #endings = [];
  /** The rows on the page: from this `seq` to that one. */
  state = { low: 0, high: Infinity, focused: null };

  static getDerivedStateFromProps({ timeline }, { low, high, aims, first, ...state }) {
    const newFirst = timeline.first?.seq;
    if (timeline.aims !== aims) return { ...state, ...around(timeline), aims: timeline.aims, first: newFirst };
    // Rows of an older page come with it: what stood at the edge may become less high, and above it there is no room.
    if (low === first && newFirst < first) low = stepAbove(timeline.messages, first);
    return { low, first: newFirst };
  }

  componentDidMount() {
    const again = () => this.setState({});
    this.#endings = [outbox.watch(again), chats.watch(again)];
    this.#size = new ResizeObserver(() => this.#isAtEnd && this.#toEnd());
    this.#size.observe(this.#box);
    for (const event of ["focus", "visibilitychange"]) addEventListener(event, this.#look, true);
    this.componentDidUpdate(null, null, null);
  }

  componentWillUnmount() {
    cancelAnimationFrame(this.#frame);
    this.#size.disconnect();
    for (const end of this.#endings) end();
    for (const event of ["focus", "visibilitychange"]) removeEventListener(event, this.#look, true);
    this.props.timeline.leaves(this.#isAtEnd ? null : this.#anchor());
    reading.sees(this.props.chat.chat_id, null);
  }

  /** What stays in its place: the first row in view, or the end. Scrolls that nobody has told yet count. */
  getSnapshotBeforeUpdate(_props, { high }) {
    this.#isAtEnd &&= high === Infinity && this.#below() < AT_END;
    return this.#anchor();
  }

  componentDidUpdate(_props, _state, anchor) {
    const { timeline } = this.props;
    if (this.#aims !== timeline.aims) {
      this.#aims = timeline.aims;
      this.#go(timeline.target);
    } else if (this.#isAtEnd && this.state.high === Infinity) {
      this.#toEnd();
    } else if (anchor) {
      const row = this.#row(anchor.id);
      if (row) this.#box.scrollTop += this.#top(row) - anchor.top;
    }
    this.#widen();
    this.#look();
  }

  #rows() {
    return /** @type {HTMLElement[]} */ ([...this.#box.querySelectorAll(".message")]);
  }

  #row(id) {
    return this.#box.querySelector(`.message[data-id="${CSS.escape(id)}"]`);
  }

  #top(row) {
    return row.getBoundingClientRect().top - this.#box.getBoundingClientRect().top;
  }

  #anchor() {
    if (!this.#box) return null;
    const row = this.#rows().find((one) => this.#top(one) + one.offsetHeight > 0);
    return row ? { id: row.dataset.id, top: this.#top(row) } : null;
  }

  #toEnd() {
    this.#box.scrollTop = this.#box.scrollHeight;
  }

  #go(target) {
    const isPlace = typeof target === "object" && target !== null;
    const row = isPlace ? this.#row(target.id)
      : target === "divider" ? this.#box.querySelector(".divider")
      : target === "end" ? null : this.#row(target);
    this.#isAtEnd = !row;
    if (!row) return this.#toEnd();
    if (isPlace) {
      this.#box.scrollTop += this.#top(row) - target.top;
    } else if (target === "divider") {
      this.#box.scrollTop += this.#top(row) - this.#box.clientHeight / 4;
    } else {
      this.#box.scrollTop += this.#top(row) - Math.max(0, (this.#box.clientHeight - row.offsetHeight) / 2);
      row.classList.remove("found");
      void row.offsetWidth; // the same message may be found twice
      row.classList.add("found");
      row.focus({ preventScroll: true });
      this.#focuses(target);
    }
    this.#notice();
  }

  #scrolled = () => {
    if (this.#frame || !this.#box) return; // a scroll may be told of after the end
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.#notice();
      this.#widen();
      this.#look();
    });
  };

  #below() {
    return this.#box.scrollHeight - this.#box.scrollTop - this.#box.clientHeight;
  }

  #notice() {
    const was = this.#isAtEnd;
    this.#isAtEnd = this.#below() < AT_END && this.state.high === Infinity && !this.props.timeline.hasAfter;
    if (was !== this.#isAtEnd) this.setState({});
  }

  /** Where the reader comes near an end, rows are put there and taken away at the other one. */
  #widen() {
    const { timeline } = this.props;
    const { messages } = timeline;
    if (!messages.length) return;
    const { low, high } = this.state;
    const shown = limits(messages, low, high);
    const above = this.#box.scrollTop;
    const below = this.#below();
    if (above < NEAR && shown.start > 0) return this.#show(shown.start - STEP, shown.end);
    if (below < NEAR && shown.end < messages.length) return this.#show(shown.start, shown.end + STEP);
    if (above < NEARER) timeline.older();
    if (below < NEARER) timeline.newer();
    // The farther end loses rows, and never in one step with new ones: Preact would take up and put back all between.
    if (shown.end - shown.start > ROWS + STEP && above + below > FAR) {
      this.#show(shown.start, shown.end, above > below ? "end" : "start");
    }
  }

  /** @param {number} start @param {number} end @param {"start" | "end"} [kept] where rows stay, if some have to go */
  #show(start, end, kept) {
    const { messages, hasAfter } = this.props.timeline;
    start = Math.max(0, kept === "end" ? Math.max(start, end - ROWS) : start);
    end = Math.min(messages.length, kept === "start" ? Math.min(end, start + ROWS) : end);
    const isWhole = end === messages.length && !hasAfter;
    const low = messages[start].seq;
    const high = isWhole ? Infinity : messages[end - 1].seq;
    if (low !== this.state.low || high !== this.state.high) this.setState({ low, high });
  }

  #look = () => {
    const { chat, timeline } = this.props;
    const bottom = this.#box.getBoundingClientRect().bottom + 2;
    const row = this.#rows().findLast((one) => one.dataset.seq && one.getBoundingClientRect().bottom <= bottom);
    reading.sees(chat.chat_id, row ? timeline.find(row.dataset.id) : null);
  };

  #focuses(id) {
    if (this.state.focused !== id) this.setState({ focused: id });
  }

  #press = (event) => {
    const row = event.target.closest?.(".message");
    if (!row || event.target !== row || event.ctrlKey || event.metaKey || event.altKey) return;
    const rows = this.#rows();
    const at = rows.indexOf(row);
    const to = { ArrowDown: at + 1, j: at + 1, ArrowUp: at - 1, k: at - 1, Home: 0, End: rows.length - 1 }[event.key];
    if (to !== undefined) {
      rows[Math.max(0, Math.min(rows.length - 1, to))]?.focus();
    } else {
      const message = this.props.timeline.find(row.dataset.id);
      if (!message || !actOn(event, { chat: this.props.chat, timeline: this.props.timeline, message })) return;
    }
    event.preventDefault();
    event.stopPropagation();
  };

  render({ timeline, chat }, { low, high, focused }) {
    const { start, end } = limits(timeline.messages, low, high);
    const shown = timeline.messages.slice(start, end);
    const letters = high === Infinity && !timeline.hasAfter ? waiting(chat.chat_id, timeline) : [];
    const last = letters.at(-1)?.client_id ?? shown.at(-1)?.message_id ?? null;
    const tabStop = shown.some((message) => message.message_id === focused) ? focused : last;
    const again = () => {
      timeline.older();
      timeline.newer();
    };
    return html`<div class="messages-place">
      <div class="messages" ref=${(box) => { this.#box = box; }} onScroll=${this.#scrolled} onKeyDown=${this.#press}
          onFocusIn=${(event) => event.target.dataset?.id && this.#focuses(event.target.dataset.id)}>
        ${timeline.hasBefore
          ? html`<div class="edge" aria-hidden="true">
            ${timeline.reading === "before" && html`<span class="wheel"></span>`}
          </div>`
          : html`<p class="edge">
            ${say(timeline.messages.length || letters.length ? "chat.beginning" : "chat.empty")}
          </p>`}
        ${timeline.failure && html`<p class="edge">
          <button type="button" class="button link" onClick=${again}>${say("again")}</button>
        </p>`}
        <ol class="message-list" role="list" aria-label=${say("chat.messages")}>
          ${shown.flatMap((message, at) =>
            this.#entry(message, shown[at - 1] ?? timeline.messages[start - 1], shown[at + 1], tabStop))}
          ${letters.map((letter, at) => html`<${Letter} key=${letter.client_id} letter=${letter} timeline=${timeline}
            isFirst=${at === 0 && !isTogether(shown.at(-1), { sender_id: account.id, sent_at: letter.sent_at })}
            isLast=${at === letters.length - 1} isTabStop=${tabStop === letter.client_id} />`)}
        </ol>
      </div>
      ${(!this.#isAtEnd || timeline.hasAfter) && html`<button type="button" class="to-end"
          onClick=${() => timeline.toEnd()}
          aria-label=${chat.unread ? say("chat.toUnread", { count: chat.unread }) : say("chat.toEnd")}>
        <${Icon} name="down" />
        ${chat.unread > 0 && html`<span class="badge">${chat.unread}</span>`}
      </button>`}
    </div>`;
  }

  #entry(message, before, after, tabStop) {
    const { timeline, chat } = this.props;
    const isNewDay = !before || dayOf(before.sent_at) !== dayOf(message.sent_at);
    const isDivider = timeline.divider === message.seq;
    const entry = html`<${Message} key=${message.client_id ?? message.message_id} message=${message}
      timeline=${timeline} isDirect=${isDirect(chat)} language=${language.code}
      quote=${message.reply_to && !message.deleted ? timeline.quoted(message.reply_to) : null}
      fate=${message.sender_id === account.id ? timeline.fate(message) : null}
      isTabStop=${tabStop === message.message_id}
      isFirst=${isNewDay || isDivider || !isTogether(before, message)}
      isLast=${!after || after.seq === timeline.divider || !isTogether(message, after)} />`;
    return [
      isNewDay && html`<li class="day" key=${`day ${message.seq}`}>
        <time datetime=${message.sent_at}>${day(message.sent_at)}</time>
      </li>`,
      isDivider && html`<li class="divider" key="divider"><span>${say("chat.unread")}</span></li>`,
      entry,
    ].filter(Boolean); // gaps would hide from Preact that rows have only moved on
  }
}

function isTogether(first, second) {
  if (!first || !second || first.sender_id !== second.sender_id) return false;
  const [one, other] = [first, second].map((message) => new Date(message.sent_at).getTime());
  return other - one < TOGETHER && dayOf(first.sent_at) === dayOf(second.sent_at);
}

/** Places in the list of the first row that is shown, and behind the last one. */
function limits(messages, low, high) {
  let start = 0;
  let end = messages.length;
  while (start < end && messages[start].seq < low) start += 1;
  while (end > start && messages[end - 1].seq > high) end -= 1;
  return { start, end };
}

/** The `seq` of the row that stands a step above this one. */
function stepAbove(messages, seq) {
  return messages[Math.max(0, messages.findIndex((message) => message.seq === seq) - STEP)].seq;
}

/** The rows around what the view is going to. */
function around({ messages, target, divider, hasAfter }) {
  const id = typeof target === "object" && target !== null ? target.id : target;
  const at = target === "divider" ? messages.findIndex((message) => message.seq >= divider)
    : messages.findIndex((message) => message.message_id === id);
  const start = at < 0 ? Math.max(0, messages.length - ROWS / 2) : Math.max(0, at - ROWS / 2);
  const end = at < 0 ? messages.length : Math.min(messages.length, at + ROWS / 2);
  return {
    low: messages[start]?.seq ?? 0,
    high: end === messages.length && !hasAfter ? Infinity : (messages[end - 1]?.seq ?? Infinity),
  };
}

/** What is still to be stored, without what is on the page already and only its answer is missing. */
function waiting(chatId, timeline) {
  const mine = timeline.messages.slice(-50).filter((message) => message.sender_id === account.id);
  const keys = new Set(mine.map((message) => message.client_id));
  const told = mine.filter((message) => !message.client_id);
  return outbox.of(chatId).filter((letter) => {
    if (keys.has(letter.client_id)) return false;
    const at = told.findIndex((message) => message.text === letter.text && message.sent_at > letter.sent_at);
    return letter.failure || at < 0 || !told.splice(at, 1);
  });
}
