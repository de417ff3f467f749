// Whether changes are followed, beside the switch of themes.

import { byId } from "./dom.js";

const TEXTS = { connecting: "Connecting", connected: "Live", reconnecting: "Reconnecting", unavailable: "Redis is away", off: "Not live" };
const TITLES = { connected: "Changes are shown as they happen", unavailable: "Changes are shown again once Redis is back" };

/** @param {import("./events.js").LiveState} state */
export function showLive(state) {
  const live = byId("live");
  live.dataset.state = state;
  live.title = /** @type {any} */ (TITLES)[state] ?? "";
  byId("live-text").textContent = TEXTS[state];
}
