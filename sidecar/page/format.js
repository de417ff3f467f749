// How numbers, times and texts are written. What is not known is a dash, never 0 and never "null".

/** A number, or its decimal text where a number would lose digits. @typedef {number | string | null | undefined} Figure */

export const UNKNOWN = "–";

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const exact = new Intl.NumberFormat(undefined, { maximumFractionDigits: 20 });
const cents = new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 });
const short = new Intl.NumberFormat(undefined, { notation: "compact", maximumSignificantDigits: 3 });
const threeDigits = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 3 });
const percent = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 });
const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const dayAndTime = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });
const everything = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

/** @param {Figure} figure */
const missing = (figure) => figure === null || figure === undefined || Number.isNaN(Number(figure));

/** Every digit. Texts are formatted as the decimals they are. @param {Figure} figure */
export function full(figure) {
  return missing(figure) ? UNKNOWN : exact.format(/** @type {any} */ (figure));
}

/** At most about six characters. @param {Figure} figure */
export function compact(figure) {
  if (missing(figure)) return UNKNOWN;
  const size = Math.abs(Number(figure));
  if (size >= 1e15) return Number(figure).toExponential(2).replace("e+", "e");
  if (size >= 100_000) return short.format(Number(figure));
  return (size >= 1_000 ? whole : cents).format(Number(figure));
}

/** To three digits. @param {Figure} n */
export function rate(n) {
  if (missing(n)) return UNKNOWN;
  return Math.abs(Number(n)) >= 1_000 ? compact(n) : threeDigits.format(Number(n));
}

/** @param {Figure} ratio 0 to 1 */
export function share(ratio) {
  return missing(ratio) ? UNKNOWN : percent.format(Number(ratio));
}

/** @param {Figure} ms */
export function milliseconds(ms) {
  if (missing(ms)) return UNKNOWN;
  const n = Number(ms);
  if (n >= 60_000) return duration(n / 1_000);
  if (n >= 1_000) return `${cents.format(n / 1_000)} s`;
  return `${threeDigits.format(n)} ms`;
}

/** In its two largest units. @param {Figure} seconds */
export function duration(seconds) {
  if (missing(seconds)) return UNKNOWN;
  let left = Math.max(0, Math.round(Number(seconds)));
  const parts = [];
  for (const [unit, length] of /** @type {[string, number][]} */ ([["d", 86_400], ["h", 3_600], ["min", 60], ["s", 1]])) {
    const n = Math.floor(left / length);
    left -= n * length;
    if (n > 0) parts.push(`${n} ${unit}`);
    else if (parts.length > 0) break;
  }
  return parts.slice(0, 2).join(" ") || "0 s";
}

/** @param {Figure} bytes */
export function size(bytes) {
  if (missing(bytes)) return UNKNOWN;
  let n = Number(bytes);
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (n < 1_000) return `${rate(n)} ${unit}`;
    n /= 1_000;
  }
  return `${rate(n)} TB`;
}

/** How long ago, in one unit. @param {number} ms */
export function ago(ms) {
  const seconds = Math.round(ms / 1_000);
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)} h ago`;
  return `${Math.floor(seconds / 86_400)} days ago`;
}

/**
 * A moment in the reader's own time: short for the eye, complete for the title. Postgres also knows moments
 * that no clock shows (`infinity`, the year 20000); they stay as they are.
 * @param {string | number | Date | null | undefined} at
 */
export function moment(at) {
  if (at === null || at === undefined || at === "") return { text: UNKNOWN, title: null, iso: null };
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return { text: clip(String(at), 30), title: null, iso: null };
  const now = new Date();
  const isToday = date.toDateString() === now.toDateString();
  const isThisYear = date.getFullYear() === now.getFullYear();
  const text = (isToday ? time : isThisYear ? dayAndTime : day).format(date);
  return { text, title: everything.format(date), iso: date.toISOString() };
}

/** A text that may have any length, cut at a whole character. @param {string} text @param {number} most */
export function clip(text, most) {
  if (text.length <= most) return text;
  return `${Array.from(text.slice(0, most)).slice(0, -1).join("")}…`;
}

/** What a server says in lower case and without a full stop, between other sentences. @param {string} text */
export function sentence(text) {
  const whole = text.trim();
  return `${whole.charAt(0).toUpperCase()}${whole.slice(1)}${/[.!?…]$/.test(whole) ? "" : "."}`;
}

/** `closed_won` as people write it. @param {string} name */
export function words(name) {
  const text = name.replaceAll("_", " ").trim();
  return text.charAt(0).toUpperCase() + text.slice(1);
}
