// Making elements, and saying numbers and times. Text goes in as text: nothing here reads it as HTML.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== null && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export const el = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);
export const svg = (name, attributes = {}, ...children) => fill(document.createElementNS(SVG, name), attributes, children);
export const byId = (id) => document.getElementById(id);

/** Replace what is in `node`. Where the focus was on something with an id that is there again, it stays there. */
export function show(node, ...children) {
  const held = node.contains(document.activeElement) ? document.activeElement.id : "";
  node.replaceChildren(...children.flat(Infinity).filter(Boolean));
  if (held) byId(held)?.focus({ preventScroll: true });
}

const MONEY = new Intl.NumberFormat("en", { style: "currency", currency: "EUR" });
const CLOCK = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", hour12: false });
const DAY = new Intl.DateTimeFormat("en", { day: "numeric", month: "short", year: "numeric" });

export const money = (cents) => MONEY.format(cents / 100);
const ROUND = new Intl.NumberFormat("en", { style: "currency", currency: "EUR", maximumFractionDigits: 0 });
export const roundMoney = (cents) => ROUND.format(cents / 100);
export const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;
export const day = (text) => DAY.format(new Date(text));

/** As a sentence begins. */
export const sentence = (text) => (text ? text[0].toUpperCase() + text.slice(1) : text);

/** The time of a day for what is of today, with its date for the rest. */
export function when(text) {
  const moment = new Date(text);
  const today = moment.toDateString() === new Date().toDateString();
  return el("time", { datetime: moment.toISOString() }, today ? CLOCK.format(moment) : `${DAY.format(moment)}, ${CLOCK.format(moment)}`);
}

export function milliseconds(value) {
  if (value < 1000) return `${Math.round(value)} ms`;
  return value < 60000 ? `${(value / 1000).toFixed(1)} s` : `${Math.round(value / 60000)} min`;
}

/** A promise that is kept after so many milliseconds, or as soon as `signal` says stop. */
export function pause(ms, signal) {
  return new Promise((done) => {
    if (signal?.aborted) { done(); return; }
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", () => { clearTimeout(timer); done(); }, { once: true });
  });
}

/** Seconds to wait before attempt `n` (from 0): doubling up to `most`, and never all clients at once. */
export const backoff = (n, most = 15) => Math.min(most, 0.5 * 2 ** n) * (0.6 + 0.4 * Math.random());
