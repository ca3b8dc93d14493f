// An order in words: its steps, what came of it, and each event as it was stored.

import { milliseconds, money } from "./format.js";
import { el, sentence } from "./shared/page.js";

/** @import { Order, OrderEvent, Step } from "./resources.js" */
/** @typedef {[kind: string, words: string]} Badge `kind`: "good", "bad", "warn", "busy", or none. */
/** @typedef {Record<string, any>} EventData */

/** @type {Record<string, [name: string, service: string]>} */
const STEPS = {
  reserve_inventory: ["Reserve", "inventory"],
  charge_payment: ["Charge", "payment"],
  ship_items: ["Ship", "inventory"],
};
/** @type {Record<string, Badge>} */
const STATES = {
  waiting: ["", "waiting"],
  running: ["busy", "under way"],
  done: ["good", "done"],
  refused: ["bad", "refused"],
  compensating: ["busy", "being undone"],
  compensated: ["warn", "undone"],
  stuck: ["bad", "needs attention"],
};
/** @type {Record<string, string>} */
const SIGNS = { waiting: "", running: "…", done: "✓", refused: "✕", compensating: "↺", compensated: "↺", stuck: "!" };
/** @type {Record<string, Badge>} */
const ORDERS = {
  pending: ["busy", "under way"],
  compensating: ["busy", "being undone"],
  completed: ["good", "completed"],
  rejected: ["bad", "rejected"],
  needs_attention: ["warn", "needs attention"],
};
const RESTING = new Set(["completed", "rejected", "needs_attention"]);

/**
 * Whether an order in that state does not change any more by itself.
 * @param {string | undefined} state
 */
export const isResting = (state) => state !== undefined && RESTING.has(state);

/** @param {string} name */
const step = (name) => STEPS[name]?.[0] || name.replaceAll("_", " ");

/** @param {Order} order */
export function badge(order) {
  const [kind, words] = ORDERS[order.state] || ["", order.state];
  return el("span", { class: `badge ${kind}` }, words);
}

/**
 * @param {Step} item
 * @param {boolean} resting
 */
function stepView(item, resting) {
  const [kind, words] =
    resting && item.state === "waiting" ? ["", "not started"] : STATES[item.state] || ["", item.state];
  const tries = item.attempts > 1 ? `, attempt ${item.attempts}` : "";
  return el(
    "li",
    { class: `step ${kind}`, "data-state": item.state },
    el("span", { class: "sign", "aria-hidden": "true" }, SIGNS[item.state] || ""),
    el("span", { class: "name" }, step(item.name)),
    el("span", { class: "soft small" }, `${STEPS[item.name]?.[1] || ""}: ${words}${tries}`),
    item.error && !resting ? el("span", { class: "small why" }, item.error) : null,
  );
}

/**
 * One sentence on where the order stands.
 * @param {Order} order
 */
export function verdict(order) {
  const took = milliseconds(Date.parse(order.updated_at) - Date.parse(order.placed_at));
  if (order.state === "completed") return `Reserved, paid and shipped in ${took}: ${money(order.total_cents)}.`;
  if (order.state === "rejected") return `Rejected after ${took}: ${order.reason}. Completed steps are undone.`;
  if (order.state === "needs_attention") return `This order needs attention: ${order.reason}.`;
  if (order.state === "compensating") return "A step was refused; the steps before it are being undone.";
  return "Under way.";
}

/** @type {Record<string, (data: EventData) => string>} */
const HAPPENED = {
  OrderPlaced: () => "The order was placed",
  StepStarted: (data) => `${step(data.step)} started${data.attempt > 1 ? `, attempt ${data.attempt}` : ""}`,
  StepCompleted: (data) => `${step(data.step)} was done${data.total_cents ? ` (${money(data.total_cents)})` : ""}`,
  StepFailed: (data) => `${step(data.step)} was not answered: ${data.error}`,
  StepRefused: (data) => `${step(data.step)} was refused: ${data.reason}`,
  StepAbandoned: (data) => `${step(data.step)} was given up: ${data.reason}`,
  CompensationStarted: (data) =>
    `Undoing ${step(data.step).toLowerCase()} started${data.attempt > 1 ? `, attempt ${data.attempt}` : ""}`,
  CompensationFailed: (data) => `Undoing ${step(data.step).toLowerCase()} failed: ${data.error}`,
  CompensationCompleted: (data) => `${step(data.step)} was undone`,
  OrderCompleted: () => "The order was completed",
  OrderRejected: (data) => `The order was rejected: ${data.reason}`,
  OrderNeedsAttention: (data) => `The order needs attention: ${data.reason}`,
  AttentionResolved: (data) => `An operator decided: ${String(data.resolution).toLowerCase()}`,
};

/**
 * What an event says happened; the type of an unknown one.
 * @param {OrderEvent} event
 */
export function happened(event) {
  const words = HAPPENED[event.type];
  return words ? sentence(words(JSON.parse(event.data))) : event.type;
}

/**
 * @param {OrderEvent} event
 * @param {number} began Milliseconds since 1970.
 */
function eventView(event, began) {
  return el(
    "li",
    {},
    el("span", { class: "mono soft at" }, `+${milliseconds(Date.parse(event.occurred_at) - began)}`),
    el("span", {}, happened(event)),
    el("span", { class: "mono soft type" }, event.type),
  );
}

/** @param {Order} order */
export const stepsView = (order) =>
  el(
    "ol",
    { class: "steps", "aria-label": "Steps" },
    order.steps.map((item) => stepView(item, isResting(order.state))),
  );

/** @param {OrderEvent[]} events */
export function historyView(events) {
  const [first] = events;
  if (!first) return null;
  return el(
    "details",
    { class: "history", open: true },
    el("summary", {}, `Events (${events.length})`),
    el(
      "ol",
      {},
      events.map((event) => eventView(event, Date.parse(first.occurred_at))),
    ),
  );
}
