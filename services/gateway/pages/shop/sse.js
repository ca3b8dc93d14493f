// Server-sent events, read by fetch: EventSource cannot send a token. (HTML, 9.2.6: the format.)

import { ask, Problem, problemOf } from "./api.js";
import { backoff, pause } from "./dom.js";

const SILENCE = 45000;

/** The events of a body: {id, type, data}, the data as text. Comments are keep-alives. */
export async function* eventsOf(body, heard = () => {}) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let event = { id: "", type: "message", data: [] };
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    heard();
    const lines = (rest + part.value).split(/\r\n|\n/);
    rest = lines.pop();
    for (const line of lines) {
      if (!line) {
        if (event.data.length) yield { ...event, data: event.data.join("\n") };
        event = { id: event.id, type: "message", data: [] };
      } else if (!line.startsWith(":")) {
        const [, name, value] = /^([^:]*):? ?(.*)$/.exec(line);
        if (name === "id") event.id = value;
        else if (name === "event") event.type = value;
        else if (name === "data") event.data.push(value);
      }
    }
  }
}

async function listen(path, about, last, signal, heard) {
  const headers = { Accept: "text/event-stream", ...about.headers };
  if (last) headers["Last-Event-ID"] = last;
  const response = await ask("GET", path, { headers, signal, anonymous: about.anonymous, seconds: 3600 });
  if (response.status === 204) return null;
  if (!response.ok) throw await problemOf(response);
  return eventsOf(response.body, heard);
}

/**
 * Follow a stream until `signal` or the server says that there is no more. `about.event(event)` is told each event,
 * `about.state(connected, problem)` when it is connected and when not. Comes back after the last event seen. Rejects with
 * a Problem that waiting does not cure.
 */
export async function follow(path, about) {
  let last = about.last || "";
  for (let attempt = 0; !about.signal.aborted;) {
    const quiet = new AbortController();
    const signal = AbortSignal.any([about.signal, quiet.signal]);
    let timer = setTimeout(() => quiet.abort(), SILENCE);
    const heard = () => { clearTimeout(timer); timer = setTimeout(() => quiet.abort(), SILENCE); };
    let problem = null;
    try {
      const events = await listen(path, about, last, signal, heard);
      if (events === null) return;
      about.state?.(true, null);
      for await (const event of events) {
        attempt = 0;
        last = event.id || last;
        about.event(event);
      }
    } catch (error) {
      if (about.signal.aborted) return;
      if (error instanceof Problem && !error.away && error.status !== 429) throw error;
      problem = error;
    } finally {
      clearTimeout(timer);
    }
    about.state?.(false, problem);
    await pause(1000 * backoff(attempt), about.signal);
    attempt += 1;
  }
}
