// When the bundle is read: on news, when its freshness ends, and after a failure. At most one read is under way
// and one is pending; an answer for an earlier choice is never handed on.

import { Failure, bundle, isAbort } from "./api.js";

/** @typedef {import("./api.js").BundleAnswer} BundleAnswer */
/**
 * @typedef {object} Listener
 * @property {(answer: BundleAnswer, isLate: boolean) => void} onAnswer with `bundle` null if it is unchanged; late if
 *   it is from before a refresh that was asked for
 * @property {(failure: Failure) => void} onFailure
 * @property {(isReading: boolean) => void} onReading
 */

const LONGEST_PAUSE_MS = 30_000;
/** What was old is being computed; if its content stays the same, no event tells when that is done. */
const FIRST_LOOK_MS = 1_500;

export class BundleReader {
  /** @type {Listener} */ #listener;
  /** @type {{ tenant: string, test: boolean } | null} */ #choice = null;
  #abort = new AbortController();
  /** @type {string | null} */ #etag = null;
  #isReading = false;
  #isPending = false;
  #bust = false;
  /** When a refresh was asked for that has brought nothing yet. @type {number | null} */ #wishedAt = null;
  #isDue = false;
  #looks = 0;
  #failures = 0;
  #timer = 0;

  /** @param {Listener} listener */
  constructor(listener) {
    this.#listener = listener;
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible" && this.#isDue) this.#read();
    });
  }

  /** Reads another bundle; what is under way for the one before is broken off. @param {string} tenant @param {boolean} test */
  choose(tenant, test) {
    this.stop();
    this.#choice = { tenant, test };
    this.#read();
  }

  stop() {
    this.#abort.abort();
    this.#abort = new AbortController();
    clearTimeout(this.#timer);
    this.#choice = null;
    this.#etag = this.#wishedAt = null;
    this.#isReading = this.#isPending = this.#bust = this.#isDue = false;
    this.#looks = this.#failures = 0;
  }

  /** There is news. A hidden page reads when it is shown. */
  poke() {
    if (document.visibilityState === "visible") this.#read();
    else this.#isDue = true;
  }

  /** Has the bundle computed anew. */
  refresh() {
    this.#bust = true;
    this.#wishedAt = Date.now();
    this.#read();
  }

  #read() {
    if (!this.#choice) return;
    if (this.#isReading) {
      this.#isPending = true;
      return;
    }
    void this.#readNow(this.#choice);
  }

  /** @param {{ tenant: string, test: boolean }} choice */
  async #readNow(choice) {
    const signal = this.#abort.signal;
    const bust = this.#bust;
    this.#isReading = true;
    this.#isPending = this.#bust = this.#isDue = false;
    clearTimeout(this.#timer);
    this.#listener.onReading(true);
    let pause = null;
    try {
      const answer = await bundle({ ...choice, bust, etag: this.#etag, signal });
      if (signal.aborted) return;
      this.#etag = answer.etag ?? this.#etag;
      this.#failures = 0;
      this.#looks = answer.cache === "STALE" ? this.#looks + 1 : 0;
      if (this.#looks > 0) pause = FIRST_LOOK_MS * 2 ** (this.#looks - 1);
      else if (answer.ttlMs !== null) pause = Math.max(answer.ttlMs, 0) + 250 + Math.random() * 1_000;
      if (this.#looks > 0) pause = Math.min(/** @type {number} */ (pause), LONGEST_PAUSE_MS);
      const isLate = this.#wishedAt !== null && answer.ageMs !== null && Date.now() - answer.ageMs < this.#wishedAt;
      if (!isLate) this.#wishedAt = null;
      this.#listener.onAnswer(answer, isLate);
    } catch (error) {
      if (signal.aborted || isAbort(error)) return;
      const failure = error instanceof Failure ? error : new Failure(0, String(error));
      if (failure.status === 0 || failure.status === 429 || failure.status >= 500) {
        pause = Math.min(1_000 * 2 ** this.#failures, LONGEST_PAUSE_MS) * (0.75 + Math.random() / 2);
        this.#failures += 1;
      }
      this.#listener.onFailure(failure);
    }
    // The listener may have chosen another bundle, whose read is not ours to end.
    if (signal.aborted) return;
    this.#isReading = false;
    this.#listener.onReading(false);
    // A timer of more than 24 days would fire at once.
    if (pause !== null) this.#timer = window.setTimeout(() => this.poke(), Math.min(pause, 2 ** 31 - 1));
    if (this.#isPending) this.#read();
  }
}
