// Jaeger's query API, and the two things that this page has beside it.

import { byId, readJson } from "./shared/page.js";

/** @typedef {{ key: string, value: string | number | boolean }} Tag */
/** @typedef {{ refType: string, traceID: string, spanID: string }} Reference */
/** @typedef {{ timestamp: number, fields: Tag[] }} Log */
/** @typedef {{ serviceName: string, tags: Tag[] }} Process */
/**
 * @typedef {object} RawSpan
 * @property {string} traceID
 * @property {string} spanID
 * @property {string} processID
 * @property {string} operationName
 * @property {number} startTime Microseconds since 1970.
 * @property {number} duration Microseconds.
 * @property {Reference[]} references
 * @property {Tag[]} tags
 * @property {Log[]} logs
 * @property {string[] | null} [warnings]
 */
/** @typedef {{ traceID: string, spans: RawSpan[], processes: Record<string, Process> }} Trace */
/** @typedef {{ parent: string, child: string, callCount: number }} Link Calls from one service to another. */
/**
 * @typedef {object} Summary A trace as the search lists it.
 * @property {string} traceID
 * @property {string} rootService
 * @property {string} rootOperation
 * @property {boolean} rootMissing
 * @property {number} start Microseconds since 1970.
 * @property {number} duration Microseconds.
 * @property {number} spans
 * @property {number} errors
 * @property {{ name: string, spans: number, errors: number }[]} services
 */

const SECONDS = 60;

/**
 * The `data` of an answer. Rejects with a Problem.
 * @param {string} path
 * @param {URLSearchParams} [parameters]
 * @param {AbortSignal} [signal]
 */
async function get(path, parameters, signal) {
  const query = parameters && String(parameters) ? `?${parameters}` : "";
  const answer = await readJson(path + query, { signal, seconds: SECONDS, server: "The trace store" });
  return answer.data;
}

/** @returns {Promise<string[]>} */
export const services = () => get("/api/services");

/**
 * @param {string} service
 * @returns {Promise<string[]>}
 */
export const operations = (service) => get(`/api/services/${encodeURIComponent(service)}/operations`);

/**
 * @param {string} id
 * @returns {Promise<Trace>}
 */
export async function trace(id) {
  const [found] = await get(`/api/traces/${encodeURIComponent(id)}`);
  return found;
}

/** @returns {Promise<Link[]>} */
export const dependencies = () => get("/api/dependencies");

/**
 * @param {URLSearchParams} query
 * @param {AbortSignal} signal
 * @returns {Promise<Summary[]>}
 */
export const summaries = (query, signal) => get("/ui/summaries", query, signal);

/** Calls one listener after each change of the store while live is on. */
class Live {
  /** @type {EventSource | null} */
  #source = null;
  /** @type {(() => unknown) | null} */
  #listener = null;
  #button = byId("live");
  #on = false;

  constructor() {
    this.#button.addEventListener("click", () => this.set(!this.#on));
  }

  restore() {
    if (localStorage.getItem("live") === "on") this.set(true);
  }

  /** @param {(() => unknown) | null} listener */
  listen(listener) {
    this.#listener = listener;
  }

  /** @param {boolean} on */
  set(on) {
    this.#on = on;
    localStorage.setItem("live", on ? "on" : "off");
    this.#button.setAttribute("aria-pressed", String(on));
    this.#source?.close();
    this.#source = null;
    if (!on) return;
    this.#source = new EventSource("/ui/changes");
    this.#source.onmessage = () => this.#listener?.();
    this.#source.onopen = () => this.#button.classList.remove("waiting");
    this.#source.onerror = () => this.#button.classList.add("waiting");
  }
}

export const live = new Live();
