/**
 * The last known state of my chats and the ends of those that I read lately: what is shown at once when the page is
 * opened, also while the server is away. The server's own answer replaces it as soon as it comes.
 */

import { store } from "./storage.js";

const STATE = "state";
const TAIL = 60;
const TAILS = 20;
const PAUSE = 1_000;

const kept = store("shelf");
let timer = 0;
let latest = null;

export const shelf = {
  /** @returns {Promise<{ user: any, chats: Map<string, any>, cursor: string } | null>} */
  async state() {
    return (await kept.get(STATE))?.state ?? null;
  },

  /**
   * At once, and then once for many changes: a page that is left does not wait for what it writes.
   * @param {any} state
   */
  keepState(state) {
    const isFirst = latest === null;
    latest = state;
    if (isFirst) write();
    else timer ||= setTimeout(write, PAUSE);
  },

  async tail(chatId) {
    return (await kept.get(`tail ${chatId}`)) ?? null;
  },

  async keepTail(chatId, messages, readers) {
    await kept.put({ key: `tail ${chatId}`, messages: messages.slice(-TAIL), readers, keptAt: Date.now() });
    const tails = (await kept.all()).filter((one) => one.keptAt).sort((a, b) => b.keptAt - a.keptAt);
    await Promise.all(tails.slice(TAILS).map((one) => kept.delete(one.key)));
  },

  clear() {
    latest = null;
    return kept.clear();
  },
};

function write() {
  clearTimeout(timer);
  timer = 0;
  if (latest) kept.put({ key: STATE, state: latest });
}

addEventListener("pagehide", write);
