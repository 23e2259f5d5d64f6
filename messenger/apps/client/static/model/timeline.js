/**
 * The part of a chat that this page holds: messages without a hole, from some place on, and who has read how far.
 * What lies beyond is read page by page; what happens meanwhile is put in by `seq`.
 */

import { Unreachable } from "../messenger.js";
import { Observed } from "../observed.js";
import { account, client } from "./account.js";
import { chats } from "./chats.js";
import { people } from "./people.js";
import { shelf } from "./shelf.js";

const PAGE = 100;

export class Timeline extends Observed {
  /** @type {any[]} by `seq`, without a hole */
  messages = [];
  isOpen = false;
  hasBefore = false;
  hasAfter = false;
  /** @type {"" | "before" | "after" | "open"} what is being read */
  reading = "";
  failure = null;
  /** The first message that was unread when the chat was opened: it stays where it is while one reads. */
  divider = null;
  /** Where the view goes next: "end", "divider", the id of a message, or a message and its distance from the top. */
  target = null;
  /** Counts targets, so that the view can tell a new one. */
  aims = 0;
  /** How far each member has read, where the chat is small enough to be told. */
  readers = new Map();
  /** Quoted messages that lie elsewhere: by id, `null` when gone. */
  #quotes = new Map();
  /** What happened while a page was being read, which may show things as they were before. */
  #meanwhile = [];
  #left = null;
  /** Ends what an earlier place has asked for. */
  #abort = new AbortController();

  constructor(chatId) {
    super();
    this.chatId = chatId;
  }

  get first() {
    return this.messages[0] ?? null;
  }

  get last() {
    return this.messages.at(-1) ?? null;
  }

  find(messageId) {
    return this.messages.find((message) => message.message_id === messageId) ?? null;
  }

  /** One request, whichever place is wanted: "unread", "end", or the id of a message. */
  async open(where) {
    this.#abort.abort();
    this.#abort = new AbortController();
    const chat = chats.get(this.chatId);
    const unread = where === "unread" && chat !== null && chat.unread > 0;
    const anchor = unread ? "anchor=first_unread&num_before=40&num_after=60"
      : where === "unread" || where === "end" ? `anchor=newest&num_before=60&num_after=0`
      : `anchor=${where}&num_before=30&num_after=30`;
    const firstUnread = unread ? chat.read_seq + 1 : null;
    const page = await this.#read("open", anchor);
    if (!page) return this.#remember();
    this.messages = page.messages;
    this.hasBefore = page.has_before;
    this.hasAfter = page.has_more;
    this.isOpen = true;
    this.readers = new Map(page.read_cursors.map((one) => [one.user_id, one.read_seq]));
    if (where === "unread") this.divider = firstUnread;
    this.keep();
    this.#catchUp();
    const isHere = firstUnread !== null && this.messages.some((message) => message.seq >= firstUnread);
    this.aim(unread && isHere ? "divider" : where === "unread" || where === "end" ? "end" : where);
  }

