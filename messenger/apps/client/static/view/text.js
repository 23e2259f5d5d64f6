/** What people typed, as text: addresses become links, names that were called stand out. Nothing becomes markup. */

import { html } from "../vendor/preact.js";

const MARKS = /(https?:\/\/[^\s<>"']*[^\s<>"'.,;:!?)\]}])|(?<=^|[\s(])(@[\p{L}\p{N}_.-]*[\p{L}\p{N}_])/gu;

export function Words({ text, me = "" }) {
  const parts = [];
  let end = 0;
  for (const found of text.matchAll(MARKS)) {
    const [whole, address, called] = found;
    if (found.index > end) parts.push(text.slice(end, found.index));
    if (address) {
      parts.push(html`<a href=${address} target="_blank" rel="noopener noreferrer nofollow">${address}</a>`);
    } else {
      const isMe = called.slice(1).toLocaleLowerCase() === me.toLocaleLowerCase();
      parts.push(html`<span class=${isMe ? "called me" : "called"}>${called}</span>`);
    }
    end = found.index + whole.length;
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
