/** Names by id, learned from all that passes by; asked for only when nothing has told one. */

import { Observed } from "../observed.js";
import { client } from "./account.js";

export const people = new (class extends Observed {
  #names = new Map();
  #asked = new Set();

  learn(userId, name) {
    if (!userId || !name || this.#names.get(userId) === name) return;
    this.#names.set(userId, name);
    this.changed();
  }

  /** "" until it is known. */
  name(userId) {
    const known = this.#names.get(userId);
    if (known !== undefined) return known;
    this.#ask(userId);
    return "";
  }

  clear() {
    this.#names.clear();
    this.#asked.clear();
  }

  async find(query, limit = 20) {
    const { users } = await client.call("GET", `v1/users?limit=${limit}&query=${encodeURIComponent(query)}`);
    for (const user of users) this.learn(user.user_id, nameOf(user));
    return users.filter((user) => !user.deleted);
  }

  async #ask(userId) {
    if (this.#asked.has(userId)) return;
    this.#asked.add(userId);
    try {
      this.learn(userId, nameOf(await client.call("GET", `v1/users/${userId}`)));
    } catch {
      this.#asked.delete(userId);
    }
  }
})();

export const nameOf = (user) => user.display_name || user.user_name;

/** Up to two letters for the round picture. */
export function letters(name) {
  const words = name.trim().split(/[\s._-]+/u).filter(Boolean);
  const firsts = words.length > 1 ? [words[0], words.at(-1)] : words;
  return firsts.map((word) => [...word][0] ?? "").join("").toLocaleUpperCase() || "?";
}

/** One of eight hues, the same for a person everywhere. */
export const hue = (id) => Number(BigInt(id) % 8n);
