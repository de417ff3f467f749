// Whether what is shown follows the database, beside the switch of themes. "Live" takes both: the event stream is open, and
// changes are followed within the limit. Otherwise it says what is known.

import { byId } from "./dom.js";
import { UNKNOWN, duration, sentence } from "./format.js";

/** @typedef {import("./events.js").LiveState} LiveState */
/** How changes are followed, as the server says. @typedef {{ state: string, followed: boolean, lag_ms: number | null, message: string }} Following */

const STREAM = { connecting: "Connecting", reconnecting: "Reconnecting", unavailable: "Redis is away", off: "Not live" };
const UNAVAILABLE = "Changes are shown again once Redis is back";

/** @type {LiveState} */
let stream = "off";
/** @type {Following | null} */
let following = null;
/** How long a bundle stays fresh, if nothing is known of changes. @type {number | null} */
let ttlSeconds = null;

/** @param {LiveState} state */
export function showLive(state) {
  stream = state;
  // A stream that is opened anew says it anew.
  if (state !== "connected") following = null;
  draw();
}

/** @param {Following} told */
export function showFollowing(told) {
  following = told;
  draw();
}

/** @param {unknown} seconds */
export function showLifetime(seconds) {
  ttlSeconds = typeof seconds === "number" ? seconds : null;
  draw();
}

/** Lifetimes are spread by some percent: whole minutes say enough. @param {number} seconds */
const about = (seconds) => duration(seconds < 90 ? seconds : Math.round(seconds / 60) * 60);

/** @returns {{ text: string, tone: string, title: string }} */
function look() {
  if (stream !== "connected") return { text: STREAM[stream], tone: stream, title: stream === "unavailable" ? UNAVAILABLE : "" };
  if (!following) return { text: STREAM.connecting, tone: "connecting", title: "" };
  const title = sentence(following.message);
  if (following.followed) return { text: "Live", tone: "live", title };
  const { state, lag_ms: lag } = following;
  if ((state === "behind" || state === "stuck") && lag !== null) {
    return { text: `Changes are ${duration(lag / 1_000)} behind`, tone: "behind", title };
  }
  if (state === "stuck") return { text: "Changes are not followed", tone: "behind", title };
  const often = ttlSeconds === null ? UNKNOWN : `refreshed every ${about(ttlSeconds)}`;
  return { text: `${state === "disabled" ? "Not followed" : "Not known"}: ${often}`, tone: "unknown", title };
}

function draw() {
  const live = byId("live");
  const { text, tone, title } = look();
  live.dataset.stream = stream;
  live.dataset.state = tone;
  live.title = title;
  byId("live-text").textContent = text;
}
