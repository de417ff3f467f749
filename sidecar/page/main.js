// Puts the page together: who is looking, at which tenant, and what is to be shown of it.

import { Failure, clearCache, session, tenants } from "./api.js";
import { byId, h, put } from "./dom.js";
import { follow } from "./events.js";
import { clip, moment } from "./format.js";
import { Operations } from "./operations.js";
import { Origin } from "./origin.js";
import { Overview } from "./overview.js";
import { Picker } from "./picker.js";
import { BundleReader } from "./reader.js";
import { forgetToken, keepToken, takeTokenFromAddress, token } from "./session.js";
import { connectTabs } from "./tabs.js";
import { connectThemes } from "./theme.js";

const ALL_TENANTS = "SUPERADMIN_GLOBAL";

/** @type {import("./api.js").Session | null} */
let who = null;
/** What is shown. @type {{ tenant: string, test: boolean, view: string } | null} */
let choice = null;
/** Since when figures cannot be read. @type {Date | null} */
let failingSince = null;
let isBundleShown = false;
let isRedisAway = false;
let expiry = 0;
let stopFollowing = () => {};
/** Names that the picker has told. @type {Map<string, string>} */
const names = new Map([[ALL_TENANTS, "All tenants"]]);

const overview = new Overview(byId("overview"));
const origin = new Origin(byId("origin"), byId("age"));
const operations = new Operations(byId("operations"), (failure) => refuse(failure));
const picker = new Picker(byId("picker"), (tenant) => {
  if (!names.has(tenant.tenant_id) && !tenant.name.startsWith("Open the id")) names.set(tenant.tenant_id, tenant.name);
  go({ tenant: tenant.tenant_id });
});
const reader = new BundleReader({ onAnswer: showAnswer, onFailure: refuse, onReading: (isReading) => byId("refresh").setAttribute("aria-busy", String(isReading)) });
const selectView = connectTabs(byId("views"), (view) => go({ view }));

/** @param {string} text */
const announce = (text) => void (byId("announcer").textContent = text);

// --- Who is looking ---

async function start() {
  try {
    who = await session();
  } catch (error) {
    const failure = error instanceof Failure ? error : new Failure(0, String(error));
    if (failure.status === 401) askForToken(token() === null ? "" : "The token is not accepted, or has expired. Sign in with a new one.");
    else {
      who = null;
      showBoard(false);
      showBanner(`${failure.message} Trying again.`);
      setTimeout(() => void start(), 3_000);
    }
    return;
  }
  // Another token may see something else under the same address.
  choice = null;
  byId("sign-in").hidden = true;
  byId("sign-out").hidden = token() === null;
  byId("views").hidden = !who.may.operate;
  byId("picker").hidden = !who.may.read_all;
  showBanner("");
  askWhenExpired(who.expires_at);
  showBoard(true);
  show(choiceInAddress());
}

/** Has the server say that the token has expired once it should have; this machine's clock may be wrong. @param {string | null} at */
function askWhenExpired(at) {
  clearTimeout(expiry);
  const left = at === null ? NaN : Date.parse(at) - Date.now();
  if (Number.isNaN(left)) return;
  expiry = window.setTimeout(() => {
    if (Date.parse(String(at)) > Date.now()) askWhenExpired(at);
    else session().catch((failure) => failure.status === 401 && refuse(failure));
  }, Math.min(Math.max(left, 0) + 1_000, 86_400_000));
}

/** @param {boolean} isSignedIn */
function showBoard(isSignedIn) {
  byId("board").hidden = false;
  byId("choices").hidden = byId("live").hidden = !isSignedIn;
}

