// What all pages share: elements, requests and their problems, words for numbers and times.
//
// Text goes into a page as text: nothing here reads it as HTML. Nothing runs when the module is loaded, so that the parts
// without a document can be tested outside a browser.

const SVG = "http://www.w3.org/2000/svg";

/** @typedef {Node | string | number | boolean | null | undefined} Child What `el` appends; booleans and nothing are left out. */
/** @typedef {Child | readonly Content[]} Content Children, nested as they come. */
/** @typedef {(event: Event) => unknown} Listener */
/** @typedef {Record<string, string>} Style Custom properties and other styles; an attribute `style` is against the policy. */
/** @typedef {Record<string, string | number | boolean | null | undefined | Listener | Style>} Attributes */

/**
 * An element. Attributes that begin with "on" are listeners; true is an attribute without a value, false and nothing are none.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes} [attributes]
 * @param {...Content} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/**
 * The same for SVG.
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes} [attributes]
 * @param {...Content} children
 * @returns {SVGElementTagNameMap[Tag]}
 */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/**
 * @template {HTMLElement | SVGElement} Made
 * @param {Made} node
 * @param {Attributes} attributes
 * @param {readonly Content[]} children
 */
function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name.replace(/^on/, ""), value);
    else if (value === undefined || value === null || value === false) continue;
    else if (typeof value === "object")
      for (const [key, item] of Object.entries(value)) node.style.setProperty(key, item);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...flatten(children));
  return node;
}

/**
 * The nodes and texts in `children`, without what stands for nothing.
 * @param {readonly Content[]} children
 * @returns {(Node | string)[]}
 */
export function flatten(children) {
  return children.flatMap((child) => {
    if (child === null || child === undefined || typeof child === "boolean") return [];
    if (typeof child === "string" || typeof child === "number") return [String(child)];
    return "nodeType" in child ? [child] : flatten(child);
  });
}

/**
 * The element with that id. Throws where there is none, or one of another type.
 * @template {Element} [Found=HTMLElement]
 * @param {string} id
 * @param {abstract new () => Found} [type]
 * @returns {Found}
 */
export function byId(id, type) {
  return typed(document.getElementById(id), `#${id}`, type);
}

/**
 * The first element in `root` that the selector matches. Throws where there is none, or one of another type.
 * @template {Element} [Found=HTMLElement]
 * @param {ParentNode} root
 * @param {string} selector
 * @param {abstract new () => Found} [type]
 * @returns {Found}
 */
export function find(root, selector, type) {
  return typed(root.querySelector(selector), selector, type);
}

/**
 * @template {Element} Found
 * @param {Element | null} node
 * @param {string} selector
 * @param {abstract new () => Found} [type]
 * @returns {Found}
 */
function typed(node, selector, type = /** @type {abstract new () => any} */ (HTMLElement)) {
  if (node instanceof type) return node;
  throw new TypeError(`the page has no ${type.name} at ${selector}`);
}

/**
 * Replaces what is in `node`. If the focus is on an element with an id that is there again, it stays on it.
 * @param {Element} node
 * @param {...Content} children
 */
export function show(node, ...children) {
  const held = node.contains(document.activeElement) ? document.activeElement?.id : "";
  node.replaceChildren(...flatten(children));
  if (held) document.getElementById(held)?.focus({ preventScroll: true });
}

/** @typedef {{ field: string, detail: string }} WrongField */
/**
 * @typedef {object} ProblemDocument A problem document (RFC 9457), or the errors of Jaeger's API.
 * @property {string} [title]
 * @property {string} [detail]
 * @property {string} [reason]
 * @property {string} [trace_id]
 * @property {(WrongField | { msg: string })[]} [errors]
 */

const AWAY = new Set([0, 502, 503, 504]);

/** A request that was not answered, or answered with an error. The message is the server's, where it has one. */
export class Problem extends Error {
  /**
   * @param {number} status HTTP's; 0 for no answer.
   * @param {ProblemDocument} [document]
   */
  constructor(status, document = {}) {
    const errors = document.errors ?? [];
    const messages = errors.flatMap((item) => ("msg" in item ? [item.msg] : []));
    super(document.detail || document.title || messages[0] || `The server answered ${status} without a reason.`);
    this.status = status;
    this.reason = document.reason ?? "";
    this.trace = document.trace_id ?? "";
    this.fields = new Map(errors.flatMap((item) => ("field" in item ? [[item.field, item.detail]] : [])));
  }

  /** Whether the server is unavailable now, so that the same request may succeed later. */
  get away() {
    return AWAY.has(this.status);
  }
}

/**
 * The problem that a response describes.
 * @param {Response} response
 */
