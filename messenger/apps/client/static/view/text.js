/** What people typed, as text: addresses become links, names that were called stand out. Nothing becomes markup. */

import { html } from "../vendor/preact.js";

const MARKS = /(https?:\/\/[^\s<>"']*[^\s<>"'.,;:!?)\]}])|(?<=^|[\s(])(@[\p{L}\p{N}_.-]*[\p{L}\p{N}_])/gu;

export function Words({ text, me = "" }) {
  const parts = [];
  let end = 0;
  for (const { 0: whole, 1: address, index } of text.matchAll(MARKS)) {
    if (index > end) parts.push(text.slice(end, index));
    end = index + whole.length;
    if (address) {
      parts.push(html`<a href=${address} target="_blank" rel="noopener noreferrer nofollow">${address}</a>`);
      continue;
    }
    // A name may have more than one word; of mine it is known how many.
    const asMe = text.slice(index, index + 1 + me.length);
    const isMe = me !== "" && asMe.toLocaleLowerCase() === `@${me}`.toLocaleLowerCase();
    if (isMe) end = Math.max(end, index + asMe.length);
    parts.push(html`<span class=${isMe ? "called me" : "called"}>${text.slice(index, end)}</span>`);
  }
  parts.push(text.slice(end));
  return parts;
}

/** A hit of a search: its places are counted in code points, and a long text begins near the first of them. */
export function Highlighted({ text, highlights, length = 160 }) {
  const letters = [...text];
  const start = Math.max(0, (highlights[0]?.[0] ?? 0) - 40);
  const stop = Math.min(letters.length, start + length);
  const parts = start > 0 ? ["…"] : [];
  let at = start;
  for (const [from, to] of highlights) {
    if (from < at || from >= stop) continue;
    parts.push(letters.slice(at, from).join(""), html`<mark>${letters.slice(from, to).join("")}</mark>`);
    at = to;
  }
  parts.push(letters.slice(at, stop).join(""), stop < letters.length ? "…" : "");
  return parts;
}
