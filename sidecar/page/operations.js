// What operators look at: how the cache does, what the sidecar and its database do, and how the night went.

import { Failure, isAbort, operations } from "./api.js";
import { feed, jobs, latency, pools, warming } from "./machinery.js";
import { h, put } from "./dom.js";
import { UNKNOWN, compact, duration, full, milliseconds, rate as decimal, sentence, share, size, words } from "./format.js";
import { Trend } from "./trend.js";

const EVERY_MS = 2_000;

/** @param {any} module @returns {{ reads: number, hits: number } | null} */
function reads(module) {
  if (!module) return null;
  const of = (/** @type {string} */ name) => Number(module[name] ?? 0) || 0;
  const hits = of("hits") + of("stale");
  return { hits, reads: hits + of("misses") + of("refreshed") };
}

export class Operations {
  #timer = 0;
  #abort = new AbortController();
  #isOn = false;
  /** @type {{ reads: number, hits: number, at: number } | null} */ #before = null;
  #jobs = "";
  #ratio = new Trend("Hit ratio", share, { most: 1 });
  #rate = new Trend("Reads a second", decimal);
  #p99 = new Trend("Latency of hits, p99", milliseconds);

  /** @param {HTMLElement} root @param {(failure: Failure) => void} onRefused */
  constructor(root, onRefused) {
    this.onRefused = onRefused;
    this.big = new Map(["ratio", "rate", "p99", "breaker"].map((name) => [name, h("dd", { class: "figure" }, UNKNOWN)]));
    this.small = new Map(["ratio", "rate", "p99", "breaker"].map((name) => [name, h("dd", { class: "second" })]));
    const hero = (/** @type {string} */ name, /** @type {string} */ title, /** @type {Trend | null} */ trend) =>
      h("div", { class: "card hero" }, h("dt", {}, title), this.big.get(name), this.small.get(name), trend && h("dd", { class: "below" }, trend.element));
    this.problems = h("div", { class: "banner", role: "status", hidden: true });
    this.parts = Object.fromEntries(["now", "feed", "latency", "pools", "warming", "jobs"].map((name) => [name, h("div", { class: "part" })]));
    const card = (/** @type {string} */ name, /** @type {string} */ title, /** @type {string} */ hint) =>
      h("section", { class: "card", "aria-labelledby": `ops-${name}` },
        h("div", { class: "card-head" }, h("h2", { id: `ops-${name}` }, title), hint && h("span", { class: "hint" }, hint)), this.parts[name]);
    put(root, [
      h("h2", { class: "unseen" }, "Operations"),
      this.problems,
      h("dl", { class: "heroes" },
        hero("ratio", "Hit ratio", this.#ratio),
        hero("rate", "Reads a second", this.#rate),
        hero("p99", "Hits, 99th percentile", this.#p99),
        hero("breaker", "Breaker to the sidecar", null)),
      this.parts.now,
      card("feed", "Change feed", "from a commit in Postgres to Redis"),
      h("div", { class: "charts even" }, card("latency", "Latency", "as this sidecar measures it"), card("pools", "Connections", "busy, of all there may be")),
      h("div", { class: "charts even" }, card("warming", "Warming", ""), card("jobs", "Scheduled jobs", "")),
    ]);
    document.addEventListener("visibilitychange", () => this.#go());
  }

  /** @param {boolean} isShown */
  show(isShown) {
    this.#isOn = isShown;
    this.#go();
  }

  #go() {
    clearTimeout(this.#timer);
    this.#abort.abort();
    if (!this.#isOn || document.visibilityState !== "visible") return;
    this.#abort = new AbortController();
    void this.#read(this.#abort.signal);
  }

  /** @param {AbortSignal} signal */
  async #read(signal) {
    try {
      const answer = await operations(signal);
      if (signal.aborted) return;
      this.#draw(answer);
    } catch (error) {
      if (signal.aborted || isAbort(error)) return;
      if (error instanceof Failure && [401, 403].includes(error.status)) {
        this.onRefused(error);
        return;
      }
      const kept = this.parts.now.hasChildNodes() ? "These are the last figures." : "There are no figures to show yet.";
      this.#problem([`${error instanceof Error ? error.message : error} ${kept}`]);
    }
    this.#timer = window.setTimeout(() => void this.#read(signal), EVERY_MS);
  }

  /** @param {string[]} problems */
  #problem(problems) {
    const text = problems.join("\n");
    this.problems.hidden = problems.length === 0;
    if (this.problems.textContent === problems.join("")) return;
    put(this.problems, problems.length === 1 ? [text] : [h("ul", {}, ...problems.map((problem) => h("li", {}, problem)))]);
  }

  /** @param {any} data */
  #draw(data) {
    const { sidecar = {}, module = null } = data;
    this.#problem((data.problems ?? []).map(sentence));
    this.#heroes(sidecar, module, Date.parse(data.generated_at) || Date.now());
    const facts = [
      ["Flights", full(module?.flights), "bundles being computed"],
      ["Waiters", full(module?.waiters), "clients that wait for one"],
      ["Joined", compact(module?.joined), "waiters that found one under way"],
      ["Stored", size(module?.stored_bytes), `${full(module?.stored)} bundles since the module was loaded`],
      ["Requests", compact(sidecar.requests_total), `${full(sidecar.in_flight)} in flight`],
      ["Event streams", full(sidecar.event_streams), "pages that follow a tenant"],
      ["Up for", duration(sidecar.uptime_seconds), `sidecar ${sidecar.version ?? UNKNOWN}`],
    ];
    put(this.parts.now, [h("dl", { class: "card strip facts" }, ...facts.map(([name, value, hint]) =>
      h("div", { title: hint }, h("dt", {}, name), h("dd", { class: "figure" }, value))))]);
    put(this.parts.feed, feed(data.feed, module));
    put(this.parts.latency, latency(sidecar.latency, sidecar.compute));
    put(this.parts.pools, [pools(data.pools)]);
    put(this.parts.warming, warming(module));
    // Drawn only when they change, so that what a person has unfolded stays so.
    const text = JSON.stringify(data.jobs ?? null);
    if (text !== this.#jobs) put(this.parts.jobs, jobs(data.jobs));
    this.#jobs = text;
  }

  /** @param {any} sidecar @param {any} module @param {number} at */
  #heroes(sidecar, module, at) {
    const sum = reads(module);
    const before = this.#before;
    const seconds = before && (at - before.at) / 1_000;
    // Counters that have gone down belong to a Redis that was started anew.
    const isComparable = sum && before && seconds && seconds > 0 && sum.reads >= before.reads;
    const rate = isComparable ? (sum.reads - before.reads) / seconds : null;
    const fresh = isComparable && sum.reads > before.reads ? (sum.hits - before.hits) / (sum.reads - before.reads) : null;
    const p99 = sidecar.latency?.find((/** @type {any} */ l) => l.result === "hit")?.p99_ms ?? null;
    this.#before = sum && { ...sum, at };
    if (sum || before) this.#rate.add(rate);
    this.#ratio.add(fresh);
    this.#p99.add(p99);
    this.#set("ratio", share(sum && sum.reads > 0 ? sum.hits / sum.reads : null), sum ? `of ${compact(sum.reads)} reads` : "Redis does not tell");
    this.#set("rate", decimal(rate), "in the last seconds");
    this.#set("p99", milliseconds(p99), "through this sidecar");
    const breaker = module?.sidecar_breaker ?? null;
    const told = { closed: "the sidecar is asked", open: "the sidecar is not asked: it did not answer", "half-open": "one request may try" };
    this.#set("breaker", breaker === null ? UNKNOWN : words(breaker), /** @type {any} */ (told)[breaker] ?? "Redis does not tell");
    this.big.get("breaker")?.setAttribute("data-tone", breaker === "closed" ? "good" : breaker === null ? "" : "bad");
  }

  /** @param {string} name @param {string} big @param {string} small */
  #set(name, big, small) {
    const figure = this.big.get(name);
    if (figure && figure.textContent !== big) figure.textContent = big;
    const remark = this.small.get(name);
    if (remark && remark.textContent !== small) remark.textContent = small;
  }
}
