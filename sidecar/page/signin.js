// The panel that asks for a token.

import { byId } from "./dom.js";
import { keepToken } from "./session.js";

/** @param {string} problem why it asks, unless it is the first time */
export function askForToken(problem) {
  byId("sign-in").hidden = false;
  byId("sign-in-error").textContent = problem;
  byId("token").focus();
}

/** @param {() => void} onToken when one is there to be tried */
export function connectSignIn(onToken) {
  byId("sign-in-form").addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    const field = byId("token");
    const isToken = keepToken(field.value);
    field.value = "";
    byId("sign-in-error").textContent = isToken ? "" : "This is no token: it has to be one word of letters, digits and . _ -";
    if (isToken) onToken();
  });
}
