// The sidecar's HTTP API, one function for each request.

import { sentence } from "./format.js";
import { token } from "./session.js";

/** @typedef {{ read_all: boolean, clear: boolean, clear_all: boolean, execute: boolean, operate: boolean }} May */
/** @typedef {{ tenant_id: string | null, role: string | null, expires_at: string | null, may: May }} Session */
/** @typedef {{ tenant_id: string, name: string }} Tenant */
/** @typedef {{ status: number, cache: string | null, key: string, ageMs: number | null, ttlMs: number | null, etag: string | null, bundle: any }} BundleAnswer */

/** Why there is no answer. `status` is 0 where the server could not be reached. */
export class Failure extends Error {
  /** @param {number} status @param {string} message */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** @param {unknown} error */
export const isAbort = (error) => error instanceof DOMException && error.name === "AbortError";

/**
 * Sums are exact decimals of any length. What a number would not give back digit by digit is kept as its text.
 * @param {string} text
 */
function parse(text) {
  return JSON.parse(text, /** @type {any} */ ((/** @type {string} */ _, /** @type {any} */ value, /** @type {{ source?: string }} */ context) => {
    return typeof value === "number" && context?.source !== undefined && context.source !== String(value) ? context.source : value;
  }));
}

/**
 * @param {string} path
 * @param {RequestInit} [options]
 */
export async function send(path, options = {}) {
  const headers = new Headers(options.headers);
  const held = token();
  if (held) headers.set("Authorization", `Bearer ${held}`);
  let answer;
  try {
    answer = await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit" });
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new Failure(0, "The server cannot be reached.");
  }
  if (answer.ok || answer.status === 304) return answer;
  let message = `The server answered ${answer.status}.`;
  try {
    message = sentence(String(JSON.parse(await answer.text()).message ?? message));
  } catch (error) {
    if (isAbort(error)) throw error;
  }
  throw new Failure(answer.status, message);
}

/** @param {string} path @param {RequestInit} [options] */
async function data(path, options) {
  const answer = await send(path, options);
  try {
    return parse(await answer.text()).data;
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new Failure(0, "The server's answer broke off.");
  }
}

/** @returns {Promise<Session>} */
export const session = () => data("/api/session");

/** @param {string} search @param {AbortSignal} [signal] @param {number} [limit] @returns {Promise<Tenant[]>} */
export const tenants = (search, signal, limit = 20) =>
  data(`/api/tenants?${new URLSearchParams({ search, limit: String(limit) })}`, { signal });

/** @param {AbortSignal} signal @returns {Promise<any>} */
export const operations = (signal) => data("/api/system/operations", { signal });

/** @param {string} tenant @returns {Promise<{ tenant_id: string | null, cleared: number }>} */
export const clearCache = (tenant) =>
  data("/api/reports/clear-cache", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ tenant_id: tenant }),
  });

/**
 * @param {{ tenant: string, test: boolean, bust: boolean, etag: string | null, signal: AbortSignal }} what
 * @returns {Promise<BundleAnswer>}
 */
export async function bundle({ tenant, test, bust, etag, signal }) {
  const query = new URLSearchParams({ tenant_id: tenant, include_test_data: String(test) });
  if (bust) query.set("bust_cache", "true");
  const headers = etag ? { "If-None-Match": etag } : undefined;
  const answer = await send(`/api/reports/dashboard-bundle?${query}`, { headers, signal });
  const number = (/** @type {string} */ name) => {
    const text = answer.headers.get(name);
    return text === null || text === "" ? null : Number(text);
  };
  const cache = answer.headers.get("X-Cache");
  const key = answer.headers.get("X-Cache-Key") ?? `dashboard:bundle:${tenant}:include=${test}`;
  let parsed = null;
  if (answer.status !== 304) {
    try {
      parsed = parse(await answer.text()).data;
    } catch (error) {
      if (isAbort(error)) throw error;
      throw new Failure(0, "The server's answer broke off.");
    }
  }
  const isHit = cache === "HIT" || cache === "STALE";
  console.log(`[dashboard-bundle] Cache ${isHit ? "HIT" : "MISS"} key=${key} (${isHit ? "redis" : "compute from db"})`);
  return {
    status: answer.status,
    cache,
    key,
    ageMs: number("X-Cache-Age-Ms"),
    ttlMs: number("X-Cache-TTL-Ms"),
    etag: answer.headers.get("ETag"),
    bundle: parsed,
  };
}
