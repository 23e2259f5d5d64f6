/** My chats as the list shows them. Numbers and last lines are the server's; only the order is made here. */

import { Observed } from "../observed.js";
import { say } from "../words.js";
import { account, client } from "./account.js";
import { preferences } from "./preferences.js";

export const chats = new (class extends Observed {
  /** @returns {any} */
  get(chatId) {
    return client.state?.chats.get(chatId) ?? null;
  }

  /** The chat with the latest news first. */
  list() {
    return [...(client.state?.chats.values() ?? [])].sort((a, b) => lastTime(b).localeCompare(lastTime(a)));
  }

  unread() {
    let count = 0;
    for (const chat of client.state?.chats.values() ?? []) if (!isMuted(chat)) count += chat.unread;
    return count;
  }

  /** Reads one chat anew, after something about me in it has changed. */
  async load(chatId) {
    const chat = await client.call("GET", `v1/chats/${chatId}`);
    client.state?.chats.set(chatId, chat);
    this.changed();
  }

  async open(userId) {
    const { chat_id: chatId } = await client.call("POST", `v1/users/${userId}/chat`);
    if (!this.get(chatId)) await this.load(chatId);
    return chatId;
  }

  async createGroup(name, userIds) {
    const { chat_id: chatId } = await client.call("POST", "v1/groups", { name, participant_user_ids: userIds });
    if (!this.get(chatId)) await this.load(chatId);
    return chatId;
  }

  async rename(chatId, name) {
    await client.call("PATCH", `v1/chats/${chatId}`, { name });
  }

  async mute(chatId, until) {
    const chat = await client.call("PATCH", `v1/chats/${chatId}`, { muted_until: until });
    client.state?.chats.set(chatId, chat);
    this.changed();
  }

  async remove(chatId) {
    await client.call("DELETE", `v1/chats/${chatId}`);
  }

  async members(chatId) {
    const found = [];
    for (let from = ""; ; ) {
      const page = await client.call("GET", `v1/chats/${chatId}/members?limit=1000${from}`);
      found.push(...page.members);
      if (!page.next.iterator) return found;
      from = `&from=${encodeURIComponent(page.next.iterator)}`;
    }
  }

  async invite(chatId, userIds) {
    await client.call("POST", `v1/chats/${chatId}/members`, { user_ids: userIds });
  }

  async changeRole(chatId, userId, role) {
    await client.call("PATCH", `v1/chats/${chatId}/members/${userId}`, { role });
  }

  async removeMember(chatId, userId) {
    await client.call("DELETE", `v1/chats/${chatId}/members/${userId}`);
  }
})();

const lastTime = (chat) => chat.last_message?.sent_at ?? chat.created_at;

export const isNotes = (chat) => chat.kind === "direct" && chat.peer_id === account.id;
export const nameOfChat = (chat) => (isNotes(chat) ? say("chat.notes") : chat.name || say("chat.nameless"));
export const isMuted = (chat) => chat.muted_until !== null && new Date(chat.muted_until) > new Date();
export const isDirect = (chat) => chat.kind === "direct";

const RANKS = { owner: 3, admin: 2, member: 1 };
/** docs/rights.md; the server decides, this only hides what it would refuse. */
export const may = {
  change: (chat) => !isDirect(chat) && RANKS[chat.role] >= 2,
  invite: (chat) => !isDirect(chat) && RANKS[chat.role] >= 2,
  changeRoles: (chat) => !isDirect(chat) && chat.role === "owner",
  remove: (chat, member) =>
    !isDirect(chat) && (chat.role === "owner" || (chat.role === "admin" && member.role === "member")),
  leave: (chat) => !isDirect(chat),
  deleteChat: (chat) => !isDirect(chat) && chat.role === "owner",
  deleteMessage: (chat, message) =>
    message.sender_id === account.id || (!isDirect(chat) && RANKS[chat.role] >= 2),
  edit: (message) => message.sender_id === account.id,
};

export const enterSends = () => preferences.get("enter", true);
