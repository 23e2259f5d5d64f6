/** Times as people say them. */

import { language, say } from "../words.js";

const formats = new Map();

function format(date, name, options) {
  const key = `${language.code} ${name}`;
  if (!formats.has(key)) formats.set(key, new Intl.DateTimeFormat(language.code, options));
  return formats.get(key).format(date);
}

const startOfDay = (date) => new Date(date.getFullYear(), date.getMonth(), date.getDate());

/** Whole days between then and now, by the calendar. */
function daysAgo(then, now) {
  return Math.round((startOfDay(now).getTime() - startOfDay(then).getTime()) / 86_400_000);
}

export const dayOf = (text) => startOfDay(new Date(text)).getTime();

export function clock(text) {
  return format(new Date(text), "clock", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}

export function exact(text) {
  return format(new Date(text), "exact", { dateStyle: "long", timeStyle: "medium" });
}

/** For a row of a list: "14:05", "yesterday", "Mon", "12 Nov". */
export function brief(text, now = new Date()) {
  const then = new Date(text);
  const days = daysAgo(then, now);
  if (days <= 0) return clock(text);
  if (days === 1) return say("date.yesterday");
  if (days < 7) return format(then, "weekday", { weekday: "short" });
  if (then.getFullYear() === now.getFullYear()) return format(then, "short", { day: "numeric", month: "short" });
  return format(then, "year", { day: "numeric", month: "short", year: "numeric" });
}

/** Between the days of a chat. */
export function day(text, now = new Date()) {
  const then = new Date(text);
  const days = daysAgo(then, now);
  if (days <= 0) return say("date.today");
  if (days === 1) return say("date.yesterday");
  const isThisYear = then.getFullYear() === now.getFullYear();
  return format(then, isThisYear ? "day" : "dayYear", {
    day: "numeric", month: "long", ...(isThisYear ? { weekday: "long" } : { year: "numeric" }),
  });
}

/** For lists of devices: the day, and the time when it was lately. */
export function lately(text, now = new Date()) {
  return daysAgo(new Date(text), now) <= 1 ? `${day(text, now)}, ${clock(text)}` : day(text, now);
}
