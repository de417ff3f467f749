// A small line of the last minutes, kept in memory.

import { h, put, s } from "./dom.js";

const WIDTH = 240;
const HEIGHT = 48;
/** Five minutes, at one in two seconds. */
const MOST = 150;

export class Trend {
  /** @type {(number | null)[]} */ #values = [];

  /**
   * @param {string} name what it shows
   * @param {(value: number) => string} write
   * @param {{ most?: number }} [options] `most`: the top of the scale, if it is fixed
   */
  constructor(name, write, { most } = {}) {
    this.name = name;
    this.write = write;
    this.most = most;
    this.element = h("div", { class: "trend" });
    this.#draw();
  }

  /** @param {number | null} value null where there is nothing to tell */
  add(value) {
    this.#values.push(value);
    if (this.#values.length > MOST) this.#values.shift();
    this.#draw();
  }

  #draw() {
    const known = /** @type {number[]} */ (this.#values.filter((v) => v !== null));
    const least = this.most === undefined ? 0 : Math.min(...known, this.most * 0.9);
    const most = this.most ?? Math.max(...known, Number.MIN_VALUE) * 1.15;
    const x = (/** @type {number} */ index) => WIDTH - ((this.#values.length - 1 - index) * WIDTH) / (MOST - 1);
    const y = (/** @type {number} */ value) => HEIGHT - 3 - ((value - least) / Math.max(most - least, 1e-9)) * (HEIGHT - 6);
    let path = "";
    let isDown = false;
    let last = null;
    for (const [index, value] of this.#values.entries()) {
      if (value === null) {
        isDown = false;
        continue;
      }
      path += `${isDown ? "L" : "M"}${x(index).toFixed(1)} ${y(value).toFixed(1)}`;
      isDown = true;
      last = [x(index), y(value)];
    }
    const now = known.at(-1);
    const told = now === undefined
      ? `${this.name}: nothing to tell yet`
      : `${this.name} over the last minutes: ${this.write(Math.min(...known))} to ${this.write(Math.max(...known))}, last ${this.write(now)}`;
    put(this.element, [
      s(
        "svg",
        { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": told, preserveAspectRatio: "none" },
        s("path", { class: "base", d: `M0 ${HEIGHT - 1}H${WIDTH}` }),
        path && s("path", { class: "line", d: path }),
        last && s("path", { class: "end", d: `M${last[0].toFixed(1)} ${last[1].toFixed(1)}h0.01` }),
      ),
    ]);
  }
}
