// An order as people read it: its steps, what came of it, and each event as it was stored.

import { el, milliseconds, money, sentence } from "./dom.js";

const STEPS = { reserve_inventory: ["Reserve", "inventory"], charge_payment: ["Charge", "payment"], ship_items: ["Ship", "inventory"] };
const STATES = {
  waiting: ["", "waits"],
  running: ["busy", "under way"],
  done: ["good", "done"],
  refused: ["bad", "refused"],
  compensating: ["busy", "being undone"],
  compensated: ["warn", "undone"],
  stuck: ["bad", "needs a person"],
};
const SIGNS = { waiting: "", running: "…", done: "✓", refused: "✕", compensating: "↺", compensated: "↺", stuck: "!" };
const ORDERS = {
  pending: ["busy", "under way"],
  compensating: ["busy", "being undone"],
  completed: ["good", "completed"],
  rejected: ["bad", "rejected"],
  needs_attention: ["warn", "needs a person"],
};
export const RESTING = new Set(["completed", "rejected", "needs_attention"]);

const step = (name) => STEPS[name]?.[0] || name.replaceAll("_", " ");

export function badge(order) {
  const [kind, words] = ORDERS[order.state] || ["", order.state];
  return el("span", { class: `badge ${kind}` }, words);
}

function stepView(item, resting) {
  const [kind, words] = resting && item.state === "waiting" ? ["", "not begun"] : STATES[item.state] || ["", item.state];
  const tries = item.attempts > 1 ? `, attempt ${item.attempts}` : "";
  return el("li", { class: `step ${kind}`, "data-state": item.state },
    el("span", { class: "sign", "aria-hidden": "true" }, SIGNS[item.state] || ""),
    el("span", { class: "name" }, step(item.name)),
    el("span", { class: "soft small" }, `${STEPS[item.name]?.[1] || ""}: ${words}${tries}`),
    item.error && !resting ? el("span", { class: "small why" }, item.error) : null);
}

/** One sentence on where the order stands. */
export function verdict(order) {
  const took = milliseconds(new Date(order.updated_at) - new Date(order.placed_at));
  if (order.state === "completed") return `Reserved, paid and shipped in ${took}: ${money(order.total_cents)}.`;
  if (order.state === "rejected") return `Rejected after ${took}: ${order.reason}. What was done for it is undone.`;
  if (order.state === "needs_attention") return `A person must look at this order: ${order.reason}.`;
  if (order.state === "compensating") return "A step was refused; what was done before it is being undone.";
  return "Under way.";
}

const HAPPENED = {
  OrderPlaced: () => "The order was placed",
  StepStarted: (data) => `${step(data.step)} began${data.attempt > 1 ? `, attempt ${data.attempt}` : ""}`,
  StepCompleted: (data) => `${step(data.step)} was done${data.total_cents ? ` (${money(data.total_cents)})` : ""}`,
  StepFailed: (data) => `${step(data.step)} had no answer: ${data.error}`,
  StepRefused: (data) => `${step(data.step)} was refused: ${data.reason}`,
  StepAbandoned: (data) => `${step(data.step)} was given up: ${data.reason}`,
  CompensationStarted: (data) => `Undoing ${step(data.step).toLowerCase()} began${data.attempt > 1 ? `, attempt ${data.attempt}` : ""}`,
  CompensationFailed: (data) => `Undoing ${step(data.step).toLowerCase()} failed: ${data.error}`,
  CompensationCompleted: (data) => `${step(data.step)} was undone`,
  OrderCompleted: () => "The order was completed",
  OrderRejected: (data) => `The order was rejected: ${data.reason}`,
  OrderNeedsAttention: (data) => `A person is needed: ${data.reason}`,
  AttentionResolved: (data) => `A person decided: ${String(data.resolution).toLowerCase()}`,
};

function eventView(event, began) {
  const words = HAPPENED[event.type];
  const text = words ? words(JSON.parse(event.data)) : event.type;
  return el("li", {}, el("span", { class: "mono soft at" }, `+${milliseconds(new Date(event.occurred_at) - began)}`),
    el("span", {}, sentence(text)), el("span", { class: "mono soft type" }, event.type));
}

export const stepsView = (order) => el("ol", { class: "steps", "aria-label": "Steps" }, order.steps.map((item) => stepView(item, RESTING.has(order.state))));

export function historyView(events) {
  if (!events.length) return null;
  const began = new Date(events[0].occurred_at);
  return el("details", { class: "history", open: true }, el("summary", {}, `What happened, event by event (${events.length})`),
    el("ol", {}, events.map((event) => eventView(event, began))));
}
