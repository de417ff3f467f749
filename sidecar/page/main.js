// Puts the page together: who is looking, at which tenant, and what is to be shown of it.

import { choiceInAddress, putInAddress } from "./address.js";
import { Failure, session } from "./api.js";
import { connectClearing } from "./clearing.js";
import { byId, h, put } from "./dom.js";
import { follow } from "./events.js";
import { watchExpiry } from "./expiry.js";
import { clip } from "./format.js";
import { showFollowing, showLifetime, showLive } from "./live.js";
import { ALL_TENANTS, forgetNames, keepName, learnName, nameOf } from "./names.js";
import { Operations } from "./operations.js";
import { Origin } from "./origin.js";
import { Overview } from "./overview.js";
import { Picker } from "./picker.js";
import { BundleReader } from "./reader.js";
import { forgetToken, takeTokenFromAddress, token } from "./session.js";
import { askForToken, connectSignIn } from "./signin.js";
import { connectTabs } from "./tabs.js";
import { connectThemes } from "./theme.js";
import { Trouble } from "./trouble.js";

/** @type {import("./api.js").Session | null} */
let who = null;
/** @typedef {import("./address.js").Choice} Choice */
/** What is shown. @type {Choice | null} */
let choice = null;
let isBundleShown = false;
let isRedisAway = false;
let wasConnected = false;
let stopFollowing = () => {};
/** Counts sessions begun and ended, so that an answer for an earlier one is known as such. */
let turn = 0;

const trouble = new Trouble();
const overview = new Overview(byId("overview"));
const origin = new Origin(byId("origin"), byId("age"));
const operations = new Operations(byId("operations"), (failure) => refuse(failure));
const picker = new Picker(byId("picker"), (tenant) => {
  if (tenant.name) keepName(tenant.tenant_id, tenant.name);
  go({ tenant: tenant.tenant_id });
});
const reader = new BundleReader({ onAnswer: showAnswer, onFailure: refuse, onReading: (isReading) => byId("refresh").setAttribute("aria-busy", String(isReading)) });
const selectView = connectTabs(byId("views"), (view) => go({ view }));

/** @param {string} text */
const announce = (text) => void (byId("announcer").textContent = text);

// --- Who is looking ---

async function start() {
  const own = ++turn;
  let found;
  try {
    found = await session();
    if (own !== turn) return;
  } catch (error) {
    if (own !== turn) return;
    const failure = error instanceof Failure ? error : new Failure(0, String(error));
    if (failure.status === 401) signOut(token() === null ? "" : "The token is not accepted, or has expired. Sign in with a new one.");
    else {
      who = null;
      showBoard(false);
      trouble.say(`${failure.message} Trying again.`);
      setTimeout(() => own === turn && void start(), 3_000);
    }
    return;
  }
  who = found;
  // Another token may see something else under the same address.
  choice = null;
  byId("sign-in").hidden = true;
  byId("sign-out").hidden = token() === null;
  byId("views").hidden = !who.may.operate;
  byId("picker").hidden = !who.may.read_all;
  trouble.clear();
  watchExpiry(who.expires_at, refuse);
  showBoard(true);
  show(choiceNow());
}

/** @param {boolean} isSignedIn */
function showBoard(isSignedIn) {
  byId("board").hidden = false;
  byId("board").dataset.refused = String(!isSignedIn);
  byId("choices").hidden = byId("live").hidden = !isSignedIn;
}

/** Nothing of a session stays on the screen when it ends. @param {string} problem */
function signOut(problem) {
  turn += 1;
  forgetToken();
  watchExpiry(null, refuse);
  stopFollowing();
  reader.stop();
  operations.show(false);
  who = choice = null;
  forgetNames();
  isBundleShown = false;
  overview.clear();
  origin.clear();
  for (const id of ["board", "choices", "live", "sign-out"]) byId(id).hidden = true;
  byId("clear-dialog").close();
  document.title = "Dashboard";
  askForToken(problem);
}

