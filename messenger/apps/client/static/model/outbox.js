/**
 * What was typed and is not yet stored by the server. It is kept by the browser, so a reload loses nothing, and every
 * try has the same key, so nothing is sent twice. Each tab sends what was typed in it; what a closed tab has left is
 * taken over by another one.
 */

import { Observed } from "../observed.js";
import { account, client } from "./account.js";
import { store } from "./storage.js";

const TAB = newKey();
const kept = store("outbox");

/**
 * @typedef {{ client_id: string, user_id: string, chat_id: string, text: string, reply_to: string | null,
 *   sent_at: string, tab: string, failure: { code: string, detail: string } | null }} Letter
 */

export const outbox = new (class extends Observed {
  /** @type {Map<string, Letter>} in the order of typing */
  #letters = new Map();

  /** Other tabs that had letters when this one looked. */
  #others = new Set();

  /** Letters of closed tabs are sent from here, and those of open ones as soon as they are closed. */
  async begin() {
    holdTab();
    for (const { tab } of await kept.all()) {
      if (tab === TAB || this.#others.has(tab)) continue;
      this.#others.add(tab);
      afterTab(tab, () => this.#takeOver(tab));
    }
  }

  async #takeOver(tab) {
    const userId = account.id;
    const left = (await kept.all()).filter((letter) => letter.tab === tab && letter.user_id === userId);
    for (const letter of left.sort((a, b) => a.sent_at.localeCompare(b.sent_at))) {
      const mine = { ...letter, tab: TAB };
      this.#letters.set(mine.client_id, mine);
      await kept.put(mine);
      if (!mine.failure) this.#send(mine);
    }
    this.changed();
  }

  end() {
    this.#letters.clear();
    this.#others.clear();
    this.changed();
  }

  of(chatId) {
    return [...this.#letters.values()].filter((letter) => letter.chat_id === chatId);
  }

  /** How many wait, and how many the server has refused. */
  get waiting() {
    return [...this.#letters.values()].filter((letter) => !letter.failure).length;
  }

  async add(chatId, text, replyTo = null) {
    const letter = {
      client_id: newKey(), user_id: account.id, chat_id: chatId, text, reply_to: replyTo,
      sent_at: now(), tab: TAB, failure: null,
    };
    this.#letters.set(letter.client_id, letter);
    this.changed();
    await kept.put(letter);
    this.#send(letter);
  }

  async again(clientId) {
    const letter = this.#letters.get(clientId);
    letter.failure = null;
    this.changed();
    await kept.put(letter);
    this.#send(letter);
  }

  async drop(clientId) {
    this.#letters.delete(clientId);
    this.changed();
    await kept.delete(clientId);
  }

  async #send({ client_id: clientId, chat_id: chatId, text, reply_to: replyTo }) {
    try {
      await client.send(chatId, text, { clientId, replyTo });
      await this.drop(clientId);
    } catch (error) {
      const letter = this.#letters.get(clientId);
      if (!letter) return;
      letter.failure = { code: error.code ?? "unavailable", detail: error.detail ?? error.message };
      this.changed();
      await kept.put(letter);
    }
  }
})();

let last = 0;

/** The time of typing, later than the one before: it is the order after a reload. */
function now() {
  last = Math.max(Date.now(), last + 1);
  return new Date(last).toISOString();
}

function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

let isHeld = false;

/** As long as this tab lives it holds a lock of its name. */
function holdTab() {
  if (!isHeld) navigator.locks?.request(lockOf(TAB), () => new Promise(() => {}));
  isHeld = true;
}

/** Now, if that tab is closed; else when it will be. Without locks a tab cannot be asked, and keys prevent doubles. */
function afterTab(tab, act) {
  if (navigator.locks) navigator.locks.request(lockOf(tab), act);
  else act();
}

const lockOf = (tab) => `messenger.tab.${tab}`;
