/** What a person has chosen on this device, and drafts: small, and kept by the browser. */

import { Observed } from "../observed.js";

const PLACE = "messenger.";

export const preferences = new (class extends Observed {
  #session = new Map(); // where the browser keeps nothing for us

  get(name, otherwise = null) {
    try {
      const kept = localStorage.getItem(PLACE + name);
      return kept === null ? otherwise : JSON.parse(kept);
    } catch {
      return this.#session.get(name) ?? otherwise;
    }
  }

  set(name, value) {
    this.#session.set(name, value);
    try {
      if (value === null) localStorage.removeItem(PLACE + name);
      else localStorage.setItem(PLACE + name, JSON.stringify(value));
    } catch {
      // full, or forbidden: it holds until the page is closed
    }
    this.changed();
  }

  begin() {
    addEventListener("storage", (event) => event.key?.startsWith(PLACE) && this.changed());
    this.watch(() => this.#show());
    this.#show();
  }

  #show() {
    const root = document.documentElement;
    root.dataset.theme = this.get("theme", "auto");
    root.dataset.motion = this.get("motion", "auto");
  }
})();

export const drafts = {
  of: (userId, chatId) => preferences.get(`draft.${userId}.${chatId}`, ""),
  keep: (userId, chatId, text) => preferences.set(`draft.${userId}.${chatId}`, text || null),
};
