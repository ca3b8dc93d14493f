// Requests to the gateway. Errors are Problems: the gateway's document (RFC 9457), or no response.
//
// A POST with a key may be sent again without being done twice; so it is, where no answer came. A token that has ended
// is renewed once, and the request sent again with the new one.

import { backoff, pause } from "./dom.js";

const AWAY = new Set([0, 502, 503, 504]);
const SECONDS = 15;
const watchers = new Set();
let guard = null;

export class Problem extends Error {
  constructor(status, document = {}) {
    super(document.detail || document.title || "The gateway gave no reason.");
    this.status = status;
    this.reason = document.reason || "";
    this.trace = document.trace_id || "";
    this.fields = new Map((document.errors || []).map((item) => [item.field, item.detail]));
  }

  get away() { return AWAY.has(this.status); }
}

/** `session`: has `token()`, `renew(spent)`. Set once, when the page starts. */
export function guardedBy(session) { guard = session; }

/** `watcher` is told {method, path, status, ms, trace} of each request. Returns what ends that. */
export function watchRequests(watcher) {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

async function answered(method, path, options, seconds) {
  const began = performance.now();
  const limit = AbortSignal.timeout(seconds * 1000);
  const signal = options.signal ? AbortSignal.any([options.signal, limit]) : limit;
  let response = null;
  try {
    response = await fetch(path.replace(/^\//, ""), { ...options, method, signal });
    return response;
  } catch (error) {
    if (options.signal?.aborted) throw error;
    const detail = limit.aborted ? `The gateway has not answered within ${seconds} seconds.` : "The gateway does not answer.";
    throw new Problem(0, { detail });
  } finally {
    const told = { method, path, status: response?.status || 0, ms: performance.now() - began, trace: response?.headers.get("x-trace-id") || "" };
    for (const watcher of watchers) watcher(told);
  }
}

async function problemOf(response) {
  const document = await response.json().catch(() => ({ title: response.statusText }));
  return new Problem(response.status, document);
}

async function once(method, path, { body, headers = {}, signal, key, anonymous = false, seconds = SECONDS }) {
  const given = { Accept: "application/json", ...headers };
  if (body !== undefined) given["Content-Type"] = "application/json";
  if (key) given["Idempotency-Key"] = key;
  const options = { signal, cache: "no-store", body: body === undefined ? undefined : JSON.stringify(body) };
  const token = anonymous ? null : await guard.token();
  const bearing = (value) => ({ ...options, headers: value ? { ...given, Authorization: `Bearer ${value}` } : given });
  let response = await answered(method, path, bearing(token), seconds);
  if (response.status === 401 && token) {
    const fresh = await guard.renew(token);
    if (fresh) response = await answered(method, path, bearing(fresh), seconds);
  }
  return response;
}

/** The response, whatever its status; for streams, and for those who look at headers. Rejects with a Problem where there is none. */
export async function ask(method, path, about = {}) {
  for (let attempt = 0; ; attempt += 1) {
    try {
      const response = await once(method, path, about);
      if (!(about.key && AWAY.has(response.status)) || attempt >= 3) return response;
    } catch (error) {
      if (!(error instanceof Problem) || !about.key || attempt >= 3) throw error;
    }
    await pause(1000 * backoff(attempt), about.signal);
  }
}

/** The JSON of an answer; null where there is none (204, 304). Rejects with a Problem. */
export async function call(method, path, about = {}) {
  const response = await ask(method, path, about);
  if (response.status === 304) return null;
  if (!response.ok) throw await problemOf(response);
  return response.status === 204 ? null : response.json();
}

export const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (part) => part.toString(16).padStart(2, "0")).join("");
export { problemOf };