// --- What is shown, and its address ---

/** Where a token that may read everything begins, or one that may not. */
const home = () => (who?.may.read_all ? ALL_TENANTS : (who?.tenant_id ?? ""));
const choiceNow = () => choiceInAddress(home(), who?.may.operate ? ["operations"] : []);

/** @param {Partial<Choice>} part */
function go(part) {
  if (!choice) return;
  const next = { ...choice, ...part };
  putInAddress(next);
  show(next);
}

/** @param {Choice} next */
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
  trouble.clear();
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
    onState: follows,
    onFollowing: showFollowing,
    onExpired: () => signOut("The token has expired. Sign in with a new one."),
  });
  void learnName(next.tenant, () => choice?.tenant === next.tenant && showName());
}

function showName() {
  const tenant = choice?.tenant ?? "";
  const name = nameOf(tenant);
  put(byId("tenant-name"), [h("bdi", { class: "cut", title: clip(name, 300) }, clip(name, 160) || "No tenant")]);
  byId("tenant-id").textContent = name === tenant ? "" : tenant;
  picker.show(name);
  document.title = `${clip(name, 60)} · Dashboard`;
}

// --- Answers ---

/** @param {import("./api.js").BundleAnswer} answer @param {boolean} isLate */
function showAnswer(answer, isLate) {
  if (isLate) trouble.late();
  else if (!isRedisAway) trouble.clear();
  origin.show(answer, answer.bundle?.meta?.compute_ms ?? null);
  byId("refresh").hidden = false;
  byId("clear").hidden = !mayClear();
  if (!answer.bundle) return;
  showLifetime(answer.bundle.meta?.ttl_seconds);
  const told = overview.show(answer.bundle);
  announce(isBundleShown ? told : `Figures of ${nameOf(choice?.tenant ?? "")} are shown`);
  isBundleShown = true;
}

const mayClear = () => Boolean(who && (who.may.clear_all || (who.may.clear && who.tenant_id === choice?.tenant)));

/** @param {Failure} failure */
function refuse(failure) {
  if (failure.status === 401) return signOut("The token has expired or is not accepted. Sign in with a new one.");
  if (![400, 403, 404].includes(failure.status)) return trouble.failing(failure, isBundleShown);
  isBundleShown = false;
  overview.clear();
  origin.clear();
  const elsewhere = home();
  const isElsewhere = elsewhere !== "" && elsewhere !== choice?.tenant;
  trouble.refused(failure, isElsewhere ? { name: `Show ${elsewhere === ALL_TENANTS ? "all tenants" : "my tenant"}`, go: () => go({ tenant: elsewhere }) } : null);
}

/** @param {import("./events.js").LiveState} state */
function follows(state) {
  isRedisAway = state === "unavailable";
  showLive(state);
  // Whether only the stream has ended or the server is gone, a read tells.
  if (state === "reconnecting" && wasConnected) reader.poke();
  wasConnected = state === "connected";
  if (isRedisAway) refuse(new Failure(503, "Redis is away."));
}

// --- What people do ---

byId("test-data").addEventListener("change", (/** @type {any} */ event) => go({ test: event.target.checked }));
byId("refresh").addEventListener("click", () => reader.refresh());
byId("sign-out").addEventListener("click", () => signOut(""));
connectSignIn(() => void start());
connectClearing(
  () => choice && { tenant: choice.tenant, name: nameOf(choice.tenant) },
  (cleared) => {
    announce(`${cleared} bundles cleared`);
    reader.poke();
  },
  (failure) => (failure.status === 401 ? refuse(failure) : trouble.say(`Nothing was cleared: ${failure.message}`)),
);
addEventListener("popstate", () => who && show(choiceNow()));
addEventListener("hashchange", () => {
  if (takeTokenFromAddress()) void start();
});
connectThemes(byId("themes"));
takeTokenFromAddress();
void start();
