/** What can be done with a message: in its menu, and by the keys of `model/keys.js` while it has the focus. */

import { client } from "../model/account.js";
import { may } from "../model/chats.js";
import { keyOf } from "../model/keys.js";
import { place, toMessage } from "../model/place.js";
import { stage } from "../model/stage.js";
import { say } from "../words.js";
import { menuAt } from "./menu.js";
import { react } from "./message.js";
import { attempt } from "./parts.js";

export function messageMenu({ chat, timeline, message }) {
  const acts = actions({ chat, timeline, message });
  return {
    label: say("message.actions"),
    reactTo: acts.react && ((emoji) => react(message, emoji)),
    items: [
      acts.reply && { icon: "reply", label: say("message.reply"), act: acts.reply },
      acts.quoted && { icon: "up", label: say("message.quoted"), act: acts.quoted },
      acts.edit && { icon: "edit", label: say("message.edit"), act: acts.edit },
      acts.copy && { icon: "copy", label: say("message.copy"), act: acts.copy },
      acts.readers && { icon: "check", label: say("tick.who"), act: acts.readers },
      acts.delete && { icon: "trash", label: say("message.delete"), danger: true, act: acts.delete },
    ],
  };
}

function actions({ chat, timeline, message }) {
  if (message.deleted) return {};
  return {
    react: () => stage.ask("emoji", { choose: (emoji) => react(message, emoji) }),
    reply: () => stage.compose(chat.chat_id, { replyTo: message }),
    quoted: message.reply_to && (() => place.go(toMessage(chat.chat_id, message.reply_to))),
    copy: () => attempt(async () => {
      await navigator.clipboard.writeText(message.text);
      stage.tell(say("message.copied"));
    }),
    edit: may.edit(message) && (() => stage.compose(chat.chat_id, { editing: message })),
    readers: may.edit(message) && chat.kind !== "direct" && (() => stage.ask("readers", { chat, message })),
    delete: may.deleteMessage(chat, message) && (() => stage.ask("confirm", {
      title: say("message.delete"), text: say("message.deleteAsk"), action: say("message.delete"),
      act: () => client.remove(chat.chat_id, message.message_id),
    })),
  };
}

/** @returns {boolean} whether the key means something here */
export function actOn(event, subject) {
  if (subject.message.deleted) return false;
  const key = keyOf(event, "message");
  if (key === "menu") {
    menuAt(event, messageMenu(subject));
    return true;
  }
  const act = key && actions(subject)[key];
  if (!act) return false;
  act();
  return true;
}
