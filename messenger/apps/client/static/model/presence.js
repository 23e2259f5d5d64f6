/** Who is here, and who is typing where. Nothing of it is stored, and it fades by itself. */

import { Observed } from "../observed.js";
import { account, client } from "./account.js";
import { chats, isDirect } from "./chats.js";

const TYPING_LASTS = 6_000;
const ONLINE_LASTS = 11 * 60_000;
const TELL_AGAIN = 5 * 60_000;
const ANSWER_WITHIN = 2_000;

export const typing = new (class extends Observed {
  /** @type {Map<string, Map<string, number>>} by chat and person, the timer that ends it */
  #timers = new Map();

  /** @returns {string[]} ids of those who type in this chat */
  in(chatId) {
    return [...(this.#timers.get(chatId)?.keys() ?? [])];
  }

  hears(chatId, userId) {
    if (userId === account.id) return;
    this.ends(chatId, userId);
    if (!this.#timers.has(chatId)) this.#timers.set(chatId, new Map());
    this.#timers.get(chatId).set(userId, setTimeout(() => this.ends(chatId, userId), TYPING_LASTS));
    this.changed();
  }

  ends(chatId, userId) {
    const timer = this.#timers.get(chatId)?.get(userId);
    if (timer === undefined) return;
    clearTimeout(timer);
    this.#timers.get(chatId).delete(userId);
    this.changed();
  }
})();

export const presence = new (class extends Observed {
  #until = new Map();
  #answer = 0;
  #timer = 0;

  isOnline(userId) {
    return (this.#until.get(userId) ?? 0) > Date.now();
  }

  /** Something was heard of a person. */
  sees(userId) {
    const was = this.isOnline(userId);
    this.#until.set(userId, Date.now() + ONLINE_LASTS);
    if (!was) this.changed();
  }

  hears({ user_id: userId, chat_id: chatId, status }) {
    if (userId === account.id) return;
    if (status === "online") this.sees(userId);
    else this.#until.delete(userId);
    this.changed();
    // Who has just come does not know that I am here. Only the other one of a direct chat is told.
    const chat = chats.get(chatId);
    if (status === "online" && chat && isDirect(chat) && !this.#answer && !document.hidden) {
      this.#answer = setTimeout(() => {
        this.#answer = 0;
        this.tell();
      }, Math.random() * ANSWER_WITHIN);
    }
  }

  begin() {
    document.addEventListener("visibilitychange", () => this.tell());
    addEventListener("pagehide", () => client.presence("offline"));
  }

  tell() {
    clearTimeout(this.#timer);
    client.presence(document.hidden ? "away" : "online");
    if (!document.hidden) this.#timer = setTimeout(() => this.tell(), TELL_AGAIN);
  }
})();
