/** Brings what the server tells to the parts of the page that show it. */

import { Observed } from "../observed.js";
import { account, client } from "./account.js";
import { chats } from "./chats.js";
import { notices } from "./notices.js";
import { outbox } from "./outbox.js";
import { nameOf, people } from "./people.js";
import { place } from "./place.js";
import { presence, typing } from "./presence.js";
import { shelf } from "./shelf.js";
import { timelines } from "./timeline.js";

/** How the line to the server is. */
export const line = new (class extends Observed {
  phase = "connecting";
  retryAt = null;
})();

/** Bumped when members of a chat may have changed, for those who show them. */
export const membership = new (class extends Observed {
  chatId = null;
})();

export function begin() {
  account.onremember = () => {
    people.learn(account.id, nameOf(account.user));
    for (const chat of chats.list()) learn(chat);
    outbox.begin();
    chats.changed();
  };
  client.onsync = () => {
    timelines.clear();
    account.onremember();
    account.changed();
    place.changed();
  };
  chats.watch(() => client.state && shelf.keepState(client.state));
  client.onstatus = ({ phase, retryAt, reason }) => {
    const wasOnline = line.phase === "online";
    line.phase = phase;
    line.retryAt = retryAt;
    if (phase === "online" && !wasOnline) {
      presence.tell();
      timelines.known(place.chatId)?.recover();
    }
    if (phase === "ended" && account.phase === "in") {
      outbox.end();
      people.clear();
      timelines.clear();
      account.leave(typeof reason === "number" ? { code: "session-ended" } : reason); // a socket does not say why
    }
    line.changed();
  };
  client.onevent = (event) => {
    hears[event.type]?.(event, timelines.known(event.chat_id));
    chats.changed();
  };
}

function learn(chat) {
  if (chat.peer_id) people.learn(chat.peer_id, chat.name);
  if (chat.last_message) people.learn(chat.last_message.sender_id, chat.last_message.sender_name);
}

/** What each event means here; the state of chats has changed already. */
const hears = {
  new_message({ chat_id: chatId, message, own }, timeline) {
    people.learn(message.sender_id, message.sender_name);
    presence.sees(message.sender_id);
    typing.ends(chatId, message.sender_id);
    timeline?.put(message);
    const chat = chats.get(chatId);
    if (!own && chat && message.seq > chat.read_seq) notices.tell(chat, message);
  },
  message_edited: ({ message }, timeline) => timeline?.change(message.message_id, message),
  message_deleted: ({ message }, timeline) => timeline?.change(message.message_id, message),
  reaction: ({ message_id: messageId, reactions }, timeline) => timeline?.change(messageId, { reactions }),
  message_read({ reads }, timeline) {
    for (const { user_id: userId, to_seq: seq } of reads) timeline?.hasRead(userId, seq);
  },
  message_read_by_all: ({ from_seq: from, to_seq: to }, timeline) => timeline?.allHaveRead(from, to),
  member_added: membersChanged,
  member_removed: membersChanged,
  member_changed(event, timeline) {
    people.learn(event.user_id, event.member.user_name);
    timeline?.rename(event.user_id, event.member.user_name);
    membersChanged(event);
  },
  chat_deleted: ({ chat_id: chatId }) => leaves(chatId),
  limited({ chat_id: chatId }) {
    timelines.forget(chatId);
    place.changed();
  },
  user_changed: () => account.changed(),
  typing({ chat_id: chatId, user_id: userId }) {
    presence.sees(userId);
    typing.hears(chatId, userId);
  },
  presence: (event) => presence.hears(event),
};

function membersChanged({ type, chat_id: chatId, user_id: userId }) {
  if (type === "member_removed" && userId === account.id) return leaves(chatId);
  membership.chatId = chatId;
  membership.changed();
}

function leaves(chatId) {
  timelines.forget(chatId);
  // What was said there too late is shown where it was said.
  if (place.chatId === chatId && !outbox.of(chatId).length) place.replace("#");
}
