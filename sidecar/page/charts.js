// Bars, as tables: what the eye sees as lengths, a screen reader reads as rows.

import { h, put, setShare } from "./dom.js";
import { clip, compact, full, words } from "./format.js";

/** @typedef {import("./format.js").Figure} Figure */

const STAGES = ["prospecting", "qualification", "proposal", "negotiation", "closed_won", "closed_lost"];
const MOST_SOURCES = 10;

/** A number, short for the eye, complete in its title and its value. @param {Figure} figure @param {string} [unit] */
export function number(figure, unit = "") {
  const isKnown = figure !== null && figure !== undefined;
  return h("data", { value: isKnown ? String(figure) : null, title: `${full(figure)}${unit}` }, compact(figure));
}

/** @param {number} share @param {string} kind */
function bar(share, kind) {
  const track = h("span", { class: `track ${kind}`, "aria-hidden": "true" }, h("span", { class: "fill" }));
  setShare(track, share);
  return track;
}

/** @param {Figure} n */
const amount = (n) => Number(n ?? 0) || 0;

/**
 * @param {string} id of the heading, which is the caption
 * @param {string} caption
 * @param {string[]} columns
 */
function frame(id, caption, columns) {
  const body = h("tbody", {});
  const head = columns.map((name) => h("th", { scope: "col" }, name));
  const table = h(
    "table",
    { class: "bars" },
    h("caption", { id, class: "unseen" }, caption),
    h("colgroup", {}, ...columns.map((_, index) => h("col", { class: ["name", "length", "value"][index] }))),
    h("thead", { class: "unseen" }, h("tr", {}, ...head)),
    body,
  );
  return { table, body };
}

/** The six stages: how many opportunities, and what they are worth. */
export class Funnel {
  constructor() {
    const { table, body } = frame("funnel-caption", "Opportunities by stage", ["Stage", "Opportunities", "Value"]);
    this.element = table;
    this.body = body;
  }

  /** @param {Record<string, { count: Figure, value: Figure }>} funnel */
  show(funnel) {
    const most = Math.max(...STAGES.map((stage) => amount(funnel?.[stage]?.count)), 1);
    put(this.body, STAGES.map((stage) => {
      const { count, value } = funnel?.[stage] ?? { count: null, value: null };
      return h(
        "tr",
        { "data-stage": stage },
        h("th", { scope: "row" }, words(stage)),
        h("td", { class: "length" }, bar(amount(count) / most, stage), h("span", { class: "count" }, number(count))),
        h("td", { class: "value" }, number(value)),
      );
    }));
  }
}

/** Where leads came from, the most frequent first. CRMs hold odd ones: any text, and any number of them. */
export class Sources {
  #isUnfolded = false;
  /** @type {Record<string, Figure>} */ #sources = {};

  constructor() {
    const { table, body } = frame("sources-caption", "Leads by source", ["Source", "Leads"]);
    this.body = body;
    this.table = table;
    this.more = h("button", { type: "button", class: "link", "aria-expanded": "false", onclick: () => this.#toggle() });
    this.none = h("p", { class: "none" }, "No leads yet.");
    this.element = h("div", { class: "sources" }, table, this.none, this.more);
  }

  /** @param {Record<string, Figure>} sources */
  show(sources) {
    this.#sources = sources ?? {};
    this.#draw();
  }

  #toggle() {
    this.#isUnfolded = !this.#isUnfolded;
    this.#draw();
  }

  #draw() {
    const sorted = Object.entries(this.#sources).sort((a, b) => amount(b[1]) - amount(a[1]) || a[0].localeCompare(b[0], undefined, { numeric: true }));
    const most = Math.max(amount(sorted[0]?.[1]), 1);
    const shown = this.#isUnfolded ? sorted.slice(0, 500) : sorted.slice(0, MOST_SOURCES);
    const rest = sorted.slice(MOST_SOURCES);
    put(this.body, shown.map(([source, count]) =>
      h(
        "tr",
        {},
        h("th", { scope: "row" }, h("bdi", { class: "cut", title: clip(source, 500) }, clip(source, 120))),
        h("td", { class: "length" }, bar(amount(count) / most, "source"), h("span", { class: "count" }, number(count))),
      ),
    ));
    this.table.hidden = sorted.length === 0;
    this.none.hidden = sorted.length > 0;
    this.more.hidden = rest.length === 0;
    this.more.setAttribute("aria-expanded", String(this.#isUnfolded));
    const sum = rest.reduce((total, [, count]) => total + amount(count), 0);
    this.more.textContent = this.#isUnfolded ? "Show the first ten" : `${full(rest.length)} more, ${compact(sum)} leads`;
  }
}