/** Nothing of a session stays on the screen when it ends. @param {string} problem */
function askForToken(problem) {
  forgetToken();
  clearTimeout(expiry);
  stopFollowing();
  reader.stop();
  operations.show(false);
  who = choice = null;
  names.clear();
  names.set(ALL_TENANTS, "All tenants");
  isBundleShown = false;
  overview.clear();
  origin.clear();
  for (const id of ["board", "choices", "live", "sign-out"]) byId(id).hidden = true;
  byId("clear-dialog").close();
  byId("sign-in").hidden = false;
  byId("sign-in-error").textContent = problem;
  document.title = "Dashboard";
  byId("token").focus();
}

// --- What is shown, and its address ---

function choiceInAddress() {
  const query = new URLSearchParams(location.search);
  const own = who?.tenant_id ?? (who?.may.read_all ? ALL_TENANTS : "");
  const tenant = query.get("tenant") || (who?.may.read_all ? ALL_TENANTS : own);
  const view = query.get("view") === "operations" && who?.may.operate ? "operations" : "overview";
  return { tenant, test: query.get("test") !== "false", view };
}

/** @param {Partial<NonNullable<typeof choice>>} part */
function go(part) {
  if (!choice) return;
  const next = { ...choice, ...part };
  const query = new URLSearchParams({ tenant: next.tenant, ...(next.test ? {} : { test: "false" }), ...(next.view === "overview" ? {} : { view: next.view }) });
  if (`?${query}` !== location.search) history.pushState(null, "", `${location.pathname}?${query}`);
  show(next);
}

/** @param {NonNullable<typeof choice>} next */
function show(next) {
  const before = choice;
  choice = next;
  byId("test-data").checked = next.test;
  byId("board").dataset.view = next.view;
  selectView(next.view);
  operations.show(next.view === "operations");
  showName();
  if (before?.tenant === next.tenant && before.test === next.test) return;
  isBundleShown = false;
  failingSince = null;
  showBanner("");
  showRefusal(null);
  overview.clear();
  origin.clear();
  byId("refresh").hidden = byId("clear").hidden = true;
  stopFollowing();
  if (!next.tenant) {
    refuse(new Failure(403, "This token names no tenant. Ask for one that does."));
    return;
  }
  reader.choose(next.tenant, next.test);
  stopFollowing = follow(next.tenant, {
    onNews: () => reader.poke(),
    onState: showLive,
    onExpired: () => askForToken("The token has expired. Sign in with a new one."),
  });
  void learnName(next.tenant);
}

/** @param {string} tenant */
async function learnName(tenant) {
  if (names.has(tenant)) return;
  try {
    const found = (await tenants(tenant, undefined, 100)).find((one) => one.tenant_id === tenant);
    if (found) names.set(tenant, found.name);
    if (choice?.tenant === tenant) showName();
  } catch {
    // Then the id is its name.
  }
}

function showName() {
  const tenant = choice?.tenant ?? "";
  const name = names.get(tenant) || tenant;
  put(byId("tenant-name"), [h("bdi", { class: "cut", title: clip(name, 300) }, clip(name, 160) || "No tenant")]);
  byId("tenant-id").textContent = name === tenant ? "" : tenant;
  picker.show(name);
  document.title = `${clip(name, 60)} · Dashboard`;
}

// --- Answers ---

/** @param {import("./api.js").BundleAnswer} answer */
function showAnswer(answer) {
  failingSince = null;
  showRefusal(null);
  if (!isRedisAway) showBanner("");
  origin.show(answer, answer.bundle?.meta?.compute_ms ?? null);
  byId("refresh").hidden = false;
  byId("clear").hidden = !mayClear();
  if (!answer.bundle) return;
  const told = overview.show(answer.bundle);
  announce(isBundleShown ? told : `Figures of ${names.get(choice?.tenant ?? "") ?? choice?.tenant} are shown`);
  isBundleShown = true;
}

const mayClear = () => Boolean(who && (who.may.clear_all || (who.may.clear && who.tenant_id === choice?.tenant)));

