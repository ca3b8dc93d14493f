// Server-sent events, read by fetch: EventSource cannot send a token. (HTML, 9.2.6: the format.)

import { ask } from "./api.js";
import { backoff, Problem, pause, problemOf } from "./shared/page.js";

/** @typedef {{ id: string, type: string, data: string }} ServerEvent */
/**
 * @typedef {object} StreamOptions
 * @property {AbortSignal} signal
 * @property {(event: ServerEvent) => void} onEvent
 * @property {(connected: boolean, problem: unknown) => void} [onState] When it is connected and when not; may throw to give up.
 * @property {string} [last] The id of the event after which to begin.
 * @property {boolean} [anonymous]
 */

const SILENCE = 45000;
const SECONDS = 3600;

/**
 * The events of a body. Comments are keep-alives.
 * @param {ReadableStream<Uint8Array<ArrayBuffer>>} body
 * @param {() => void} [heard] Called whenever anything has come.
 * @returns {AsyncGenerator<ServerEvent, void, void>}
 */
export async function* eventsOf(body, heard = () => {}) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  const event = { id: "", type: "message", data: /** @type {string[]} */ ([]) };
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    heard();
    const lines = (rest + part.value).split(/\r\n|\n/);
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line) {
        const [, name, value = ""] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
        if (name === "id") event.id = value;
        else if (name === "event") event.type = value;
        else if (name === "data") event.data.push(value);
        continue;
      }
      if (event.data.length) yield { id: event.id, type: event.type, data: event.data.join("\n") };
      Object.assign(event, { type: "message", data: [] });
    }
  }
}

/**
 * The events from one connection; null where the server says that there are no more.
 * @param {string} path
 * @param {StreamOptions} options
 * @param {string} last
 * @param {AbortSignal} signal
 * @param {() => void} heard
 */
async function listen(path, options, last, signal, heard) {
  /** @type {Record<string, string>} */
  const headers = { Accept: "text/event-stream" };
  if (last) headers["Last-Event-ID"] = last;
  const response = await ask("GET", path, { headers, signal, anonymous: options.anonymous, seconds: SECONDS });
  if (response.status === 204 || !response.body) return null;
  if (!response.ok) throw await problemOf(response);
  return eventsOf(response.body, heard);
}

/**
 * Follows a stream until the signal aborts or the server says that there is no more. Comes back after the last event seen.
 * Rejects with a Problem that waiting does not cure.
 * @param {string} path
 * @param {StreamOptions} options
 */
export async function follow(path, options) {
  let last = options.last ?? "";
  for (let attempt = 0; !options.signal.aborted; attempt += 1) {
    const quiet = new AbortController();
    const signal = AbortSignal.any([options.signal, quiet.signal]);
    let timer = setTimeout(() => quiet.abort(), SILENCE);
    const heard = () => {
      clearTimeout(timer);
      timer = setTimeout(() => quiet.abort(), SILENCE);
    };
    /** @type {unknown} */
    let problem = null;
    try {
      const events = await listen(path, options, last, signal, heard);
      if (events === null) return;
      options.onState?.(true, null);
      for await (const event of events) {
        attempt = 0;
        last = event.id || last;
        options.onEvent(event);
      }
    } catch (error) {
      if (options.signal.aborted) return;
      if (error instanceof Problem && !error.away && error.status !== 429) throw error;
      problem = error;
    } finally {
      clearTimeout(timer);
    }
    options.onState?.(false, problem);
    await pause(backoff(attempt), options.signal);
  }
}
