// What the trace store says in microseconds, names and tags, in words and colours.

import { clock, duration } from "./shared/page.js";

/**
 * A position on a ruler; the sign shows where clocks disagree.
 * @param {number} micros
 */
export const offset = (micros) => (micros < 0 ? `−${duration(-micros)}` : duration(micros));

/**
 * The time of day with milliseconds.
 * @param {number} micros Since 1970.
 */
export function preciseClock(micros) {
  return `${clock(micros / 1000)}.${String(Math.floor(micros / 1000) % 1000).padStart(3, "0")}`;
}

/**
 * How long ago that was.
 * @param {number} micros Since 1970.
 * @param {number} [now] Milliseconds.
 */
export function ago(micros, now = Date.now()) {
  const seconds = Math.round(now / 1000 - micros / 1e6);
  if (seconds < -2) return `${duration(-seconds * 1e6)} ahead of this clock`;
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

/**
 * A gRPC method without its package, where there is little room: `demo.user.v1.UserService/GetUser` is long.
 * @param {string} name
 */
export const shortName = (name) => name.match(/^[\w.]+\.(\w+\/\w+)$/)?.[1] ?? name;

// Hues that stay apart from each other and from the red of errors, in both themes.
const HUES = [245, 160, 70, 305, 200, 125, 345, 275, 100, 180, 225, 45];
/** @type {Map<string, number>} */
const taken = new Map();

/**
 * The hue of a service: the same on every page, and shared by two services only when there are more than twelve.
 * @param {string} service
 */
export function hue(service) {
  let slot = taken.get(service);
  if (slot === undefined) {
    slot = freeSlot(service);
    taken.set(service, slot);
  }
  return String(HUES[slot]);
}

/** @param {string} service */
function freeSlot(service) {
  let hash = 7;
  for (const letter of service) hash = (hash * 31 + (letter.codePointAt(0) ?? 0)) >>> 0;
  const used = new Set(taken.values());
  let slot = hash % HUES.length;
  for (let step = 0; step < HUES.length && used.has(slot); step++) slot = (slot + 1) % HUES.length;
  return slot;
}

/**
 * Gives services their hues in an order that does not depend on which is seen first.
 * @param {Iterable<string>} services
 */
export function assignHues(services) {
  for (const service of [...services].sort()) hue(service);
}

/**
 * Reads `key=value key="two words"` as Jaeger's page does; null where it is not that.
 * @param {string} text
 */
export function readTags(text) {
  /** @type {Record<string, string>} */
  const found = {};
  const part = /\s*([^\s=]+)=(?:"((?:[^"\\]|\\.)*)"|(\S*))(?=\s|$)/y;
  const trimmed = text.trim();
  part.lastIndex = 0;
  while (part.lastIndex < trimmed.length) {
    const match = part.exec(trimmed);
    if (!match) return null;
    const [, key = "", quoted, plain = ""] = match;
    found[key] = quoted === undefined ? plain : quoted.replace(/\\(.)/g, "$1");
  }
  return found;
}

/**
 * The text that `readTags` reads.
 * @param {Record<string, unknown>} tags
 */
export function writeTags(tags) {
  return Object.entries(tags)
    .map(([key, value]) => [key, String(value)])
    .map(([key, value = ""]) => `${key}=${/[\s"]/.test(value) ? `"${value.replace(/["\\]/g, "\\$&")}"` : value}`)
    .join(" ");
}

/**
 * The tags of an address, as text; what is not a JSON object is left as it is.
 * @param {string} text
 */
export function tagsOf(text) {
  if (!text) return "";
  try {
    return writeTags(JSON.parse(text));
  } catch {
    return text;
  }
}

/**
 * Whether the tags ask for failed spans.
 * @param {string} tags
 */
export const asksForErrors = (tags) => /(^|\s)error=true(\s|$)/.test(tags);

/**
 * The tags that ask for failed spans, or that do not, and for what they asked besides.
 * @param {string} tags
 * @param {boolean} on
 */
export function askForErrors(tags, on) {
  const others = tags.replace(/(^|\s)error=\S+/g, "").trim();
  return on ? `${others} error=true`.trim() : others;
}