  /** Without the server: what was here at the last visit. */
  async #remember() {
    if (this.isOpen || !(this.failure instanceof Unreachable)) return;
    const tail = await shelf.tail(this.chatId);
    if (!tail || this.isOpen) return;
    Object.assign(this, { messages: tail.messages, readers: tail.readers, isOpen: true, hasBefore: true, hasAfter: false });
    this.aim("end");
  }

  /** The server is there again. */
  recover() {
    if (this.failure) return this.open("unread");
  }

  aim(target) {
    this.target = target;
    this.aims += 1;
    this.changed();
  }

  /** Where the reader was when the chat was left; at its end there is no such place. */
  leaves(place) {
    this.#left = place;
    this.divider = null;
    this.keep();
  }

  keep() {
    if (this.isOpen && !this.hasAfter) shelf.keepTail(this.chatId, this.messages, this.readers);
  }

  /** Back at a chat that was open before: to what came meanwhile, or where one was. */
  returns() {
    const chat = chats.get(this.chatId);
    const isHere = chat.unread > 0 && !this.#left && (this.last?.seq ?? 0) >= chat.head_seq && (this.first?.seq ?? 0) <= chat.read_seq + 1;
    if (isHere) this.divider = chat.read_seq + 1;
    this.aim(isHere ? "divider" : (this.#left ?? "end"));
  }

  /** To the newest message, which may not have been read yet. */
  toEnd() {
    if (this.hasAfter || !this.isOpen) return this.open("end");
    this.aim("end");
  }

  toMessage(messageId) {
    if (this.find(messageId)) return this.aim(messageId);
    return this.open(messageId);
  }

  async older() {
    if (!this.hasBefore || this.reading || !this.first) return;
    const page = await this.#read("before", `before=${this.first.message_id}&limit=${PAGE}&read_cursors=false`);
    if (!page) return;
    this.messages = [...page.messages.filter((message) => message.seq < this.first.seq), ...this.messages];
    this.hasBefore = page.has_before;
    this.#catchUp();
  }

  async newer() {
    if (!this.hasAfter || this.reading || !this.last) return;
    const page = await this.#read("after", `after=${this.last.message_id}&limit=${PAGE}&read_cursors=false`);
    if (!page) return;
    const last = this.last.seq;
    this.messages = [...this.messages, ...page.messages.filter((message) => message.seq > last)];
    this.hasAfter = page.has_more;
    this.#catchUp();
  }

  async #read(what, query) {
    const { signal } = this.#abort;
    this.#meanwhile = [];
    this.reading = what;
    this.failure = null;
    this.changed();
    try {
      const page = await client.call("GET", `v1/chats/${this.chatId}/messages?${query}`, undefined, { signal });
      for (const message of page.messages) people.learn(message.sender_id, message.sender_name);
      return signal.aborted ? null : page;
    } catch (error) {
      if (signal.aborted) return null;
      this.failure = error;
      return null;
    } finally {
      if (!signal.aborted) {
        this.reading = "";
        this.changed();
      }
    }
  }

  #happens(act) {
    if (this.reading) this.#meanwhile.push(act);
    if (!this.isOpen) return;
    act();
    this.changed();
  }

  #catchUp() {
    for (const act of this.#meanwhile) act();
    this.changed();
  }

  /** A message that was said, here or elsewhere; it may come twice, or before an older one. */
  put(message) {
    this.#happens(() => {
      const { messages } = this;
      let at = messages.length;
      while (at > 0 && messages[at - 1].seq > message.seq) at -= 1;
      const before = messages[at - 1];
      if (before?.seq === message.seq) return;
      if (this.hasAfter && at === messages.length) return; // read when one gets there
      if (this.hasBefore && at === 0) return;
      this.messages = messages.toSpliced(at, 0, message);
      this.#advance(message.sender_id, message.seq);
    });
  }

  /** A message as it is now. */
  change(messageId, change) {
    this.#happens(() => {
      const at = this.messages.findIndex((message) => message.message_id === messageId);
      if (at >= 0) this.messages = this.messages.with(at, { ...this.messages[at], ...change });
      const quote = this.#quotes.get(messageId);
      if (quote) this.#quotes.set(messageId, { ...quote, ...change });
    });
  }

  /** Somebody has another name, also on what was said before. */
  rename(userId, name) {
    this.#happens(() => {
      this.messages = this.messages.map((message) =>
        message.sender_id === userId ? { ...message, sender_name: name } : message);
    });
  }

  hasRead(userId, seq) {
    this.#happens(() => this.#advance(userId, seq));
  }

  allHaveRead(from, to) {
    this.#happens(() => {
      this.messages = this.messages.map((message) =>
        message.seq >= from && message.seq <= to && !message.is_read ? { ...message, is_read: true } : message);
    });
  }

  #advance(userId, seq) {
    this.readers.set(userId, Math.max(this.readers.get(userId) ?? 0, seq));
  }

  /** @returns {"stored" | "some" | "all"} how far my message has come */
  fate(message) {
    if (message.is_read) return "all";
    for (const [userId, seq] of this.readers) {
      if (userId !== account.id && userId !== message.sender_id && seq >= message.seq) return "some";
    }
    return "stored";
  }

  /** The message that another one answers; `undefined` while it is being read, `null` when it is gone. */
  quoted(messageId) {
    const here = this.find(messageId);
    if (here) return here;
    if (!this.#quotes.has(messageId)) this.#readQuote(messageId);
    return this.#quotes.get(messageId);
  }

  async #readQuote(messageId) {
    this.#quotes.set(messageId, undefined);
    try {
      const query = `anchor=${messageId}&num_before=0&num_after=1&read_cursors=false`;
      const page = await client.call("GET", `v1/chats/${this.chatId}/messages?${query}`);
      this.#quotes.set(messageId, page.messages.find((message) => message.message_id === messageId) ?? null);
    } catch {
      this.#quotes.set(messageId, null);
    }
    this.changed();
  }
}

/** The chats that were opened, as long as the page lives. */
export const timelines = new (class {
  #byChat = new Map();

  of(chatId) {
    if (!this.#byChat.has(chatId)) this.#byChat.set(chatId, new Timeline(chatId));
    return this.#byChat.get(chatId);
  }

  /** Only if somebody looked at it: of all others nothing is kept. */
  known(chatId) {
    return this.#byChat.get(chatId) ?? null;
  }

  forget(chatId) {
    this.#byChat.delete(chatId);
  }

  clear() {
    this.#byChat.clear();
  }
})();
