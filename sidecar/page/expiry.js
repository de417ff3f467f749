// When the token expires, on a page that may be open for days.

import { session } from "./api.js";

const LONGEST_TIMER_MS = 86_400_000;
let timer = 0;

/**
 * Has the server say that the token has expired once it should have: this machine's clock may be wrong.
 * @param {string | null} at none: nothing expires
 * @param {(failure: import("./api.js").Failure) => void} onExpired
 */
export function watchExpiry(at, onExpired) {
  clearTimeout(timer);
  const left = at === null ? NaN : Date.parse(at) - Date.now();
  if (Number.isNaN(left)) return;
  timer = window.setTimeout(() => {
    if (Date.parse(String(at)) > Date.now()) watchExpiry(at, onExpired);
    else session().catch((failure) => failure.status === 401 && onExpired(failure));
  }, Math.min(Math.max(left, 0) + 1_000, LONGEST_TIMER_MS));
}
