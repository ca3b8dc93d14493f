// The user's orders. The chosen one is watched while it is under way: by a stream, and where there is none by asking again
// with the ETag of what is known, which costs no body while nothing has changed.

import { refreshBalance } from "./account.js";
import { ask, call } from "./api.js";
import { money, when } from "./format.js";
import { nameOf, refreshGoods } from "./goods.js";
import { Part, trouble } from "./parts.js";
import { badge, historyView, isResting, stepsView, verdict } from "./saga.js";
import { signedIn, watchSession } from "./session.js";
import { byId, el, Problem, pause, plural, problemOf, show } from "./shared/page.js";
import { follow } from "./sse.js";

/** @import { Order, OrderEvent, OrderItem } from "./resources.js" */

const POLL = 1000;
const SHOWN = 12;
const BREAKS = 2;
/** @type {Map<string, Order>} By id. */
const orders = new Map();
/** @type {Part<Order[]>} */
let part;
let chosen = "";
/** @type {OrderEvent[]} */
let history = [];
/** @type {AbortController | null} */
let watching = null;
/** @type {Problem | null} */
let failure = null;

/** @param {string} id */
const path = (id) => `/api/v3/orders/${encodeURIComponent(id)}`;
/** @param {Order} order */
const summary = (order) => order.items.map((item) => `${item.quantity} × ${nameOf(item.sku)}`).join(", ");
/** @param {string} id */
const rests = (id) => isResting(orders.get(id)?.state);

/** @param {Order} order */
function row(order) {
  return el(
    "li",
    {},
    el(
      "button",
      {
        type: "button",
        id: `order-${order.id}`,
        class: "order",
        "aria-pressed": String(order.id === chosen),
        onclick: () => choose(order.id),
      },
      el("span", { class: "items" }, summary(order)),
      el(
        "span",
        { class: "soft small" },
        when(order.placed_at),
        order.total_cents ? `, ${money(order.total_cents)}` : "",
      ),
      badge(order),
    ),
  );
}

/** @param {Order} order */
function detail(order) {
  return el(
    "div",
    { class: "detail" },
    el("h3", {}, summary(order)),
    stepsView(order),
    el("p", { class: "verdict", role: "status" }, verdict(order)),
    failure ? trouble(failure) : null,
    historyView(history),
    el("p", { class: "soft small" }, "Order ", el("span", { class: "mono" }, order.id)),
  );
}

function render() {
  const found = [...orders.values()].sort((one, other) => (one.id < other.id ? 1 : -1)).slice(0, SHOWN);
  const heading = el("h2", {}, "Your orders");
  const [newest] = found;
  if (!newest) {
    show(
      byId("orders"),
      heading,
      el("p", { class: "empty" }, "None yet. Each order goes through three services; its steps are shown here."),
    );
    return;
  }
  const order = orders.get(chosen);
  if (!order) {
    choose(newest.id);
    return;
  }
  show(
    byId("orders"),
    heading,
    el(
      "div",
      { class: "split" },
      el("ul", { class: "list", "aria-label": plural(found.length, "order") }, found.map(row)),
      detail(order),
    ),
  );
}

/**
 * Keeps an order, unless a later version of it is known.
 * @param {Order} order
 */
function keep(order) {
  const known = orders.get(order.id);
  if (!known || known.version <= order.version) orders.set(order.id, order);
}

/**
 * @param {string} id
 * @param {AbortSignal} signal
 */
async function readHistory(id, signal) {
  const found = await call("GET", `${path(id)}/history`, { signal });
  if (id !== chosen) return;
  history = found;
  render();
}

/**
 * @param {string} id
 * @param {AbortSignal} signal
 */
async function stream(id, signal) {
  let broken = 0;
  await follow(`${path(id)}/watch`, {
    signal,
    last: String(orders.get(id)?.version ?? ""),
    onEvent(event) {
      if (event.type !== "order") return;
      broken = 0;
      failure = null;
      keep(JSON.parse(event.data));
      render();
    },
    onState(connected, problem) {
      if (connected || rests(id)) return;
      broken += 1;
      if (problem instanceof Problem) failure = problem;
      render();
      // A stream that breaks again and again may be a proxy's doing: asking will do.
      if (broken > BREAKS)
        throw new Problem(0, { detail: "The stream of this order breaks off; the order is read each second instead." });
    },
  });
}

/**
 * @param {string} id
 * @param {AbortSignal} signal
 */
async function poll(id, signal) {
  for (let tag = ""; !signal.aborted && !rests(id); ) {
    try {
      const response = await ask("GET", path(id), { signal, headers: tag ? { "If-None-Match": tag } : {} });
      if (response.status === 200) {
        tag = response.headers.get("etag") ?? "";
        failure = null;
        keep(await response.json());
        render();
      } else if (response.status !== 304) throw await problemOf(response);
    } catch (error) {
      if (signal.aborted || !(error instanceof Problem)) return;
      failure = error;
      render();
      if (!error.away) return;
    }
    await pause(POLL, signal);
  }
}

/**
 * @param {string} id
 * @param {AbortSignal} signal
 */
async function watch(id, signal) {
  try {
    if (!rests(id)) {
      await stream(id, signal).catch(() => poll(id, signal));
      if (!signal.aborted) {
        refreshBalance();
        refreshGoods();
      }
    }
    if (!signal.aborted) await readHistory(id, signal);
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof Problem)) throw error;
    failure = error;
    render();
  }
}

/** @param {string} id */
function choose(id) {
  watching?.abort();
  watching = new AbortController();
  chosen = id;
  history = [];
  failure = null;
  render();
  watch(id, watching.signal);
}

/**
 * Places an order; sent again while no answer comes, since with the same key it is one order in any case. Rejects with a
 * Problem.
 * @param {OrderItem[]} items
 * @param {string} key
 * @returns {Promise<Order>}
 */
export async function placeOrder(items, key) {
  /** @type {Order} */
  const order = await call("POST", "/api/v3/orders", { body: { items }, key });
  orders.set(order.id, order);
  choose(order.id);
  return order;
}

/** Reads the orders again: there may be one from another window, or a notification was about one. */
export function refreshOrders() {
  if (signedIn()) part.refresh();
}

export function startOrders() {
  part = new Part(
    byId("orders"),
    (signal) => call("GET", `/api/v3/orders?limit=${SHOWN}`, { signal }),
    (found) => {
      for (const order of found) keep(order);
      render();
    },
  );
  watchSession((session) => {
    watching?.abort();
    orders.clear();
    chosen = "";
    part.empty();
    byId("orders").hidden = !session;
    if (session) part.refresh();
  });
}
