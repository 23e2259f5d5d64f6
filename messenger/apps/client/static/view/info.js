/** The panel at the side: who this chat is with, and what can be changed about it. */

import { html, useEffect, useState } from "../vendor/preact.js";
import { account, client } from "../model/account.js";
import { chats, isDirect, isMuted, isNotes, may, nameOfChat } from "../model/chats.js";
import { membership } from "../model/desk.js";
import { people } from "../model/people.js";
import { place, toChat } from "../model/place.js";
import { presence } from "../model/presence.js";
import { stage } from "../model/stage.js";
import { useObserved } from "../observed.js";
import { language, say } from "../words.js";
import { Icon } from "./icons.js";
import { menuAt } from "./menu.js";
import { attempt, Avatar, Button, Empty, Skeleton, sentence } from "./parts.js";

export function Info() {
  useObserved(stage, place, chats, language);
  const chat = place.chatId && chats.get(place.chatId);
  if (!chat || !stage.isInfoOpen) return null;
  const name = nameOfChat(chat);
  return html`<aside class="info" aria-label=${say("info.title")}>
    <header class="bar"><h2 class="bar-title">${say("info.title")}</h2>
      <${Button} icon="close" label=${say("info.close")} onClick=${() => stage.toggleInfo(false)} /></header>
    <div class="scroll info-body">
      <div class="info-top">
        <${Avatar} id=${chat.peer_id ?? chat.chat_id} name=${name} size=${88} icon=${isNotes(chat) ? "pencil" : null} />
        <h3 class="info-name">${name}</h3>
        <p class="info-state">${isNotes(chat) ? say("chat.notesState") : isDirect(chat) ? html`<${Peer} userId=${chat.peer_id} />` : say("chat.members", { count: chat.member_count })}</p>
      </div>
      <ul class="acts" role="list">
        <li>${isMuted(chat)
          ? html`<${Act} icon="bell" label=${say("chat.unmute")} act=${() => attempt(() => chats.mute(chat.chat_id, null))} />`
          : html`<${Act} icon="bellOff" label=${say("chat.mute")} act=${() => stage.ask("mute", { chat })} />`}</li>
        ${may.change(chat) && html`<li><${Act} icon="edit" label=${say("group.rename")} act=${() => stage.ask("rename", { chat })} /></li>`}
        ${may.invite(chat) && html`<li><${Act} icon="plus" label=${say("group.add")} act=${() => stage.ask("addMembers", { chat })} /></li>`}
        ${may.leave(chat) && html`<li><${Act} icon="exit" label=${say("group.leave")} danger act=${() => askLeave(chat)} /></li>`}
        ${may.deleteChat(chat) && html`<li><${Act} icon="trash" label=${say("group.delete")} danger act=${() => askDelete(chat)} /></li>`}
      </ul>
      ${!isDirect(chat) && html`<${Members} key=${chat.chat_id} chat=${chat} />`}
    </div>
  </aside>`;
}

function Act({ icon, label, danger, act }) {
  return html`<button type="button" class=${danger ? "act danger" : "act"} onClick=${act}><${Icon} name=${icon} /><span>${label}</span></button>`;
}

function Peer({ userId }) {
  useObserved(presence);
  const [about, setAbout] = useState("");
  useEffect(() => {
    client.call("GET", `v1/users/${userId}`).then((user) => setAbout(user.about)).catch(() => {});
  }, [userId]);
  return html`${presence.isOnline(userId) ? say("presence.online") : say("presence.unknown")}${about && html`<br />${about}`}`;
}

function Members({ chat }) {
  const [members, setMembers] = useState(null);
  const [failure, setFailure] = useState(null);
  useObserved(people, presence);
  const load = () => chats.members(chat.chat_id).then(setMembers, setFailure);
  useEffect(() => {
    load();
    return membership.watch(() => membership.chatId === chat.chat_id && load());
  }, [chat.chat_id]);
  if (failure) return html`<${Empty} icon="alert" text=${sentence(failure)} action=${say("again")} onAction=${() => { setFailure(null); load(); }} />`;
  if (!members) return html`<${Skeleton} rows=${4} />`;
  return html`<h3 class="group-title">${say("group.members")}</h3>
    <ul class="members" role="list">${members.map((member) => html`<${Member} key=${member.user_id} chat=${chat} member=${member} />`)}</ul>`;
}

function Member({ chat, member }) {
  const isMe = member.user_id === account.id;
  const items = isMe ? [] : memberActs(chat, member);
  const open = (event) => items.length && menuAt(event, { label: member.user_name, items });
  return html`<li class="member" onContextMenu=${open}>
    <${Avatar} id=${member.user_id} name=${member.user_name} size=${36} userId=${isMe ? null : member.user_id} />
    <span class="member-name cut">${member.user_name}${isMe && html` <span class="muted-word">(${say("you")})</span>`}</span>
    ${member.role !== "member" && html`<span class="role">${say(`role.${member.role}`)}</span>`}
    ${items.length > 0 && html`<${Button} icon="more" label=${say("group.memberActions", { name: member.user_name })} aria-haspopup="menu" onClick=${open} />`}
  </li>`;
}

function memberActs(chat, member) {
  /** @type {{ icon: string, label: string, act: () => unknown, checked?: boolean, danger?: boolean }[]} */
  const acts = [{ icon: "person", label: say("member.write"), act: () => attempt(async () => place.go(toChat(await chats.open(member.user_id)))) }];
  if (may.changeRoles(chat)) {
    for (const role of ["owner", "admin", "member"]) {
      acts.push({ icon: "lock", label: say(`role.make.${role}`), checked: member.role === role,
        act: () => attempt(() => chats.changeRole(chat.chat_id, member.user_id, role)) });
    }
  }
  if (may.remove(chat, member)) {
    acts.push({ icon: "trash", label: say("member.remove"), danger: true, act: () => stage.ask("confirm", {
      title: say("member.remove"), text: say("member.removeAsk", { name: member.user_name }), action: say("member.remove"),
      act: () => chats.removeMember(chat.chat_id, member.user_id) }) });
  }
  return acts;
}

function askLeave(chat) {
  stage.ask("confirm", { title: say("group.leave"), text: say("group.leaveAsk", { name: nameOfChat(chat) }), action: say("group.leave"),
    act: () => chats.removeMember(chat.chat_id, account.id) });
}

function askDelete(chat) {
  stage.ask("confirm", { title: say("group.delete"), text: say("group.deleteAsk", { name: nameOfChat(chat) }), action: say("group.delete"),
    act: () => chats.remove(chat.chat_id) });
}
