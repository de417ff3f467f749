// The operators' tables: latencies, pools, the warming and the jobs. Each function draws what it is given.

import { number } from "./charts.js";
import { h, setShare } from "./dom.js";
import { UNKNOWN, clip, full, milliseconds, rate, sentence, words } from "./format.js";
import { when } from "./lists.js";

/** @param {string} caption @param {string[]} columns @param {Node[]} rows @param {string} [kind] */
function table(caption, columns, rows, kind = "") {
  return h(
    "table",
    { class: `plain ${kind}` },
    h("caption", { class: "unseen" }, caption),
    h("thead", {}, h("tr", {}, ...columns.map((name, index) => h("th", { scope: "col", class: index > 0 && "number" }, name)))),
    h("tbody", {}, ...rows),
  );
}

/** @param {any[]} latencies @param {any[]} computes @returns {Node[]} */
export function latency(latencies = [], computes = []) {
  const results = { hit: "Hit", stale: "Stale", miss: "Miss", refreshed: "Refreshed", not_modified: "Not modified" };
  const kinds = { single: "Computing one bundle", batch: "Computing a batch" };
  const row = (/** @type {string} */ name, /** @type {any} */ of) =>
    h("tr", {}, h("th", { scope: "row" }, name), h("td", { class: "number" }, number(of.count)),
      h("td", { class: "number" }, milliseconds(of.p50_ms)), h("td", { class: "number" }, milliseconds(of.p99_ms)));
  const rows = [
    ...latencies.map((of) => row(/** @type {any} */ (results)[of.result] ?? words(of.result), of)),
    ...computes.map((of) => row(/** @type {any} */ (kinds)[of.kind] ?? words(of.kind), of)),
  ];
  return [table("Latency of reads by result, and of computing", ["Result", "Count", "p50", "p99"], rows)];
}

/** @param {any[]} all */
export function pools(all = []) {
  const rows = all.map(({ name, connections, size = connections, busy, waiting }) => {
    const track = h("span", { class: "track source", "aria-hidden": "true" }, h("span", { class: "fill" }));
    setShare(track, Number(busy) / Math.max(Number(size), 1) || 0);
    return h("tr", {}, h("th", { scope: "row" }, words(name)),
      h("td", { class: "number" }, h("span", { class: "busy" }, track, h("span", {}, `${full(busy)} of ${full(size)}`))),
      h("td", { class: "number" }, full(waiting)));
  });
  return table("Connections, by what they are for", ["For", "Busy", "Waiting"], rows, "pools");
}

