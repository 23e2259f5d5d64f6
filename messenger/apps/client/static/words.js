/**
 * What the page says, in the language of its reader. A language is one file in `words/`; a word with a number in it
 * is an object by the plural forms of that language.
 */

import { Observed } from "./observed.js";
import { preferences } from "./model/preferences.js";
import { english } from "./words/en.js";
import { russian } from "./words/ru.js";

export const LANGUAGES = { en: { name: "English", words: english }, ru: { name: "Русский", words: russian } };

export const language = new (class extends Observed {
  code = "en";
  #plurals = new Intl.PluralRules("en");

  begin() {
    const asked = new URLSearchParams(location.search).get("lang");
    const wishes = [asked, preferences.get("language"), ...navigator.languages].map((wish) => wish?.slice(0, 2));
    this.#take(wishes.find((wish) => wish && wish in LANGUAGES) ?? "en");
  }

  choose(code) {
    preferences.set("language", code);
    this.#take(code);
    this.changed();
  }

  form(number) {
    return this.#plurals.select(number);
  }

  #take(code) {
    this.code = code;
    this.#plurals = new Intl.PluralRules(code);
    document.documentElement.lang = code;
  }
})();

/**
 * @param {string} key that every language has: a test compares
 * @param {Record<string, string | number>} [values] fill the places in braces; `count` chooses the form
 */
export function say(key, values = {}) {
  const found = LANGUAGES[language.code].words[key];
  const text = typeof found === "string" ? found : (found[language.form(Number(values.count))] ?? found.other);
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}
