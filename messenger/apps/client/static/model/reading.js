/** My read marker: it follows what was really before my eyes for half a second, and never goes back. */

import { client } from "./account.js";
import { chats } from "./chats.js";

const DWELL = 500;

export const reading = new (class {
  #timer = 0;
  #seen = null;

  /** The last message that is whole in view now; told again at every move. */
  sees(chatId, message) {
    const isSame = this.#seen?.chatId === chatId && this.#seen.message.seq === message?.seq;
    if (isSame && this.#timer) return;
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#seen = null;
    const chat = chats.get(chatId);
    if (!message || !chat || message.seq <= chat.read_seq || !isLooking()) return;
    this.#seen = { chatId, message };
    this.#timer = setTimeout(() => this.#tell(), DWELL);
  }

  async #tell() {
    this.#timer = 0;
    if (!isLooking()) return;
    const { chatId, message } = this.#seen;
    try {
      await client.read(chatId, message.message_id);
    } catch {
      // the next move tells it again
    }
  }
})();

export const isLooking = () => !document.hidden && document.hasFocus();
