/** Our own icons: 20 by 20, one stroke. */

import { html } from "../vendor/preact.js";

const PATHS = {
  alert: "M10 6.5v4.5M10 13.5v.1M10 2.8 17.8 16.5H2.2z",
  back: "M12.5 4.5 7 10l5.5 5.5",
  bell: "M5.5 8.5a4.5 4.5 0 0 1 9 0c0 4 1.5 5 1.5 5H4s1.5-1 1.5-5M8.5 16a1.6 1.6 0 0 0 3 0",
  bellOff: "M5.7 7.2c-.1.4-.2.8-.2 1.3 0 4-1.5 5-1.5 5h9.5"
    + "M8 4.5a4.5 4.5 0 0 1 6.5 4c0 1.6.3 2.7.6 3.5M8.5 16a1.6 1.6 0 0 0 3 0M3.5 3.5l13 13",
  check: "M4.5 10.5 8.5 14.5 15.5 6.5",
  clock: "M10 3a7 7 0 1 0 0 14 7 7 0 0 0 0-14M10 6.5V10l2.5 1.5",
  close: "M5 5l10 10M15 5 5 15",
  copy: "M7 7h9v9H7zM13 7V4H4v9h3",
  device: "M3 4.5h14v9H3zM7 16.5h6M10 13.5v3",
  down: "M4.5 7.5 10 13l5.5-5.5",
  edit: "M4 16l.7-3.2 8.3-8.3 2.5 2.5-8.3 8.3z",
  exit: "M8 4H4v12h4M12 6.5 15.5 10 12 13.5M15.5 10H7.5",
  filter: "M3 5h14M5.5 10h9M8 15h4",
  group: "M7.5 9.5a2.7 2.7 0 1 0 0-5.4 2.7 2.7 0 0 0 0 5.4M2.5 16c0-2.8 2-4.5 5-4.5s5 1.7 5 4.5"
    + "M13 4.5a2.5 2.5 0 0 1 0 4.8M14.5 11.8c1.9.5 3 2 3 4.2",
  info: "M10 3a7 7 0 1 0 0 14 7 7 0 0 0 0-14M10 9.3v4M10 6.6v.1",
  keyboard: "M2.5 5.5h15v9h-15zM5.5 8.5h.1M8.5 8.5h.1M11.5 8.5h.1M14.5 8.5h.1M6.5 11.5h7",
  lock: "M5.5 9h9v7h-9zM7.5 9V6.5a2.5 2.5 0 0 1 5 0V9",
  menu: "M3.5 5.5h13M3.5 10h13M3.5 14.5h13",
  more: "M5 10h.1M10 10h.1M15 10h.1",
  palette: "M10 3a7 7 0 1 0 0 14V3z",
  pencil: "M3.5 16.5h13M5 13l.6-2.6 7-7 2 2-7 7z",
  person: "M10 9.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6M4 16.5c0-3 2.5-4.8 6-4.8s6 1.8 6 4.8",
  plus: "M10 4v12M4 10h12",
  reply: "M8 5 3.5 9.5 8 14M3.5 9.5h7.5c3.5 0 5.5 2 5.5 5.5",
  retry: "M15.5 6.5V3.5M15.5 6.5h-3M15.3 6.3A6.5 6.5 0 1 0 16.5 10",
  search: "M9 4a5 5 0 1 0 0 10A5 5 0 0 0 9 4M12.7 12.7 16.5 16.5",
  send: "M3.5 10 16.5 4l-4 12.5-3-5.5z",
  smile: "M10 3a7 7 0 1 0 0 14 7 7 0 0 0 0-14M7.5 8.3v.1M12.5 8.3v.1M6.8 11.8c1.6 2.4 4.8 2.4 6.4 0",
  trash: "M4 6h12M8 6V4h4v2M5.5 6l.7 10.5h7.6L14.5 6",
  up: "M4.5 12.5 10 7l5.5 5.5",
};

/** Beside a word, or on a button that has a name: it says nothing by itself. */
export function Icon({ name, size = 20 }) {
  return html`<svg class="icon" width=${size} height=${size} viewBox="0 0 20 20" aria-hidden="true" focusable="false">
    <path d=${PATHS[name]} />
  </svg>`;
}

/** One tick: stored. Two: read. */
export function Ticks({ count }) {
  return html`<svg class="icon ticks" width="18" height="12" viewBox="0 0 18 12" aria-hidden="true" focusable="false">
    <path d=${count === 1 ? "M5 6.5 8 9.5 14 2.5" : "M1.5 6.5 4.5 9.5 10.5 2.5M8 9.2l.8.8L15.5 2.5"} />
  </svg>`;
}
