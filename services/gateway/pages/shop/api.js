// Requests to the gateway. Errors are Problems: the gateway's document (RFC 9457), or no response.
//
// A POST with a key may be sent again without being done twice; so it is, where no answer came. A token that has expired
// is renewed once, and the request sent again with the new one.

import { backoff, Problem, pause, problemOf, request } from "./shared/page.js";

/** @typedef {{ token: () => Promise<string | null>, renew: (spent: string) => Promise<string | null> }} Authentication */
/** @typedef {{ method: string, path: string, status: number, ms: number, trace: string }} RequestInfo */
/**
 * @typedef {object} RequestOptions
 * @property {unknown} [body] Sent as JSON.
 * @property {Record<string, string>} [headers]
 * @property {AbortSignal} [signal]
 * @property {string} [key] For idempotency.
 * @property {boolean} [anonymous] Without the user's token.
 * @property {number} [seconds] Until the response must have begun.
 */

const UNAVAILABLE = new Set([502, 503, 504]);
const ATTEMPTS = 4;
/** @type {Set<(info: RequestInfo) => void>} */
const watchers = new Set();
/** @type {Authentication} */
let authentication = { token: async () => null, renew: async () => null };

/**
 * Sets where tokens come from; once, when the page starts.
 * @param {Authentication} source
 */
export function authenticateBy(source) {
  authentication = source;
}

/**
 * Calls `watcher` after each request. Returns a function that ends that.
 * @param {(info: RequestInfo) => void} watcher
 */
export function watchRequests(watcher) {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

/**
 * One request, of which the watchers are told.
 * @param {string} method
 * @param {string} path
 * @param {RequestInit & { seconds?: number }} options
 */
async function watched(method, path, options) {
  const began = performance.now();
  /** @type {Response | null} */
  let response = null;
  try {
    response = await request(path.replace(/^\//, ""), { ...options, method, server: "The gateway" });
    return response;
  } finally {
    const trace = response?.headers.get("x-trace-id") ?? "";
    const info = { method, path, status: response?.status ?? 0, ms: performance.now() - began, trace };
    if (response || !options.signal?.aborted) for (const watcher of watchers) watcher(info);
  }
}

/**
 * One attempt, with a token that is renewed if it has expired.
 * @param {string} method
 * @param {string} path
 * @param {RequestOptions} options
 */
async function once(method, path, { body, headers = {}, signal, key, anonymous = false, seconds }) {
  /** @type {Record<string, string>} */
  const given = { Accept: "application/json", ...headers };
  if (body !== undefined) given["Content-Type"] = "application/json";
  if (key) given["Idempotency-Key"] = key;
  /** @type {RequestInit & { seconds?: number }} */
  const options = { signal, seconds, cache: "no-store", body: body === undefined ? undefined : JSON.stringify(body) };
  const token = anonymous ? null : await authentication.token();
  /** @param {string | null} value */
  const send = (value) =>
    watched(method, path, { ...options, headers: value ? { ...given, Authorization: `Bearer ${value}` } : given });
  const response = await send(token);
  if (response.status !== 401 || !token) return response;
  const fresh = await authentication.renew(token);
  return fresh ? send(fresh) : response;
}

/**
 * The response, whatever its status; for streams, and for those who look at headers. Rejects with a Problem if there is none.
 * @param {string} method
 * @param {string} path
 * @param {RequestOptions} [options]
 */
export async function ask(method, path, options = {}) {
  for (let attempt = 0; ; attempt += 1) {
    const last = !options.key || attempt + 1 >= ATTEMPTS;
    try {
      const response = await once(method, path, options);
      if (last || !UNAVAILABLE.has(response.status)) return response;
    } catch (error) {
      if (last || !(error instanceof Problem)) throw error;
    }
    await pause(backoff(attempt), options.signal);
  }
}

/**
 * The JSON of a response; null where there is none (204, 304). Rejects with a Problem.
 * @param {string} method
 * @param {string} path
 * @param {RequestOptions} [options]
 */
export async function call(method, path, options = {}) {
  const response = await ask(method, path, options);
  if (response.status === 304) return null;
  if (!response.ok) throw await problemOf(response);
  return response.status === 204 ? null : response.json();
}

/** A new key for idempotency. */
export const newKey = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (part) => part.toString(16).padStart(2, "0")).join("");
