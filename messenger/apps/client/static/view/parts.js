/** The small parts that views are made of. */

import { html, useEffect, useLayoutEffect, useRef } from "../vendor/preact.js";
import { hue, letters } from "../model/people.js";
import { presence } from "../model/presence.js";
import { stage } from "../model/stage.js";
import { useObserved } from "../observed.js";
import { say } from "../words.js";
import { Icon } from "./icons.js";

export function Button({ icon, label, kind = "plain", onClick, ...rest }) {
  return html`<button type="button" class=${`button ${kind}`} aria-label=${label} title=${label} onClick=${onClick}
      ...${rest}>
    <${Icon} name=${icon} />
  </button>`;
}

export function Avatar({ id, name, size = 44, userId = null, icon = null }) {
  useObserved(presence);
  const isOnline = userId !== null && presence.isOnline(userId);
  return html`<span class="avatar" data-hue=${hue(id)} data-size=${size} aria-hidden="true">
    ${icon ? html`<${Icon} name=${icon} />` : letters(name)}
    ${isOnline && html`<span class="dot"></span>`}
  </span>`;
}

/** A dialog of the browser's own: it keeps the focus inside and gives it back. */
export function Dialog({ title, onClose, children, kind = "" }) {
  const ref = useRef(null);
  useEffect(() => {
    const before = document.activeElement;
    ref.current.showModal();
    return () => before instanceof HTMLElement && before.isConnected && before.focus();
  }, []);
  return html`<dialog ref=${ref} class=${`dialog ${kind}`} aria-labelledby="dialog-title"
      onCancel=${(event) => { event.preventDefault(); onClose(); }}
      onClick=${(event) => event.target === ref.current && onClose()}>
    <div class="dialog-inner">
      <header class="dialog-head">
        <h2 id="dialog-title">${title}</h2>
        <${Button} icon="close" label=${say("close")} onClick=${onClose} />
      </header>
      ${children}
    </div>
  </dialog>`;
}

/** A field with its name above and what is wrong with it below. */
export function Field({ label, error, id, hint, onValue, ...input }) {
  return html`<div class="field">
    <label for=${id}>${label}</label>
    <input id=${id} ...${input} aria-invalid=${error ? "true" : undefined}
      aria-describedby=${error || hint ? `${id}-says` : undefined} onInput=${(event) => onValue(event.target.value)} />
    ${(error || hint) && html`<p id=${`${id}-says`} class=${error ? "says error" : "says"}>${error || hint}</p>`}
  </div>`;
}

export function Empty({ icon, text, action, onAction }) {
  return html`<div class="empty">
    <span class="empty-icon"><${Icon} name=${icon} size=${32} /></span>
    <p>${text}</p>
    ${action && html`<button type="button" class="button filled" onClick=${onAction}>${action}</button>`}
  </div>`;
}

/** Rows that stand for what is being read; they come only when it takes long. */
export function Skeleton({ rows = 5 }) {
  return html`<div class="skeleton" role="status" aria-label=${say("loading")}>
    ${Array.from({ length: rows }, (_, at) => html`<span class="bone" key=${at}></span>`)}
  </div>`;
}

/** Puts the focus on a field when it appears. */
export function useFocus(...when) {
  const ref = useRef(null);
  useLayoutEffect(() => ref.current?.focus(), when);
  return ref;
}

/** What went wrong, in the reader's language where the page knows the code. */
export function sentence(error) {
  const known = error?.code && `error.${error.code}`;
  try {
    return known ? say(known) : say("error.unreachable");
  } catch {
    return error.detail || error.message;
  }
}

/** For what is done by one click: a refusal is told for a moment. */
export async function attempt(act) {
  try {
    return await act();
  } catch (error) {
    stage.tell(sentence(error));
    return null;
  }
}

/** Arrows go from row to row. */
export function walkRows(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  const rows = [...event.currentTarget.querySelectorAll("a.row-link, button.row-link")];
  const at = rows.indexOf(document.activeElement);
  rows[at + step]?.focus();
  event.preventDefault();
}
