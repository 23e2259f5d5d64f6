/** Everything that is asked in a dialog. Each is one function; `stage.ask` names it. */

import { html, useEffect, useState } from "../vendor/preact.js";
import { account, client } from "../model/account.js";
import { chats, nameOfChat } from "../model/chats.js";
import { exact, lately } from "../model/dates.js";
import { KEYS, shown } from "../model/keys.js";
import { notices } from "../model/notices.js";
import { outbox } from "../model/outbox.js";
import { nameOf, people } from "../model/people.js";
import { place, toChat } from "../model/place.js";
import { preferences } from "../model/preferences.js";
import { stage } from "../model/stage.js";
import { timelines } from "../model/timeline.js";
import { useObserved } from "../observed.js";
import { LANGUAGES, language, say } from "../words.js";
import { EmojiPicker } from "./emoji.js";
import { Icon } from "./icons.js";
import { attempt, Avatar, Dialog, Field, Skeleton, sentence, useFocus } from "./parts.js";

const close = () => stage.close();

export function Dialogs() {
  useObserved(stage, language);
  const { dialog } = stage;
  if (!dialog) return null;
  const Asked = DIALOGS[dialog.name];
  return html`<${Asked} key=${dialog.name} ...${dialog} />`;
}

/** Runs what a form is for: shows what was refused, else closes. */
function useDoing() {
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState(null);
  const run = async (act) => {
    setBusy(true);
    setFailure(null);
    try {
      await act();
      close();
    } catch (error) {
      setFailure(error);
      setBusy(false);
    }
  };
  return { isBusy, failure, run };
}

/** A form is sent by the page, not by the browser. */
const sending = (act) => (event) => {
  event.preventDefault();
  act();
};

function Actions({ label, danger, isBusy, failure, isOff, onDo }) {
  return html`
    ${failure && html`<p class="says error" role="alert">${sentence(failure)}</p>`}
    <footer class="dialog-actions">
      <button type="button" class="button quiet" onClick=${close}>${say("cancel")}</button>
      <button type=${onDo ? "button" : "submit"} class=${danger ? "button filled danger" : "button filled"}
        disabled=${isBusy || isOff} onClick=${onDo}>${label}</button>
    </footer>`;
}

function Confirm({ title, text, action, act }) {
  const { isBusy, failure, run } = useDoing();
  return html`<${Dialog} title=${title} onClose=${close}>
    <p>${text}</p>
    <${Actions} label=${action} danger isBusy=${isBusy} failure=${failure} onDo=${() => run(act)} />
  <//>`;
}

function SignOut() {
  const waits = outbox.waiting > 0;
  const signOut = () => {
    close();
    account.signOut();
  };
  return html`<${Dialog} title=${say("signout")} onClose=${close}>
    <p>${say(waits ? "signout.waiting" : "signout.ask", { count: outbox.waiting })}</p>
    <${Actions} label=${say("signout")} danger onDo=${signOut} />
  <//>`;
}

/** A choice of people: what is typed finds them. */
function PeoplePicker({ chosen, onChoose, without = [] }) {
  const [query, setQuery] = useState("");
  const [found, setFound] = useState(null);
  const [failure, setFailure] = useState(null);
  const field = useFocus();
  useEffect(() => {
    let isLate = false;
    const timer = setTimeout(async () => {
      try {
        const users = await people.find(query.trim(), 30);
        if (!isLate) setFound(users.filter((user) => user.user_id !== account.id && !without.includes(user.user_id)));
      } catch (error) {
        if (!isLate) setFailure(error);
      }
    }, query ? 200 : 0);
    return () => { isLate = true; clearTimeout(timer); };
  }, [query]);
  const has = (user) => chosen.some((one) => one.user_id === user.user_id);
  const toggle = (user) =>
    onChoose(has(user) ? chosen.filter((one) => one.user_id !== user.user_id) : [...chosen, user]);
  return html`<div class="picker">
    ${chosen.length > 0 && html`<ul class="chosen" role="list">
      ${chosen.map((user) => html`<li key=${user.user_id}>
        <button type="button" class="chip" onClick=${() => toggle(user)}
            aria-label=${say("people.unchoose", { name: nameOf(user) })}>
          ${nameOf(user)} <${Icon} name="close" size=${14} />
        </button>
      </li>`)}
    </ul>`}
    <input ref=${field} type="search" value=${query}
      placeholder=${say("people.find")} aria-label=${say("people.find")} autocomplete="off"
      onInput=${(event) => setQuery(event.target.value)} />
    ${failure && html`<p class="says error" role="alert">${sentence(failure)}</p>`}
    ${!found ? html`<${Skeleton} rows=${4} />` : html`<ul class="people" role="list">
      ${found.map((user) => html`<li key=${user.user_id}>
        <label class="person">
          <input type="checkbox" checked=${has(user)} onChange=${() => toggle(user)} />
          <${Avatar} id=${user.user_id} name=${nameOf(user)} size=${32} userId=${user.user_id} />
          <span class="cut">${nameOf(user)}</span>
        </label>
      </li>`)}
    </ul>`}
    ${found?.length === 0 && html`<p class="hint">${say("people.nobody")}</p>`}
  </div>`;
}