/** @param {Failure} failure */
function refuse(failure) {
  const { status, message } = failure;
  if (status === 401) return askForToken("The token has expired or is not accepted. Sign in with a new one.");
  if ([400, 403, 404].includes(status)) {
    isBundleShown = false;
    overview.clear();
    origin.clear();
    showBanner("");
    return showRefusal(failure);
  }
  failingSince ??= new Date();
  const since = moment(failingSince).text;
  const kept = isBundleShown ? "What you see are the last figures." : "There are no figures to show yet.";
  showBanner(`Not up to date since ${since}: ${message} ${kept} Trying again.`);
}

/** @param {Failure | null} failure */
function showRefusal(failure) {
  const panel = byId("refusal");
  panel.hidden = failure === null;
  byId("board").dataset.refused = String(failure !== null);
  if (!failure) return put(panel, []);
  const titles = { 400: "This is no tenant’s id", 403: "Not for this token", 404: "No such tenant" };
  const home = who?.tenant_id ?? (who?.may.read_all ? ALL_TENANTS : null);
  const canGoHome = home !== null && home !== choice?.tenant;
  put(panel, [
    h("h2", {}, /** @type {any} */ (titles)[failure.status]),
    h("p", {}, failure.message),
    canGoHome && h("button", { type: "button", class: "main", onclick: () => go({ tenant: home }) }, home === ALL_TENANTS ? "Show all tenants" : "Show my tenant"),
  ]);
}

/** @param {string} text */
function showBanner(text) {
  const banner = byId("banner");
  banner.hidden = text === "";
  // Set only when it changes: an alert is read out each time.
  if (banner.textContent !== text) banner.textContent = text;
}

/** @param {import("./events.js").LiveState} state */
function showLive(state) {
  const texts = { connecting: "Connecting", connected: "Live", reconnecting: "Reconnecting", unavailable: "Redis is away", off: "Not live" };
  const titles = { connected: "Changes are shown as they happen", unavailable: "Changes are shown again once Redis is back" };
  const live = byId("live");
  isRedisAway = state === "unavailable";
  live.dataset.state = state;
  live.title = /** @type {any} */ (titles)[state] ?? "";
  byId("live-text").textContent = texts[state];
  if (isRedisAway) refuse(new Failure(503, "Redis is away."));
}

// --- What people do ---

byId("test-data").addEventListener("change", (/** @type {any} */ event) => go({ test: event.target.checked }));
byId("refresh").addEventListener("click", () => reader.refresh());
byId("sign-out").addEventListener("click", () => askForToken(""));
byId("sign-in-form").addEventListener("submit", (/** @type {Event} */ event) => {
  event.preventDefault();
  const field = byId("token");
  const isToken = keepToken(field.value);
  field.value = "";
  byId("sign-in-error").textContent = isToken ? "" : "This is no token: it has to be one word of letters, digits and . _ -";
  if (isToken) void start();
});

const dialog = byId("clear-dialog");
byId("clear").addEventListener("click", () => {
  const name = names.get(choice?.tenant ?? "") ?? choice?.tenant ?? "";
  byId("clear-text").textContent = `What Redis holds for “${clip(name, 80)}”, with and without test data, is removed. Whoever reads it next waits until it is computed from the database.`;
  dialog.showModal();
});
byId("clear-no").addEventListener("click", () => dialog.close());
byId("clear-yes").addEventListener("click", async () => {
  dialog.close();
  if (!choice) return;
  try {
    const { cleared } = await clearCache(choice.tenant);
    announce(`${cleared} bundles cleared`);
    reader.poke();
  } catch (error) {
    if (error instanceof Failure && error.status === 401) refuse(error);
    else showBanner(`Nothing was cleared: ${error instanceof Error ? error.message : error}`);
  }
});

addEventListener("popstate", () => who && show(choiceInAddress()));
addEventListener("hashchange", () => {
  if (takeTokenFromAddress()) void start();
});
connectThemes(byId("themes"));
takeTokenFromAddress();
void start();
