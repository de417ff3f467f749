// What is amiss: a banner above figures that are kept, or a panel in their place.

import { byId, h, put } from "./dom.js";
import { moment } from "./format.js";

/** @typedef {import("./api.js").Failure} Failure */

const TITLES = { 400: "This is no tenant’s id", 403: "Not for this token", 404: "No such tenant" };

export class Trouble {
  /** Since when figures cannot be read. @type {Date | null} */ #since = null;

  /** All is well. */
  clear() {
    this.#since = null;
    this.say("");
    this.#refusal(null, null);
  }

  /** @param {string} text none: no banner */
  say(text) {
    const banner = byId("banner");
    banner.hidden = text === "";
    // Set only when it changes: an alert is read out each time.
    if (banner.textContent !== text) banner.textContent = text;
  }

  /** A refresh was asked for and has brought nothing yet: what is computed takes long, or cannot be computed. */
  late() {
    this.clear();
    this.say("Not computed anew yet: what you see is from before you asked. It follows by itself when it is there; if it does not, try again.");
  }

  /** It will pass, and is tried again. @param {Failure} failure @param {boolean} isShown whether there are figures to keep */
  failing(failure, isShown) {
    this.#since ??= new Date();
    const kept = isShown ? "What you see are the last figures." : "There are no figures to show yet.";
    this.say(`Not up to date since ${moment(this.#since).text}: ${failure.message} ${kept} Trying again.`);
  }

  /** It will not pass by itself. @param {Failure} failure @param {{ name: string, go: () => void } | null} home where else to look */
  refused(failure, home) {
    this.clear();
    this.#refusal(failure, home);
  }

  /** @param {Failure | null} failure @param {{ name: string, go: () => void } | null} home */
  #refusal(failure, home) {
    const panel = byId("refusal");
    panel.hidden = failure === null;
    byId("board").dataset.refused = String(failure !== null);
    if (!failure) return put(panel, []);
    put(panel, [
      h("h2", {}, /** @type {any} */ (TITLES)[failure.status] ?? "This cannot be shown"),
      h("p", {}, failure.message),
      home && h("button", { type: "button", class: "main", onclick: home.go }, home.name),
    ]);
  }
}