/** One person makes a direct chat; several, or a name, make a group. */
function NewChat() {
  const [chosen, choose] = useState([]);
  const [name, setName] = useState("");
  const { isBusy, failure, run } = useDoing();
  const isGroup = chosen.length > 1 || name.trim() !== "";
  const isReady = isGroup ? name.trim() : chosen.length === 1;
  const act = async () => place.go(toChat(isGroup
    ? await chats.createGroup(name.trim(), chosen.map((user) => user.user_id))
    : await chats.open(chosen[0].user_id)));
  return html`<${Dialog} title=${say("chats.new")} onClose=${close} kind="tall">
    <form onSubmit=${sending(() => run(act))}>
      <${PeoplePicker} chosen=${chosen} onChoose=${choose} />
      <${Field} id="group-name" label=${say("group.name")} hint=${say("group.nameHint")} value=${name} maxlength="255"
        autocomplete="off" onValue=${setName} />
      <${Actions} label=${say(isGroup ? "group.create" : "chats.start")} isBusy=${isBusy} failure=${failure}
        isOff=${!isReady} />
    </form>
  <//>`;
}

function AddMembers({ chat }) {
  const [chosen, choose] = useState([]);
  const [here, setHere] = useState(null);
  const { isBusy, failure, run } = useDoing();
  useEffect(() => {
    attempt(async () => setHere((await chats.members(chat.chat_id)).map((member) => member.user_id)));
  }, []);
  const invite = () => chats.invite(chat.chat_id, chosen.map((user) => user.user_id));
  return html`<${Dialog} title=${say("group.add")} onClose=${close} kind="tall">
    <form onSubmit=${sending(() => run(invite))}>
      ${here ? html`<${PeoplePicker} chosen=${chosen} onChoose=${choose} without=${here} />` : html`<${Skeleton} />`}
      <${Actions} label=${say("group.add")} isBusy=${isBusy} failure=${failure} isOff=${!chosen.length} />
    </form>
  <//>`;
}

function Rename({ chat }) {
  const [name, setName] = useState(nameOfChat(chat));
  const { isBusy, failure, run } = useDoing();
  const rename = () => chats.rename(chat.chat_id, name.trim());
  return html`<${Dialog} title=${say("group.rename")} onClose=${close}>
    <form onSubmit=${sending(() => run(rename))}>
      <${Field} id="chat-name" label=${say("group.name")} value=${name} maxlength="255" autocomplete="off"
        onValue=${setName} />
      <${Actions} label=${say("save")} isBusy=${isBusy} failure=${failure} isOff=${!name.trim()} />
    </form>
  <//>`;
}

const HOURS = { "mute.hour": 1, "mute.eight": 8, "mute.week": 168, "mute.ever": 24 * 365 * 100 };

function Mute({ chat }) {
  const { isBusy, failure, run } = useDoing();
  const until = (hours) => new Date(Date.now() + hours * 3_600_000).toISOString();
  return html`<${Dialog} title=${say("chat.mute")} onClose=${close}>
    <div class="choices">
      ${Object.entries(HOURS).map(([key, hours]) => html`
        <button type="button" key=${key} class="button quiet wide" disabled=${isBusy}
          onClick=${() => run(() => chats.mute(chat.chat_id, until(hours)))}>${say(key)}</button>`)}
    </div>
    ${failure && html`<p class="says error" role="alert">${sentence(failure)}</p>`}
  <//>`;
}

function Readers({ chat, message }) {
  const [members, setMembers] = useState(null);
  const timeline = timelines.of(chat.chat_id);
  useObserved(timeline);
  useEffect(() => { attempt(async () => setMembers(await chats.members(chat.chat_id))); }, []);
  const others = members?.filter((member) => member.user_id !== message.sender_id) ?? [];
  const hasRead = (member) => Math.max(member.read_seq, timeline.readers.get(member.user_id) ?? 0) >= message.seq;
  const read = others.filter(hasRead);
  const unread = others.filter((member) => !hasRead(member));
  const title = members ? say("tick.readBy", { count: read.length, all: others.length }) : say("tick.who");
  return html`<${Dialog} title=${title} onClose=${close}>
    <p class="muted-word">${exact(message.sent_at)}</p>
    ${members
      ? html`${memberList(say("tick.readList"), read)}${memberList(say("tick.unreadList"), unread)}`
      : html`<${Skeleton} />`}
  <//>`;
}

