// The whole shop, live: the last minute as charts, and each order as it is placed and ends. Nothing personal is in it. The
// streams are open only while they are looked at: a browser has six connections to one server (HTTP/1.1).

import { Chart, tableOf } from "./chart.js";
import { money } from "./format.js";
import { trouble } from "./parts.js";
import { byId, clock, el, Problem, show } from "./shared/page.js";
import { follow } from "./sse.js";
import { view, watchView } from "./views.js";

/** @import { ServerEvent } from "./sse.js" */
/** @typedef {{ state: string, at: string, total_cents: number }} FeedItem */

const MINUTE = 60000;
const MOST = 20;
const MEASURES = [
  { name: "placed", label: "Orders placed", unit: "/s", scale: 1 },
  { name: "completed", label: "Orders completed", unit: "/s", scale: 1 },
  { name: "rejected", label: "Orders rejected", unit: "/s", scale: 1 },
  { name: "revenue_cents", label: "Revenue", unit: "€/s", scale: 100 },
];
const STATES = new Map([
  ["placed", "busy"],
  ["completed", "good"],
  ["rejected", "bad"],
]);
const last = { chart: "", feed: "" };
/** @type {Map<string, FeedItem>} */
const orders = new Map();
/** @type {Map<string, Chart>} */
let charts = new Map();
/** @type {AbortController | null} */
let open = null;

/** @param {ServerEvent} event */
function onSecond(event) {
  last.chart = event.id || last.chart;
  const data = JSON.parse(event.data);
  for (const { name, scale } of MEASURES) charts.get(name)?.add(Date.parse(data.at), data[name] / scale);
  draw();
}

// The first minute comes as sixty events at once: they are drawn once.
let drawing = 0;
function draw() {
  cancelAnimationFrame(drawing);
  drawing = requestAnimationFrame(() => {
    for (const chart of charts.values()) chart.draw();
    if (byId("chart-table", HTMLDetailsElement).open) renderTable();
  });
}

const renderTable = () => show(byId("chart-values"), tableOf([...charts.values()]));

/** @param {ServerEvent} event */
function onOrder(event) {
  last.feed = event.id || last.feed;
  orders.set(event.id, JSON.parse(event.data));
  for (const id of [...orders.keys()].slice(0, -MOST)) orders.delete(id);
  show(
    byId("feed-list"),
    [...orders.values()]
      .reverse()
      .map((order) =>
        el(
          "li",
          {},
          el("time", { class: "soft", datetime: order.at }, clock(order.at)),
          el("span", {}, el("span", { class: `badge ${STATES.get(order.state) ?? ""}` }, order.state)),
          el("span", { class: "number" }, order.total_cents ? money(order.total_cents) : ""),
        ),
      ),
  );
}

/**
 * @param {"chart" | "feed"} name
 * @param {(event: ServerEvent) => void} take
 * @param {AbortSignal} signal
 */
function listen(name, take, signal) {
  const place = byId(`${name}-trouble`);
  /** @param {unknown} problem */
  const tell = (problem) => {
    place.hidden = false;
    show(
      place,
      trouble(
        problem instanceof Problem ? problem : new Problem(0, { detail: "The stream broke off; it is opened again." }),
      ),
    );
  };
  follow(`/api/v3/live/${name}`, {
    signal,
    anonymous: true,
    last: last[name],
    onEvent(event) {
      place.hidden = true;
      take(event);
    },
    onState(connected, problem) {
      if (connected) place.hidden = true;
      else if (!signal.aborted) tell(problem);
    },
  }).catch(tell);
}

function turn() {
  const looking = view() === "live" && !document.hidden;
  if (looking === Boolean(open)) return;
  open?.abort();
  open = looking ? new AbortController() : null;
  if (!open) return;
  listen("chart", onSecond, open.signal);
  listen("feed", onOrder, open.signal);
}

export function startLive() {
  const figures = MEASURES.map((measure) => ({ ...measure, figure: el("figure") }));
  charts = new Map(figures.map(({ name, label, unit, figure }) => [name, new Chart(figure, label, unit, MINUTE)]));
  show(
    byId("chart"),
    el("h2", {}, "The last minute"),
    el("div", { id: "chart-trouble", hidden: true }),
    el(
      "div",
      { class: "charts" },
      figures.map(({ figure }) => figure),
    ),
    el(
      "details",
      { id: "chart-table", ontoggle: renderTable },
      el("summary", { class: "soft" }, "As a table"),
      el("div", {
        id: "chart-values",
        class: "scroll",
        tabindex: "0",
        role: "region",
        "aria-label": "The last seconds",
      }),
    ),
  );
  show(
    byId("feed"),
    el("h2", {}, "Orders of all users"),
    el("div", { id: "feed-trouble", hidden: true }),
    el("ul", { id: "feed-list", class: "feed" }),
  );
  addEventListener("resize", () => {
    if (open) draw();
  });
  document.addEventListener("visibilitychange", turn);
  watchView(turn);
  turn();
}
