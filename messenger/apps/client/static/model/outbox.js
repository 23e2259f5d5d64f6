/**
 * What was typed and is not yet stored by the server. It is kept by the browser, so a reload loses nothing, and every
 * try has the same key, so nothing is sent twice. Each tab sends what was typed in it; what a closed tab has left is
 * taken over by another one.
 */

import { Observed } from "../observed.js";
import { account, client } from "./account.js";
import { journal, store } from "./storage.js";

const TAB = newKey();
/** A tab that holds its lock for so long is open: the one before a reload lets go of it sooner. */
const STILL_OPEN = 500;
const kept = store("outbox");

/**
 * @typedef {{ client_id: string, user_id: string, chat_id: string, text: string, reply_to: string | null,
 *   sent_at: string, tab: string, failure: { code: string, detail: string } | null }} Letter
 */

export const outbox = new (class extends Observed {
  /** @type {Map<string, Letter>} */
  #letters = new Map();

  /** Other tabs that had letters when this one looked. */
  #others = new Set();
  /** What closed tabs have left is sent before what is typed here. */
  #begun = Promise.resolve();

  /** Letters of closed tabs are sent from here, and those of open ones as soon as they are closed. */
  begin() {
    holdTab();
    this.#begun = this.#begin();
  }

  async #begin() {
    await Promise.all(journal.all().map(keep));
    const tabs = new Set((await kept.all()).map((letter) => letter.tab));
    const takings = [...tabs].filter((tab) => tab !== TAB && !this.#others.has(tab)).map((tab) => {
      this.#others.add(tab);
      return afterTab(tab, () => this.#takeOver(tab));
    });
    await Promise.race([Promise.all(takings), new Promise((resolve) => setTimeout(resolve, STILL_OPEN))]);
  }

  async #takeOver(tab) {
    const userId = account.id;
    const left = (await kept.all()).filter((letter) => letter.tab === tab && letter.user_id === userId);
    const mine = left.map((letter) => ({ ...letter, tab: TAB })).sort((a, b) => a.sent_at.localeCompare(b.sent_at));
    for (const letter of mine) this.#letters.set(letter.client_id, letter);
    this.changed();
    for (const letter of mine) {
      keep(letter);
      if (!letter.failure) this.#send(letter);
    }
  }

  end() {
    this.#letters.clear();
    this.#others.clear();
    this.changed();
  }

  of(chatId) {
    return [...this.#letters.values()].filter((letter) => letter.chat_id === chatId)
      .sort((a, b) => a.sent_at.localeCompare(b.sent_at));
  }

  /** Chats that something is kept for. @returns {string[]} */
  chatIds() {
    return [...new Set([...this.#letters.values()].map((letter) => letter.chat_id))];
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
    keep(letter);
    await this.#begun;
    this.#send(letter);
  }

  async again(clientId) {
    const letter = this.#letters.get(clientId);
    letter.failure = null;
    this.changed();
    await keep(letter);
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
      await keep(letter);
    }
  }
})();

/** @param {Letter} letter */
async function keep(letter) {
  journal.put(letter.client_id, letter);
  await kept.put(letter);
  journal.delete(letter.client_id);
}

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
  return navigator.locks ? navigator.locks.request(lockOf(tab), act) : act();
}

const lockOf = (tab) => `messenger.tab.${tab}`;
