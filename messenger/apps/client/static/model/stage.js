/** What is open beside the chat: a dialog, a menu, the panel at the side, a search; and what is composed. */

import { Observed } from "../observed.js";

export const stage = new (class extends Observed {
  /** @type {{ name: string, [detail: string]: any } | null} */
  dialog = null;
  /** @type {{ x: number, y: number, items: any[], label: string, reactTo?: (emoji: string) => void } | null} */
  menu = null;
  isInfoOpen = false;
  /** A word that is shown for a moment. */
  word = "";
  /** What a new version of the page has to say. */
  hasNewVersion = false;
  #composing = new Map();
  #timer = 0;

  ask(name, details = {}) {
    this.menu = null;
    this.dialog = { name, ...details };
    this.changed();
  }

  close() {
    this.dialog = null;
    this.changed();
  }

  openMenu(menu) {
    this.menu = menu;
    this.changed();
  }

  closeMenu() {
    this.menu = null;
    this.changed();
  }

  toggleInfo(open = !this.isInfoOpen) {
    this.isInfoOpen = open;
    this.changed();
  }

  /** @returns {{ replyTo?: any, editing?: any }} what the composer of a chat is about */
  composing(chatId) {
    return this.#composing.get(chatId) ?? {};
  }

  compose(chatId, what) {
    if (what) this.#composing.set(chatId, what);
    else this.#composing.delete(chatId);
    this.changed();
  }

  tell(word) {
    clearTimeout(this.#timer);
    this.word = word;
    this.#timer = setTimeout(() => this.tell(""), 4_000);
    if (!word) clearTimeout(this.#timer);
    this.changed();
  }
})();

/** What a screen reader says by itself: only what others have just said. */
export const announcer = new (class extends Observed {
  text = "";
  say(text) {
    this.text = text;
    this.changed();
  }
})();
