// The bundle: cards of figures, the funnel, the sources and the lists.

import { Funnel, Sources, number } from "./charts.js";
import { flash, h, put, setShare } from "./dom.js";
import { Lists } from "./lists.js";
import { UNKNOWN, full, rate } from "./format.js";

/** @typedef {import("./format.js").Figure} Figure */

/** How each figure is called where it stands, and when a change of it is read out. */
const NAMES = {
  pipelineValue: "Pipeline value",
  openOpportunities: "Open opportunities",
  wonValue: "Won value",
  wonOpportunities: "Won opportunities",
  openLeads: "Open leads",
  newLeadsLast30Days: "New leads, 30 days",
  activitiesLast30Days: "Activities, 30 days",
  totalContacts: "Contacts",
  totalAccounts: "Accounts",
  totalLeads: "Leads",
  totalOpportunities: "Opportunities",
};
const MOST_ANNOUNCED = 3;

export class Overview {
  /** @type {Map<string, HTMLElement>} */ #figures = new Map();
  /** @type {{ track: HTMLElement, part: string, whole: string }[]} */ #shares = [];
  /** @type {Record<string, Figure> | null} */ #shown = null;
  #funnel = new Funnel();
  #sources = new Sources();
  #lists = new Lists();

  /** @param {HTMLElement} root */
  constructor(root) {
    this.root = root;
    this.perDay = h("span", { class: "hint" });
    put(root, [
      h("h2", { class: "unseen" }, "Figures"),
      h(
        "dl",
        { class: "heroes" },
        this.#card("pipelineValue", "accent", ["openOpportunities", "open opportunities"], this.#share("openOpportunities", "totalOpportunities", "source")),
        this.#card("wonValue", "good", ["wonOpportunities", "won opportunities"], this.#share("wonOpportunities", "totalOpportunities", "closed_won")),
        this.#card("openLeads", "", ["newLeadsLast30Days", "new in the last 30 days"], this.#share("openLeads", "totalLeads", "source")),
        this.#card("activitiesLast30Days", "", null, this.perDay),
      ),
      h("dl", { class: "card strip" }, ...["totalContacts", "totalAccounts", "totalLeads", "totalOpportunities"].map((name) => this.#total(name))),
      h(
        "div",
        { class: "charts" },
        h("section", { class: "card", "aria-labelledby": "funnel-title" },
          h("div", { class: "card-head" }, h("h2", { id: "funnel-title" }, "Funnel"), h("span", { class: "hint" }, "Opportunities and their value")),
          this.#funnel.element),
        h("section", { class: "card", "aria-labelledby": "sources-title" },
          h("div", { class: "card-head" }, h("h2", { id: "sources-title" }, "Leads by source")),
          this.#sources.element),
      ),
      this.#lists.element,
    ]);
    this.#lists.connect();
    this.clear();
  }

  /** Nothing is known yet. */
  clear() {
    this.#shown = null;
    for (const figure of this.#figures.values()) put(figure, [UNKNOWN]);
    this.#funnel.show({});
    this.#sources.show({});
    this.#lists.show({}, false);
    for (const { track } of this.#shares) setShare(track, 0);
    this.perDay.textContent = "";
    this.root.setAttribute("aria-busy", "true");
  }

  /**
   * @param {any} bundle
   * @returns {string} what has changed, for those who do not see it; empty for a first bundle
   */
  show(bundle) {
    const before = this.#shown;
    const stats = bundle?.stats ?? {};
    const changes = [];
    for (const [name, element] of this.#figures) {
      const isChanged = before !== null && before[name] !== stats[name];
      if (before === null || isChanged) put(element, [number(stats[name])]);
      if (!isChanged) continue;
      flash(element);
      changes.push(`${/** @type {any} */ (NAMES)[name]} ${full(stats[name])}`);
    }
    for (const { track, part, whole } of this.#shares) setShare(track, Number(stats[part]) / Math.max(Number(stats[whole]), 1) || 0);
    const activities = stats.activitiesLast30Days;
    this.perDay.textContent = Number(activities) >= 30 ? `about ${rate(Number(activities) / 30)} a day` : Number(activities) > 0 ? "less than one a day" : "";
    this.#funnel.show(bundle?.funnel ?? {});
    this.#sources.show(stats.leadsBySource ?? {});
    this.#lists.show(bundle?.lists ?? {}, before !== null);
    this.#shown = stats;
    this.root.removeAttribute("aria-busy");
    if (before === null) return "";
    const more = changes.length > MOST_ANNOUNCED ? ` and ${changes.length - MOST_ANNOUNCED} more` : "";
    return changes.length === 0 ? "The lists have changed" : `Changed: ${changes.slice(0, MOST_ANNOUNCED).join(", ")}${more}`;
  }

  /** @param {string} name @param {string} kind */
  #figure(name, kind) {
    const element = h(kind, { class: "figure", "data-figure": name });
    this.#figures.set(name, element);
    return element;
  }

  /** How much of another figure one is. @param {string} part @param {string} whole @param {string} kind */
  #share(part, whole, kind) {
    const names = /** @type {any} */ (NAMES);
    const track = h("span", { class: `track ${kind}`, title: `${names[part]} of all ${names[whole].toLowerCase()}`, "aria-hidden": "true" }, h("span", { class: "fill" }));
    this.#shares.push({ track, part, whole });
    return track;
  }

  /**
   * A figure, and one that belongs to it.
   * @param {keyof typeof NAMES} name
   * @param {string} tone
   * @param {[string, string] | null} second
   * @param {...Node} more
   */
  #card(name, tone, second, ...more) {
    const below = second && h("dd", { class: "second" }, this.#figure(second[0], "b"), ` ${second[1]}`);
    return h("div", { class: `card hero ${tone}` }, h("dt", {}, NAMES[name]), this.#figure(name, "dd"), below,
      more.length > 0 && h("dd", { class: "below" }, ...more));
  }

  /** @param {string} name */
  #total(name) {
    return h("div", {}, h("dt", {}, /** @type {any} */ (NAMES)[name]), this.#figure(name, "dd"));
  }
}