/** @param {[string, Node | string][]} facts */
function list(facts) {
  return h("dl", { class: "facts-list" }, ...facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

/** Who has asked, as Redis names clients: the user for the eye, all of it in the title. @param {unknown} client */
function by(client) {
  if (client === null || client === undefined || client === "") return UNKNOWN;
  const whole = String(client);
  return h("bdi", { class: "cut", title: clip(whole, 300) }, clip(/(?:^| )user=(\S+)/.exec(whole)?.[1] ?? whole, 60));
}

/** What the number of tenants counts. */
const WARMED = "Active tenants, and all of them together as one. Inactive tenants are not warmed.";

/** @param {any} module @returns {Node[]} */
export function warming(module) {
  if (!module) return [h("p", { class: "none" }, "Redis does not tell.")];
  const { warm_tenants: tenants, warm_done: done, warm_running: running } = module;
  if (!module.warm_started && !running) return [h("p", { class: "none" }, "Nothing has been warmed since the module was loaded.")];
  const share = Number(done) / Math.max(Number(tenants), 1) || 0;
  const track = h("span", { class: "track warm", role: "progressbar", "aria-label": "Warming", "aria-valuemin": 0,
    "aria-valuemax": Number(tenants) || 0, "aria-valuenow": Number(done) || 0, "aria-valuetext": `${full(done)} of ${full(tenants)} tenants` },
    h("span", { class: "fill" }));
  setShare(track, share);
  const pace = `${rate(module.warm_tenants_per_sec)} tenants a second`;
  return [
    h("p", { class: "progress" }, h("b", {}, running ? `Warming: ${full(done)} of ${full(tenants)} tenants` : "Nothing is being warmed"), running ? h("span", { class: "hint" }, pace) : null),
    ...(running ? [track] : []),
    list([
      [running ? "Begun" : "Last run", when(module.warm_started ? Number(module.warm_started) * 1_000 : null)],
      ["By", by(module.warm_by)],
      ["For", milliseconds(module.warm_elapsed_ms)],
      ["Tenants", h("span", { title: WARMED }, full(tenants))],
      ["Warmed", full(module.warm_warmed)],
      ["Fresh already", full(module.warm_fresh)],
      ["Failed", full(module.warm_failed)],
    ]),
  ];
}

/** @param {any} of @param {any} module @returns {Node[]} */
export function feed(of, module) {
  const remark = of?.message && of.state !== "followed" ? h("p", { class: of.state === "behind" || of.state === "stuck" ? "problem" : "none" }, clip(sentence(String(of.message)), 300)) : null;
  if (of?.role === "off") return [remark ?? ""];
  const who = { holder: "This sidecar", standby: "Another sidecar", left: "Left to other sidecars", unknown: "Not known: Postgres does not tell" };
  return [
    ...(remark ? [remark] : []),
    list([
      ["Followed by", /** @type {any} */ (who)[of?.role] ?? UNKNOWN],
      ["Behind by", milliseconds(of?.lag_ms)],
      ["As Redis was told", milliseconds(module?.feed_lag_ms)],
    ]),
  ];
}

/** @param {any[] | null} failed */
function failures(failed) {
  if (!Array.isArray(failed) || failed.length === 0) return null;
  const name = (/** @type {any} */ one) => (typeof one === "string" ? one : `${one.tenant ?? one.tenant_id}: ${one.reason ?? UNKNOWN}`);
  return h("details", {}, h("summary", {}, `${full(failed.length)} failed tenants`),
    h("ul", { class: "failed" }, ...failed.map((one) => h("li", {}, h("bdi", { class: "cut" }, clip(name(one), 200))))));
}

/** @param {any[] | null} all @returns {Node[]} */
export function jobs(all) {
  if (!all) return [h("p", { class: "none" }, "The schedule could not be read.")];
  if (all.length === 0) return [h("p", { class: "none" }, "No job warms bundles: run “dashboard-sidecar migrate”.")];
  const tones = { success: "good", running: "accent", partial: "warn", failed: "bad", interrupted: "warn", invalid: "bad" };
  return all.map((job) => {
    const { metadata } = job;
    const outcome = job.outcome === null ? "Never run" : words(job.outcome);
    return h(
      "article",
      { class: "job" },
      h("div", { class: "job-head" }, h("h3", {}, h("bdi", { class: "cut", title: clip(job.name, 300) }, clip(job.name, 120))),
        h("span", { class: `pill ${/** @type {any} */ (tones)[job.outcome] ?? ""}` }, outcome), job.active ? null : h("span", { class: "pill" }, "Disabled")),
      list([
        ["Schedule", h("code", { class: "cut", title: clip(job.schedule, 300) }, clip(job.schedule, 80))],
        ["Last run", when(job.last_run)],
        ["Took", milliseconds(metadata?.duration_ms)],
        ["Next run", when(job.next_run)],
        ["Tenants", h("span", { title: WARMED }, full(metadata?.tenants))],
        ["Failed", full(metadata?.failed)],
      ]),
      metadata?.error ? h("p", { class: "problem" }, clip(String(metadata.error), 300)) : null,
      metadata?.warning ? h("p", { class: "hint" }, clip(String(metadata.warning), 300)) : null,
      failures(metadata?.failed_tenants),
    );
  });
}