export async function problemOf(response) {
  const document = await response.json().catch(() => null);
  const known = typeof document === "object" && document !== null && !Array.isArray(document);
  return new Problem(response.status, known ? document : { title: response.statusText });
}

/**
 * The response, whatever its status. Rejects with a Problem if there is none within `seconds`, and with the signal's reason
 * if `options.signal` has aborted.
 * @param {string} address
 * @param {RequestInit & { server?: string, seconds?: number }} [options] `server`: its name at the start of a sentence.
 */
export async function request(address, { server = "The server", seconds = 15, ...options } = {}) {
  const limit = AbortSignal.timeout(seconds * 1000);
  const signal = options.signal ? AbortSignal.any([options.signal, limit]) : limit;
  try {
    return await fetch(address, { ...options, signal });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    const detail = limit.aborted
      ? `${server} has not answered within ${seconds} seconds.`
      : `${server} does not answer. Check that it is running.`;
    throw new Problem(0, { detail });
  }
}

/**
 * The JSON of a resource. Rejects with a Problem; see `request`.
 * @param {string} address
 * @param {RequestInit & { server?: string, seconds?: number }} [options]
 */
export async function readJson(address, options = {}) {
  const response = await request(address, { ...options, headers: { Accept: "application/json", ...options.headers } });
  if (!response.ok) throw await problemOf(response);
  return response.json();
}

/**
 * Resolves after so many milliseconds, or as soon as `signal` aborts.
 * @param {number} ms
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
export function pause(ms, signal) {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const stop = () => {
      clearTimeout(timer);
      resolve();
    };
    const timer = setTimeout(resolve, ms);
    return signal?.addEventListener("abort", stop, { once: true });
  });
}

/**
 * Milliseconds to wait before attempt `n` (from 0): doubling up to `most`, with jitter.
 * @param {number} n
 * @param {number} [most]
 */
export const backoff = (n, most = 15000) => Math.min(most, 500 * 2 ** n) * (0.6 + 0.4 * Math.random());

/** @typedef {Date | number | string} Moment A date, milliseconds since 1970, or a date in words. */

const CLOCK = new Intl.DateTimeFormat("en", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});
const DAY = new Intl.DateTimeFormat("en", { day: "numeric", month: "short", year: "numeric" });

/**
 * The time of day, with seconds.
 * @param {Moment} moment
 */
export const clock = (moment) => CLOCK.format(new Date(moment));

/**
 * The date.
 * @param {Moment} moment
 */
export const day = (moment) => DAY.format(new Date(moment));

/**
 * Date and time; the date only where it is not today.
 * @param {Moment} moment
 * @param {Moment} [now]
 */
export function dateAndTime(moment, now = Date.now()) {
  return day(moment) === day(now) ? clock(moment) : `${day(moment)}, ${clock(moment)}`;
}

const UNITS = /** @type {const} */ ([
  [86400e6, "d", 3600e6, "h"],
  [3600e6, "h", 60e6, "m"],
  [60e6, "m", 1e6, "s"],
]);

/**
 * A duration with about three significant digits.
 * @param {number} micros Microseconds.
 */
export function duration(micros) {
  for (const [size, unit, smaller, smallerUnit] of UNITS) {
    if (micros < size) continue;
    const rest = Math.floor((micros % size) / smaller);
    return `${Math.floor(micros / size)}${unit}${rest ? ` ${rest}${smallerUnit}` : ""}`;
  }
  if (micros >= 1e6) return `${digits(micros / 1e6)} s`;
  if (micros >= 1e3) return `${digits(micros / 1e3)} ms`;
  return `${Math.round(micros)} µs`;
}

/** @param {number} value */
const digits = (value) => String(Number(value.toPrecision(value >= 100 ? 4 : 3)));

/**
 * A number and what is counted.
 * @param {number} count
 * @param {string} one
 * @param {string} [many]
 */
export const plural = (count, one, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

/**
 * With a capital letter, as a sentence begins.
 * @param {string} text
 */
export const sentence = (text) => text.slice(0, 1).toUpperCase() + text.slice(1);

/**
 * The words of a search, in lower case.
 * @param {string} text
 */
export const words = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);

const LOOPBACK = /^(localhost|127\.[0-9.]+|\[::1\])$/;

/**
 * `url`, or nothing if it is of use on the server's machine alone and the browser is on another.
 * @param {string} url
 * @param {string} hostname Where the page itself was loaded from.
 */
export function reachable(url, hostname) {
  return url && LOOPBACK.test(new URL(url).hostname) && !LOOPBACK.test(hostname) ? "" : url;
}
