/**
 * Where the reader is: the part of the address behind `#`, so that the page works wherever it lies.
 *
 *   #                      the list alone
 *   #chat/5                a chat
 *   #chat/5/message/77     a message in it
 */

import { Observed } from "../observed.js";

export const place = new (class extends Observed {
  chatId = null;
  messageId = null;
  /** Counts visits, so that the same message can be asked for twice. */
  visit = 0;

  begin() {
    addEventListener("hashchange", () => this.#read());
    this.#read();
  }

  #read() {
    const found = /^#chat\/(\d+)(?:\/message\/(\d+))?$/.exec(location.hash);
    this.chatId = found?.[1] ?? null;
    this.messageId = found?.[2] ?? null;
    this.visit += 1;
    this.changed();
  }

  go(hash) {
    if (location.hash === hash || (hash === "#" && location.hash === "")) this.#read();
    else location.hash = hash;
  }

  /** What is shown instead of what is gone, without a step to go back to. */
  replace(hash) {
    history.replaceState(null, "", hash === "#" ? location.pathname + location.search : hash);
    this.#read();
  }
})();

export const toChat = (chatId) => `#chat/${chatId}`;
export const toMessage = (chatId, messageId) => `#chat/${chatId}/message/${messageId}`;
