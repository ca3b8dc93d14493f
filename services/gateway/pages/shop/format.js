// Money and times as the shop says them.

import { dateAndTime, duration, el } from "./shared/page.js";

const MONEY = new Intl.NumberFormat("en", { style: "currency", currency: "EUR" });
const ROUND = new Intl.NumberFormat("en", { style: "currency", currency: "EUR", maximumFractionDigits: 0 });

/** @param {number} cents */
export const money = (cents) => MONEY.format(cents / 100);

/** @param {number} cents */
export const roundMoney = (cents) => ROUND.format(cents / 100);

/**
 * A duration of whole milliseconds.
 * @param {number} ms
 */
export const milliseconds = (ms) => (ms < 0.5 ? "0 ms" : duration(1000 * Math.round(ms)));

/**
 * A point in time, to the minute; the date only where it is not today.
 * @param {string} text As ISO 8601 has it.
 */
export const when = (text) =>
  el("time", { datetime: new Date(text).toISOString() }, dateAndTime(text).replace(/:\d\d$/, ""));
