// The recent activities, leads and opportunities: tables, which a phone shows as cards.

import { number } from "./charts.js";
import { flash, h, put } from "./dom.js";
import { UNKNOWN, clip, moment, words } from "./format.js";
import { connectTabs } from "./tabs.js";

/** @typedef {Record<string, any>} Row */
/** @typedef {{ name: string, cell: (row: Row) => Node | string, kind?: string }} Column */

const FIRST = 10;

/** What people typed, apart from the text around it, whatever direction it runs in. @param {unknown} value */
function text(value) {
  if (value === null || value === undefined || value === "") return h("span", { class: "faint" }, UNKNOWN);
  const whole = String(value);
  return h("bdi", { class: "cut", title: clip(whole, 500) }, clip(whole, 200));
}

/** @param {unknown} value */
function pill(value) {
  if (value === null || value === undefined || value === "") return text(null);
  const tone = { converted: "good", won: "good", closed_won: "good", completed: "good", lost: "bad", closed_lost: "bad", overdue: "bad" };
  const name = String(value);
  return h("span", { class: `pill ${/** @type {any} */ (tone)[name] ?? ""}` }, h("bdi", { class: "cut", title: clip(name, 500) }, clip(words(name), 60)));
}

/** @param {any} at */
export function when(at) {
  const { text: shown, title, iso } = moment(at);
  return iso ? h("time", { datetime: iso, title }, shown) : h("span", { class: "faint" }, shown);
}

/** @param {Row} row */
const name = (row) => [row.first_name, row.last_name].filter((part) => part).join(" ");
/** @param {Row} row */
const test = (row) => (row.is_test_data ? [" ", h("span", { class: "pill test" }, "Test")] : []);

/** @type {{ id: string, title: string, member: string, columns: Column[] }[]} */
const LISTS = [
  {
    id: "activities",
    title: "Activities",
    member: "recentActivities",
    columns: [
      { name: "Subject", kind: "wide", cell: (row) => text(row.subject) },
      { name: "Type", cell: (row) => text(row.type && words(row.type)) },
      { name: "Status", cell: (row) => pill(row.status) },
      { name: "Assigned to", cell: (row) => text(row.assigned_to) },
      { name: "Created", kind: "when", cell: (row) => when(row.created_at) },
    ],
  },
  {
    id: "leads",
    title: "Leads",
    member: "recentLeads",
    columns: [
      { name: "Name", kind: "wide", cell: (row) => h("span", { class: "named" }, text(name(row)), ...test(row)) },
      { name: "Company", cell: (row) => text(row.company) },
      { name: "Contact", cell: (row) => h("span", { class: "stack" }, text(row.email || row.phone), row.email && row.phone ? text(row.phone) : null) },
      { name: "Source", cell: (row) => text(row.source) },
      { name: "Status", cell: (row) => pill(row.status) },
      { name: "Created", kind: "when", cell: (row) => when(row.created_at) },
    ],
  },
  {
    id: "opportunities",
    title: "Opportunities",
    member: "recentOpportunities",
    columns: [
      { name: "Name", kind: "wide", cell: (row) => h("span", { class: "named" }, text(row.name), ...test(row)) },
      { name: "Stage", cell: (row) => pill(row.stage) },
      { name: "Amount", kind: "number", cell: (row) => number(row.amount) },
      { name: "Probability", kind: "number", cell: (row) => (row.probability === null || row.probability === undefined ? text(null) : `${row.probability} %`) },
      { name: "Updated", kind: "when", cell: (row) => when(row.updated_at) },
    ],
  },
];

/** One of the three. */
class List {
  #isUnfolded = false;
  /** @type {Row[]} */ #rows = [];
  /** @type {Set<unknown> | null} */ #known = null;

  /** @param {typeof LISTS[number]} list */
  constructor(list) {
    this.list = list;
    this.body = h("tbody", { role: "rowgroup" });
    const head = list.columns.map(({ name, kind }) => h("th", { scope: "col", role: "columnheader", class: kind }, name));
    this.table = h(
      "table",
      { class: "rows", role: "table", "aria-labelledby": `caption-${list.id}` },
      h("caption", { class: "unseen", id: `caption-${list.id}` }, `Recent ${list.id}, newest first`),
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, ...head)),
      this.body,
    );
    this.none = h("p", { class: "none", hidden: true }, `No ${list.id} yet.`);
    this.more = h("button", { type: "button", class: "link", hidden: true, onclick: () => this.#toggle() });
    this.panel = h("div", { id: `list-${list.id}`, tabindex: "0" }, this.table, this.none, this.more);
    this.tab = h("button", { type: "button", role: "tab", id: `tab-${list.id}`, "aria-controls": `list-${list.id}` }, list.title);
  }

  /** @param {Row[]} rows @param {boolean} isUpdate of what is shown already */
  show(rows, isUpdate) {
    this.#rows = Array.isArray(rows) ? rows : [];
    this.#draw(isUpdate ? this.#known : null);
    this.#known = new Set(this.#rows.map((row) => row.id));
  }

  #toggle() {
    this.#isUnfolded = !this.#isUnfolded;
    this.#draw(null);
  }

  /** @param {Set<unknown> | null} known rows that are not new */
  #draw(known) {
    const rows = this.#isUnfolded ? this.#rows : this.#rows.slice(0, FIRST);
    put(this.body, rows.map((row) => {
      const cells = this.list.columns.map(({ name, kind, cell }) =>
        h("td", { role: "cell", class: kind, "data-label": name }, cell(row)),
      );
      return h("tr", { role: "row", "data-id": row.id }, ...cells);
    }));
    for (const tr of this.body.children) if (known && !known.has(tr.getAttribute("data-id"))) flash(tr);
    this.table.hidden = this.#rows.length === 0;
    this.none.hidden = this.#rows.length > 0;
    this.more.hidden = this.#rows.length <= FIRST;
    this.more.setAttribute("aria-expanded", String(this.#isUnfolded));
    this.more.textContent = this.#isUnfolded ? "Show the first ten" : `Show all ${this.#rows.length}`;
  }
}

/** All three, one at a time. */
export class Lists {
  constructor() {
    this.lists = LISTS.map((list) => new List(list));
    const tabs = h("div", { class: "segments", role: "tablist", "aria-labelledby": "lists-title" }, ...this.lists.map((list) => list.tab));
    this.element = h(
      "section",
      { class: "card lists", "aria-labelledby": "lists-title" },
      h("div", { class: "card-head" }, h("h2", { id: "lists-title" }, "Recent"), tabs),
      ...this.lists.map((list) => list.panel),
    );
    this.tabs = tabs;
  }

  /** Once the element is in the page. */
  connect() {
    connectTabs(this.tabs, () => {})("list-activities");
  }

  /** @param {Record<string, Row[]>} lists @param {boolean} isUpdate */
  show(lists, isUpdate) {
    for (const list of this.lists) list.show(lists?.[list.list.member] ?? [], isUpdate);
  }
}
