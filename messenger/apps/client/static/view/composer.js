/** Where one writes. Words that are not sent stay, also over a reload. */

import { html, useLayoutEffect, useRef, useState } from "../vendor/preact.js";
import { account, client } from "../model/account.js";
import { chats, enterSends, isDirect } from "../model/chats.js";
import { keyOf } from "../model/keys.js";
import { outbox } from "../model/outbox.js";
import { drafts } from "../model/preferences.js";
import { stage } from "../model/stage.js";
import { useObserved } from "../observed.js";
import { language, say } from "../words.js";
import { Icon } from "./icons.js";
import { attempt, Avatar, Button } from "./parts.js";

const LIMIT = 4096;
const NEAR_LIMIT = 200;
const TALLEST = 200;
const CALLS = 8;
const CALLING = /(?:^|\s)@([\p{L}\p{N}_.-]*)$/u;

export function Composer({ chat, timeline }) {
  useObserved(stage, language);
  const { replyTo, editing } = stage.composing(chat.chat_id);
  const [text, setText] = useState(() => drafts.of(account.id, chat.chat_id));
  const field = useRef(null);
  const [calling, setCalling] = useState(null);
  const round = useRef(0);
  const subject = (editing ?? replyTo)?.message_id;

  // At once: the next key is already meant for it.
  useLayoutEffect(() => {
    if (editing) setText(editing.text);
    if (subject || !matchMedia("(pointer: coarse)").matches) field.current.focus();
  }, [subject, Boolean(editing)]);

  useLayoutEffect(() => {
    field.current.style.height = "auto";
    field.current.style.height = `${Math.min(TALLEST, field.current.scrollHeight)}px`;
  }, [text]);

  /** @param {string} words @param {number} [caret] where it will stand */
  function write(words, caret = field.current.selectionStart) {
    setText(words);
    if (!editing) drafts.keep(account.id, chat.chat_id, words);
    if (words.trim()) client.typing(chat.chat_id);
    suggest(words.slice(0, caret));
  }

  async function suggest(before) {
    const found = CALLING.exec(before);
    const mine = (round.current += 1);
    if (!found || isDirect(chat)) return setCalling(null);
    const members = await membersOf(chat.chat_id);
    if (mine !== round.current) return; // more was typed meanwhile
    const asked = found[1].toLocaleLowerCase();
    const fits = ({ user_id: id, user_name: name }) => id !== account.id && name.toLocaleLowerCase().includes(asked);
    const fitting = members.filter(fits);
    setCalling(fitting.length ? { length: found[1].length, people: fitting.slice(0, CALLS), at: 0 } : null);
  }

  function call({ user_name: name }) {
    const end = field.current.selectionStart;
    const before = text.slice(0, end - calling.length);
    const caret = before.length + name.length + 1;
    write(`${before}${name} ${text.slice(end)}`, caret);
    requestAnimationFrame(() => field.current.setSelectionRange(caret, caret));
  }

  function stop() {
    if (editing) setText(drafts.of(account.id, chat.chat_id));
    stage.compose(chat.chat_id, null);
  }

  async function send() {
    const words = text.trim();
    if (!words || [...words].length > LIMIT) return;
    setCalling(null);
    if (editing) {
      const isChanged = words !== editing.text;
      stop();
      if (isChanged) await attempt(() => client.edit(chat.chat_id, editing.message_id, words));
      return;
    }
    setText("");
    drafts.keep(account.id, chat.chat_id, "");
    stage.compose(chat.chat_id, null);
    outbox.add(chat.chat_id, words, replyTo?.message_id ?? null);
    timeline.divider = null;
    timeline.toEnd();
    field.current.focus();
  }

  function editLast() {
    const last = timeline.messages.findLast((message) => message.sender_id === account.id && !message.deleted);
    if (last) stage.compose(chat.chat_id, { editing: last });
    return Boolean(last);
  }

  const isSending = (event) =>
    !event.altKey && (event.ctrlKey || event.metaKey || event.shiftKey !== enterSends());

  function press(event) {
    if (event.isComposing) return; // the letters are still being made
    if (calling && ["ArrowDown", "ArrowUp"].includes(event.key)) {
      const step = event.key === "ArrowDown" ? 1 : -1;
      setCalling({ ...calling, at: (calling.at + step + calling.people.length) % calling.people.length });
    } else if (calling && ["Enter", "Tab"].includes(event.key)) {
      call(calling.people[calling.at]);
    } else if (calling && event.key === "Escape") {
      setCalling(null);
    } else if (event.key === "Enter" && isSending(event)) {
      send();
    } else if (keyOf(event, "composer") === "editLast" && !text && !editing) {
      if (!editLast()) return;
    } else if (event.key === "Escape" && subject) {
      stop();
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  const left = LIMIT - [...text].length;
  const askEmoji = () => stage.ask("emoji", { choose: (emoji) => insert(field.current, emoji, write) });
  return html`<footer class="composer">
    ${subject && html`<div class="about">
      <${Icon} name=${editing ? "edit" : "reply"} />
      <span class="about-words">
        <span class="about-who cut">${editing ? say("composer.editing") : replyTo.sender_name}</span>
        <span class="cut">${(editing ?? replyTo).text}</span>
      </span>
      <${Button} icon="close" label=${say("cancel")} onClick=${stop} />
    </div>`}
    ${calling && html`<${Calling} people=${calling.people} at=${calling.at} onChoose=${call} />`}
    <div class="composer-row">
      <${Button} icon="smile" label=${say("emoji.title")} onClick=${askEmoji} />
      <textarea ref=${field} id="composer" rows="1" value=${text}
        aria-label=${say("composer.label")} placeholder=${say("composer.placeholder")}
        role=${calling ? "combobox" : undefined} aria-expanded=${calling ? "true" : undefined}
        aria-controls=${calling ? "calling" : undefined} aria-autocomplete=${calling ? "list" : undefined}
        aria-activedescendant=${calling ? `calling-${calling.at}` : undefined}
        enterkeyhint=${enterSends() ? "send" : "enter"} onInput=${(event) => write(event.target.value)}
        onKeyDown=${press} onBlur=${() => setCalling(null)}></textarea>
      ${left < NEAR_LIMIT && html`<span class=${left < 0 ? "left error" : "left"} role="status">${left}</span>`}
      <${Button} icon=${editing ? "check" : "send"} kind="filled round"
        label=${say(editing ? "composer.save" : "composer.send")} disabled=${!text.trim() || left < 0}
        onMouseDown=${(event) => event.preventDefault()} onClick=${send} />
    </div>
  </footer>`;
}

/** The people whom the letters after an `@` may mean. */
function Calling({ people, at, onChoose }) {
  const press = (event, member) => {
    event.preventDefault();
    onChoose(member);
  };
  return html`<ul class="calling" role="listbox" id="calling" aria-label=${say("composer.people")}>
    ${people.map((member, index) => html`<li key=${member.user_id} id=${`calling-${index}`} role="option"
        aria-selected=${index === at} onMouseDown=${(event) => press(event, member)}>
      <${Avatar} id=${member.user_id} name=${member.user_name} size=${24} /> ${member.user_name}
    </li>`)}
  </ul>`;
}

function insert(field, words, write) {
  const { selectionStart: from, selectionEnd: to, value } = field;
  const caret = from + words.length;
  write(value.slice(0, from) + words + value.slice(to), caret);
  requestAnimationFrame(() => {
    field.focus();
    field.setSelectionRange(caret, caret);
  });
}

/** Asked for at the first `@` of a chat. */
let known = { chatId: "", members: Promise.resolve([]) };

async function membersOf(chatId) {
  if (known.chatId !== chatId) known = { chatId, members: attempt(() => chats.members(chatId)) };
  return (await known.members) ?? [];
}
