// Where the figures shown came from, and how old they are; the age goes on while nothing is read.

import { ago, full, moment } from "./format.js";
import { flash } from "./dom.js";

/** @typedef {import("./api.js").BundleAnswer} BundleAnswer */

const ORIGINS = {
  HIT: ["From memory", "good", "Redis had it, and it is fresh"],
  STALE: ["Old, being refreshed", "warn", "Redis had an old one and is having a new one computed"],
  MISS: ["Computed now", "accent", "Redis did not have it: it was computed from the database"],
  REFRESHED: ["Computed now", "accent", "It was computed anew from the database"],
};

export class Origin {
  /** @type {number | null} */ #computedAt = null;

  /** @param {HTMLElement} badge @param {HTMLElement} age */
  constructor(badge, age) {
    this.badge = badge;
    this.age = age;
    setInterval(() => this.#tick(), 1_000);
  }

  clear() {
    this.#computedAt = null;
    this.badge.hidden = true;
    this.#tick();
  }

  /** @param {BundleAnswer} answer @param {number | null} computeMs */
  show(answer, computeMs) {
    const generated = Date.parse(answer.bundle?.meta?.generated_at ?? "");
    // The age by the server's clock; this machine's own may be wrong.
    if (answer.ageMs !== null) this.#computedAt = Date.now() - answer.ageMs;
    else if (!Number.isNaN(generated)) this.#computedAt = generated;
    const [text, tone, title] = /** @type {any} */ (ORIGINS)[answer.cache ?? ""] ?? ["", "", ""];
    this.badge.hidden = text === "";
    if (this.badge.textContent !== text) flash(this.badge);
    this.badge.textContent = text;
    this.badge.dataset.tone = tone;
    this.badge.title = title;
    const { title: at } = moment(this.#computedAt);
    this.age.title = at ? `${at}${computeMs === null ? "" : `; took ${full(computeMs)} ms`}` : "";
    this.#tick();
  }

  #tick() {
    const text = this.#computedAt === null ? "" : `computed ${ago(Math.max(0, Date.now() - this.#computedAt))}`;
    if (this.age.textContent !== text) this.age.textContent = text;
  }
}
