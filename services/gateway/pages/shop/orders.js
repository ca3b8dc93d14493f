// One's orders. The chosen one is watched while it is under way: by a stream, and where there is none by asking again
// with the ETag of what is known, which costs no body while nothing has changed.

import { byId, el, money, pause, plural, show, when } from "./dom.js";
import { ask, call, problemOf, Problem } from "./api.js";
import { refreshBalance } from "./account.js";
import { nameOf, refreshGoods } from "./goods.js";
import { Part, trouble } from "./parts.js";
import { badge, historyView, RESTING, stepsView, verdict } from "./saga.js";
import { follow } from "./sse.js";
import { signedIn, watchSession } from "./session.js";

const POLL = 1000;
const SHOWN = 12;
const orders = new Map();
let part = null;
let chosen = "";
let history = [];
let watching = null;
let failure = null;

const path = (id) => `/api/v3/orders/${encodeURIComponent(id)}`;
const summary = (order) => order.items.map((item) => `${item.quantity} × ${nameOf(item.sku)}`).join(", ");

function row(order) {
  return el("li", {}, el("button", { type: "button", id: `order-${order.id}`, class: "order", "aria-pressed": String(order.id === chosen),
    onclick: () => choose(order.id) },
  el("span", { class: "items" }, summary(order)),
  el("span", { class: "soft small" }, when(order.placed_at), order.total_cents ? `, ${money(order.total_cents)}` : ""), badge(order)));
}

function detail(order) {
  return el("div", { class: "detail" }, el("h3", {}, summary(order)), stepsView(order),
    el("p", { class: "verdict", role: "status" }, verdict(order)), failure ? trouble(failure) : null, historyView(history),
    el("p", { class: "soft small" }, "Order ", el("span", { class: "mono" }, order.id)));
}

function render() {
  const found = [...orders.values()].sort((one, other) => (one.id < other.id ? 1 : -1)).slice(0, SHOWN);
  const heading = el("h2", {}, "Your orders");
  if (!found.length) {
    show(byId("orders"), heading, el("p", { class: "empty" }, "None yet. Each order goes through three services, and you will see it do so here."));
    return;
  }
  if (!orders.has(chosen)) choose(found[0].id);
  show(byId("orders"), heading, el("div", { class: "split" },
    el("ul", { class: "list", "aria-label": plural(found.length, "order") }, found.map(row)), detail(orders.get(chosen))));
}

function know(order) {
  const known = orders.get(order.id);
  if (known && known.version > order.version) return;
  orders.set(order.id, order);
  render();
}

async function readHistory(id, signal) {
  const found = await call("GET", `${path(id)}/history`, { signal });
  if (id !== chosen) return;
  history = found;
  render();
}

async function stream(id, signal) {
  let broken = 0;
  await follow(`${path(id)}/watch`, {
    signal,
    last: String(orders.get(id)?.version || ""),
    event(event) {
      if (event.type !== "order") return;
      broken = 0;
      failure = null;
      const order = JSON.parse(event.data);
      know(order);
    },
    state(connected, problem) {
      if (connected || RESTING.has(orders.get(id)?.state)) return;
      broken += 1;
      if (problem instanceof Problem) failure = problem;
      render();
      // A stream that breaks again and again may be a proxy's doing: asking will do.
      if (broken > 2) throw new Problem(0, { detail: "The stream of this order breaks; it is asked for each second." });
    },
  });
}

async function poll(id, signal) {
  for (let tag = ""; !signal.aborted && !RESTING.has(orders.get(id)?.state);) {
    try {
      const response = await ask("GET", path(id), { signal, headers: tag ? { "If-None-Match": tag } : {} });
      if (response.status === 200) {
        tag = response.headers.get("etag") || "";
        failure = null;
        know(await response.json());
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

async function watch(id, signal) {
  try {
    if (!RESTING.has(orders.get(id).state)) {
      await stream(id, signal).catch(() => poll(id, signal));
      if (!signal.aborted) { refreshBalance(); refreshGoods(); }
    }
    if (!signal.aborted) await readHistory(id, signal);
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof Problem)) throw error;
    failure = error;
    render();
  }
}

function choose(id) {
  watching?.abort();
  watching = new AbortController();
  chosen = id;
  history = [];
  failure = null;
  render();
  watch(id, watching.signal);
}

/** Rejects with a Problem. Where no answer comes it is sent again: with the same `key` it is one order in any case. */
export async function placeOrder(items, key) {
  const order = await call("POST", "/api/v3/orders", { body: { items }, key });
  orders.set(order.id, order);
  choose(order.id);
  return order;
}

/** Look again: an order of another window, or one that was told of. */
export function refreshOrders() {
  if (signedIn()) part.refresh();
}

export function startOrders() {
  part = new Part(byId("orders"), (signal) => call("GET", `/api/v3/orders?limit=${SHOWN}`, { signal }), (found) => {
    for (const order of found) if (!(orders.get(order.id)?.version > order.version)) orders.set(order.id, order);
    render();
  });
  watchSession((session) => {
    watching?.abort();
    orders.clear();
    chosen = "";
    part.empty();
    byId("orders").hidden = !session;
    if (session) part.refresh();
  });
}
