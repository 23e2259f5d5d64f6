/**
 * Telling somebody who looks elsewhere: the number in the title, and notifications of the desktop if they were asked
 * for. Of several tabs one speaks, and none about the chat that a person is looking at.
 */

import { Observed } from "../observed.js";
import { say } from "../words.js";
import { account } from "./account.js";
import { chats, isDirect, isMuted, nameOfChat } from "./chats.js";
import { place, toChat } from "./place.js";
import { preferences } from "./preferences.js";
import { isLooking } from "./reading.js";

const SPEAKER = "messenger.speaker";
const SHOWN = 140;

export const notices = new (class extends Observed {
  #isSpeaker = !navigator.locks;
  #channel = new BroadcastChannel("messenger.looking");
  /** What each tab that is looked at shows. */
  #looked = new Map();
  #tab = Math.random();

  begin() {
    navigator.locks?.request(SPEAKER, () => {
      this.#isSpeaker = true;
      return new Promise(() => {}); // until this tab is closed
    });
    this.#channel.onmessage = ({ data }) => {
      if (data.chatId) this.#looked.set(data.tab, data.chatId);
      else this.#looked.delete(data.tab);
    };
    const tell = () => this.#channel.postMessage({ tab: this.#tab, chatId: isLooking() ? place.chatId : null });
    for (const event of ["focus", "blur", "pagehide"]) addEventListener(event, tell);
    document.addEventListener("visibilitychange", tell);
    place.watch(tell);
    tell();
    chats.watch(() => this.#title());
  }

  get isPossible() {
    return "Notification" in globalThis && isSecureContext;
  }

  get isOn() {
    return this.isPossible && Notification.permission === "granted" && preferences.get("notifications", false);
  }

  /** Asked for by a click, never by itself. */
  async turn(on) {
    const isGranted = on && (await Notification.requestPermission()) === "granted";
    preferences.set("notifications", isGranted);
    this.changed();
    return isGranted;
  }

  tell(chat, message) {
    if (!this.#isSpeaker || !this.isOn || message.sender_id === account.id || isMuted(chat)) return;
    if ((isLooking() && place.chatId === chat.chat_id) || [...this.#looked.values()].includes(chat.chat_id)) return;
    const title = isDirect(chat) ? nameOfChat(chat) : `${message.sender_name} · ${nameOfChat(chat)}`;
    const shown = new Notification(title, { body: message.text.slice(0, SHOWN), tag: chat.chat_id });
    shown.onclick = () => {
      window.focus();
      place.go(toChat(chat.chat_id));
      shown.close();
    };
  }

  #title() {
    const count = account.phase === "in" ? chats.unread() : 0;
    document.title = count > 0 ? `(${count}) ${say("app.name")}` : say("app.name");
  }
})();
