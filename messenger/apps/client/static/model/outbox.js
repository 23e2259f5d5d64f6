/**
 * What was typed and is not yet stored by the server. It is kept by the browser, so a reload loses nothing, and every
 * try has the same key, so nothing is sent twice. Each tab sends what was typed in it; what a closed tab has left is
 * taken over by the next one that looks.
 */

import { Observed } from "../observed.js";
import { account, client } from "./account.js";

const DATABASE = "messenger";
const STORE = "outbox";
const TAB = newKey();

/**
 * @typedef {{ client_id: string, user_id: string, chat_id: string, text: string, reply_to: string | null,
 *   sent_at: string, tab: string, failure: { code: string, detail: string } | null }} Letter
 */

export const outbox = new (class extends Observed {
  /** @type {Map<string, Letter>} in the order of typing */
  #letters = new Map();

  /** Letters of closed tabs are sent from here. */
  async begin() {
    holdTab();
    const userId = account.id;
    const kept = (await all()).filter((letter) => letter.user_id === userId && !this.#letters.has(letter.client_id));
    for (const letter of kept.sort((a, b) => a.sent_at.localeCompare(b.sent_at))) {
      if (!(await isClosed(letter.tab))) continue;
      this.#letters.set(letter.client_id, { ...letter, tab: TAB });
      await keep(this.#letters.get(letter.client_id));
      if (!letter.failure) this.#send(letter);
    }
    this.changed();
  }

  end() {
    this.#letters.clear();
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
    await keep(letter);
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
    await forget(clientId);
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

/** As long as this tab lives it holds a lock of its name. */
function holdTab() {
  navigator.locks?.request(`messenger.tab.${TAB}`, () => new Promise(() => {}));
}

async function isClosed(tab) {
  if (tab === TAB || !navigator.locks) return true;
  return navigator.locks.request(`messenger.tab.${tab}`, { ifAvailable: true }, (lock) => lock !== null);
}

/** @type {Promise<IDBDatabase | null> | null} */
let opening = null;

/** Null where the browser keeps nothing for us: letters then live as long as the page. */
function database() {
  opening ??= new Promise((resolve) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "client_id" });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => resolve(null);
  });
  return opening;
}

/** @param {IDBTransactionMode} mode @param {(store: IDBObjectStore) => IDBRequest} act @returns {Promise<any>} */
async function inStore(mode, act) {
  const opened = await database();
  if (!opened) return null;
  return new Promise((resolve) => {
    const transaction = opened.transaction(STORE, mode, { durability: "strict" });
    const request = act(transaction.objectStore(STORE));
    transaction.oncomplete = () => resolve(request.result);
    transaction.onabort = () => resolve(null); // no room: it lives as long as the page
  });
}

const all = async () => (await inStore("readonly", (store) => store.getAll())) ?? [];
const keep = (letter) => inStore("readwrite", (store) => store.put(letter));
const forget = (clientId) => inStore("readwrite", (store) => store.delete(clientId));