const memberList = (title, some) => some.length > 0 && html`
  <h3 class="group-title">${title}</h3>
  <ul class="members" role="list">
    ${some.map((member) => html`<li class="member" key=${member.user_id}>
      <${Avatar} id=${member.user_id} name=${member.user_name} size=${32} />
      <span class="cut">${member.user_name}</span>
    </li>`)}
  </ul>`;

function Emoji({ choose }) {
  const take = (emoji) => {
    close();
    choose(emoji);
  };
  return html`<${Dialog} title=${say("emoji.title")} onClose=${close}><${EmojiPicker} onChoose=${take} /><//>`;
}

function Profile() {
  useObserved(account);
  const { user } = account;
  const [name, setName] = useState(user.user_name);
  const [about, setAbout] = useState(user.about);
  const { isBusy, failure, run } = useDoing();
  const save = () => client.call("PATCH", "v1/users/me", { user_name: name.trim(), about: about.trim() });
  return html`<${Dialog} title=${say("profile.title")} onClose=${close}>
    <form onSubmit=${sending(() => run(save))}>
      <div class="info-top"><${Avatar} id=${user.user_id} name=${name} size=${88} /></div>
      <${Field} id="my-name" label=${say("profile.name")} value=${name} maxlength="255" autocomplete="username"
        onValue=${setName} />
      <${Field} id="my-about" label=${say("profile.about")} value=${about} maxlength="1024" autocomplete="off"
        onValue=${setAbout} />
      <button type="button" class="button link" onClick=${() => stage.ask("password")}>${say("password.title")}</button>
      <${Actions} label=${say("save")} isBusy=${isBusy} failure=${failure} isOff=${name.trim().length < 2} />
    </form>
  <//>`;
}

function Password() {
  const [current, setCurrent] = useState("");
  const [next, setNext] = useState("");
  const { isBusy, failure, run } = useDoing();
  const save = async () => {
    await client.call("POST", "v1/auth/password", { current_password: current, new_password: next });
    stage.tell(say("password.done"));
  };
  const least = account.server.password_min_length;
  return html`<${Dialog} title=${say("password.title")} onClose=${close}>
    <form onSubmit=${sending(() => run(save))}>
      <${Field} id="password-now" label=${say("password.current")} type="password" value=${current}
        autocomplete="current-password" onValue=${setCurrent} />
      <${Field} id="password-new" label=${say("password.new")} hint=${say("password.hint")} type="password"
        value=${next} autocomplete="new-password" onValue=${setNext} />
      <${Actions} label=${say("save")} isBusy=${isBusy} failure=${failure}
        isOff=${!current || [...next].length < least} />
    </form>
  <//>`;
}

function Devices() {
  const [devices, setDevices] = useState(null);
  const [failure, setFailure] = useState(null);
  const load = () => client.call("GET", "v1/auth/sessions").then(({ sessions }) => setDevices(sessions), setFailure);
  useEffect(() => { load(); }, []);
  const end = (path) => attempt(async () => { await client.call("DELETE", path); await load(); });
  const others = devices?.filter((device) => !device.current) ?? [];
  return html`<${Dialog} title=${say("devices.title")} onClose=${close}>
    ${failure && html`<p class="says error" role="alert">${sentence(failure)}</p>`}
    ${!devices ? html`<${Skeleton} rows=${3} />` : html`
      <ul class="devices" role="list">
        ${[...devices].sort((a, b) => Number(b.current) - Number(a.current)).map((device) => html`
          <${Device} key=${device.id} device=${device} end=${() => end(`v1/auth/sessions/${device.id}`)} />`)}
      </ul>
      ${others.length > 1 && html`<button type="button" class="button quiet danger wide"
        onClick=${() => end("v1/auth/sessions")}>${say("devices.endOthers")}</button>`}
      ${others.length === 0 && html`<p class="hint">${say("devices.only")}</p>`}`}
  <//>`;
}

function Device({ device, end }) {
  const name = device.device_name ?? say("devices.unnamed");
  return html`<li class="device">
    <${Icon} name="device" />
    <span class="device-words">
      <span class="cut">${name}</span>
      <span class="muted-word">
        ${device.current ? say("devices.this") : say("devices.seen", { time: lately(device.last_seen_at) })}
      </span>
    </span>
    ${!device.current && html`<button type="button" class="button quiet danger" onClick=${end}
      aria-label=${say("devices.endOne", { name })}>${say("devices.end")}</button>`}
  </li>`;
}

