// The event stream, with fetch, as EventSource cannot send a token. Reconnects by itself, with a growing pause.

import { Failure, isAbort, send } from "./api.js";

const LONGEST_PAUSE_MS = 30_000;
/** The server says something every 15 seconds: after three times that, the connection is dead. */
const SILENCE_MS = 45_000;
/** A browser has six connections to a server, for all its tabs together: a page that nobody sees gives its own back. */
const HIDDEN_MS = 3_000;

const isVisible = () => document.visibilityState === "visible";

/** @param {AbortSignal} signal @returns {Promise<void>} once the page is seen, or the signal is given */
function untilVisible(signal) {
  return new Promise((resolve) => {
    if (isVisible() || signal.aborted) return resolve();
    const looked = new AbortController();
    const look = () => {
      if (!isVisible() && !signal.aborted) return;
      looked.abort();
      resolve();
    };
    document.addEventListener("visibilitychange", look, { signal: looked.signal });
    signal.addEventListener("abort", look, { signal: looked.signal });
  });
}

/** @typedef {"connecting" | "connected" | "reconnecting" | "unavailable" | "off"} LiveState */
/**
 * @typedef {object} Listener
 * @property {() => void} onNews the bundle is to be read anew
 * @property {(state: LiveState) => void} onState
 * @property {(following: import("./live.js").Following) => void} onFollowing how changes are followed
 * @property {() => void} onExpired the token has
 */

/**
 * The events in a stream of bytes: name and data of each; `retry` has a name of its own.
 * @param {ReadableStream<Uint8Array>} body
 * @param {() => void} onBytes
 */
async function* parsed(body, onBytes) {
  const reader = body.pipeThrough(/** @type {any} */ (new TextDecoderStream())).getReader();
  let rest = "";
  let name = "";
  let lines = [];
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    onBytes();
    const parts = (rest + value).split(/\r\n|\n|\r/);
    rest = parts.pop() ?? "";
    for (const line of parts) {
      const [, field, text] = /^([^:]*):? ?(.*)$/.exec(line) ?? ["", "", ""];
      if (line === "") {
        if (name) yield { name, data: lines.join("\n") };
        name = "";
        lines = [];
      } else if (field === "event") name = text;
      else if (field === "data") lines.push(text);
      else if (field === "retry" && /^\d+$/.test(text)) yield { name: "retry", data: text };
    }
  }
}

/**
 * Follows a tenant until the returned function is called.
 * @param {string} tenant
 * @param {Listener} listener
 */
export function follow(tenant, { onNews, onState, onFollowing, onExpired }) {
  const stopped = new AbortController();
  let retry = 2_000;
  let failures = 0;

  async function once() {
    const connection = new AbortController();
    const end = () => connection.abort();
    stopped.signal.addEventListener("abort", end, { once: true });
    let silence = setTimeout(end, SILENCE_MS);
    const alive = () => {
      clearTimeout(silence);
      silence = setTimeout(end, SILENCE_MS);
    };
    let hidden = 0;
    const look = () => {
      clearTimeout(hidden);
      if (!isVisible()) hidden = window.setTimeout(end, HIDDEN_MS);
    };
    document.addEventListener("visibilitychange", look, { signal: connection.signal });
    try {
      const path = `/api/reports/dashboard-events?${new URLSearchParams({ tenant_id: tenant })}`;
      const answer = await send(path, { headers: { Accept: "text/event-stream" }, signal: connection.signal });
      if (!answer.body) return;
      for await (const { name, data } of parsed(answer.body, alive)) {
        if (stopped.signal.aborted) return;
        if (name === "retry") retry = Math.min(Number(data), LONGEST_PAUSE_MS);
        else if (name === "ready" || name === "changed") {
          failures = 0;
          onState("connected");
          onNews();
        } else if (name === "following") onFollowing(JSON.parse(data));
        else if (name === "unavailable") onState("unavailable");
        else if (name === "end") {
          stopped.abort();
          onState("off");
          onExpired();
        }
      }
    } finally {
      clearTimeout(silence);
      clearTimeout(hidden);
      stopped.signal.removeEventListener("abort", end);
      end();
    }
  }

  async function loop() {
    while (!stopped.signal.aborted) {
      if (failures === 0) onState("connecting");
      await untilVisible(stopped.signal);
      if (stopped.signal.aborted) return;
      try {
        await once();
      } catch (error) {
        if (stopped.signal.aborted) return;
        if (!isAbort(error) && error instanceof Failure && [400, 401, 403, 404].includes(error.status)) {
          // Waiting does not help; the read of the bundle says what is wrong.
          onState("off");
          if (error.status === 401) onExpired();
          return;
        }
      }
      if (stopped.signal.aborted) return;
      if (!isVisible()) continue;
      onState("reconnecting");
      const pause = Math.min(retry * 2 ** failures, LONGEST_PAUSE_MS) * (0.75 + Math.random() / 2);
      failures += 1;
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }

  void loop();
  return () => stopped.abort();
}
