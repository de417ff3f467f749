// The token: where it comes from, and that it stays in this tab. It never stands in an address.

const KEY = "dashboard.token";
/** @type {string | null} */
let held = null;

/** Takes `#token=…` out of the address at once, so that it is in no history, bookmark or screen share. */
export function takeTokenFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given === null) return false;
  history.replaceState(history.state, "", location.pathname + location.search);
  return keepToken(given);
}

/**
 * @param {string} text
 * @returns {boolean} whether it can be a token at all
 */
export function keepToken(text) {
  const token = text.trim().replace(/^Bearer\s+/i, "");
  if (!/^[\x21-\x7e]+$/.test(token)) return false;
  held = token;
  try {
    sessionStorage.setItem(KEY, token);
  } catch {
    // Then a reload asks for it again.
  }
  return true;
}

export function token() {
  try {
    return held ?? sessionStorage.getItem(KEY);
  } catch {
    return held;
  }
}

export function forgetToken() {
  held = null;
  try {
    sessionStorage.removeItem(KEY);
  } catch {
    // Nothing was stored.
  }
}