const radios = (name, values, chosen, onChoose) => html`<fieldset class="radios">
  <legend>${say(`settings.${name}`)}</legend>
  ${values.map(([value, label]) => html`<label key=${value}>
    <input type="radio" name=${name} checked=${chosen === value} onChange=${() => onChoose(value)} />
    <span>${label}</span>
  </label>`)}
</fieldset>`;

const choices = (name, values) => radios(
  name,
  values.map((value) => [value, say(`settings.${name}.${value}`)]),
  preferences.get(name, "auto"),
  (value) => preferences.set(name, value),
);

function Settings() {
  useObserved(preferences, language, notices);
  const languages = Object.entries(LANGUAGES).map(([code, { name }]) => [code, name]);
  return html`<${Dialog} title=${say("settings.title")} onClose=${close}>
    ${radios("language", languages, language.code, (code) => language.choose(code))}
    ${choices("theme", ["auto", "light", "dark"])}
    ${choices("motion", ["auto", "off"])}
    <label class="check">
      <input type="checkbox" checked=${preferences.get("enter", true)}
        onChange=${(event) => preferences.set("enter", event.target.checked)} />
      <span>${say("settings.enter")}</span>
    </label>
    <label class="check">
      <input type="checkbox" disabled=${!notices.isPossible} checked=${notices.isOn}
        onChange=${(event) => notices.turn(event.target.checked)} />
      <span>${say("settings.notifications")}</span>
    </label>
    ${!notices.isPossible && html`<p class="says">${say("settings.notificationsNot")}</p>`}
  <//>`;
}

function Keys() {
  return html`<${Dialog} title=${say("keys.title")} onClose=${close}>
    ${["page", "message", "composer"].map((where) => html`
      <h3 class="group-title" key=${where}>${say(`keys.${where}`)}</h3>
      <dl class="keys">
        ${KEYS.filter((one) => one.where === where).map(({ name, keys }) => html`<div key=${name}>
          <dt>${say(`key.${where}.${name}`)}</dt>
          <dd>${shown(keys).split(" ").map((key) => html`<kbd>${key}</kbd> `)}</dd>
        </div>`)}
      </dl>`)}
  <//>`;
}

function Switcher() {
  const [query, setQuery] = useState("");
  const [at, setAt] = useState(0);
  const field = useFocus();
  const asked = query.trim().toLocaleLowerCase();
  const found = chats.list().filter((chat) => nameOfChat(chat).toLocaleLowerCase().includes(asked)).slice(0, 12);
  const go = (chat) => {
    close();
    place.go(toChat(chat.chat_id));
  };
  const type = (event) => {
    setQuery(event.target.value);
    setAt(0);
  };
  const press = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && found.length) setAt((at + step + found.length) % found.length);
    else if (event.key === "Enter" && found[at]) go(found[at]);
    else return;
    event.preventDefault();
  };
  return html`<${Dialog} title=${say("switcher.title")} onClose=${close} kind="switcher">
    <input ref=${field} type="search" role="combobox" aria-expanded="true" aria-controls="switcher-list"
      aria-activedescendant=${found[at] ? `switch-${found[at].chat_id}` : undefined}
      value=${query} placeholder=${say("switcher.placeholder")} aria-label=${say("switcher.placeholder")}
      autocomplete="off" onKeyDown=${press} onInput=${type} />
    <ul id="switcher-list" role="listbox" aria-label=${say("chats.title")} class="switcher-list">
      ${found.map((chat, index) => html`<li key=${chat.chat_id} id=${`switch-${chat.chat_id}`} role="option"
          aria-selected=${index === at} onClick=${() => go(chat)}>
        <${Avatar} id=${chat.peer_id ?? chat.chat_id} name=${nameOfChat(chat)} size=${32} />
        <span class="cut">${nameOfChat(chat)}</span>
        ${chat.unread > 0 && html`<span class="badge">${chat.unread}</span>`}
      </li>`)}
    </ul>
    ${!found.length && html`<p class="hint">${say("search.nothing")}</p>`}
  <//>`;
}

const DIALOGS = {
  confirm: Confirm, signOut: SignOut,
  newChat: NewChat, addMembers: AddMembers, rename: Rename, mute: Mute, readers: Readers, emoji: Emoji,
  profile: Profile, password: Password, devices: Devices, settings: Settings, keys: Keys, switcher: Switcher,
};
