// What goes on in the whole shop: the last minute as charts, and each order as it is placed and ends. Nothing personal
// is in it. The streams are open only while they are looked at: a browser has six connections to one server (HTTP/1.1).

import { byId, el, money, show } from "./dom.js";
import { Chart, tableOf } from "./chart.js";
import { Problem } from "./api.js";
import { follow } from "./sse.js";
import { trouble } from "./parts.js";
import { view, watchView } from "./views.js";

const MINUTE = 60000;
const MOST = 20;
const MEASURES = [["placed", "Orders placed", "/s", 1], ["completed", "Orders completed", "/s", 1],
  ["rejected", "Orders rejected", "/s", 1], ["revenue_cents", "Revenue", "€/s", 100]];
const STATES = { placed: "busy", completed: "good", rejected: "bad" };
const TIME = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const last = { chart: "", feed: "" };
const orders = new Map();
let charts = null;
let open = null;

function second(event) {
  last.chart = event.id || last.chart;
  const data = JSON.parse(event.data);
  for (const [name, , , scale] of MEASURES) charts.get(name).add(Date.parse(data.at), data[name] / scale);
  byId("chart-trouble").hidden = true;
  draw();
}

// The first minute comes as sixty events at once: one picture will do.
let drawing = 0;
function draw() {
  cancelAnimationFrame(drawing);
  drawing = requestAnimationFrame(() => {
    for (const chart of charts.values()) chart.draw();
    if (byId("chart-table").open) renderTable();
  });
}

const renderTable = () => show(byId("chart-values"), tableOf(MEASURES.map(([name, label]) => [label, charts.get(name)])));

function placed(event) {
  last.feed = event.id || last.feed;
  orders.set(event.id, JSON.parse(event.data));
  const newest = [...orders].slice(-MOST);
  orders.clear();
  for (const [id, order] of newest) orders.set(id, order);
  const rows = newest.reverse().map(([, order]) => el("li", {}, el("time", { class: "soft", datetime: order.at }, TIME.format(new Date(order.at))),
    el("span", {}, el("span", { class: `badge ${STATES[order.state] || ""}` }, order.state)), el("span", { class: "number" }, order.total_cents ? money(order.total_cents) : "")));
  show(byId("feed-list"), rows);
}

function listen(path, name, take, place, signal) {
  const told = (problem) => {
    place.hidden = false;
    show(place, trouble(problem instanceof Problem ? problem : new Problem(0, { detail: "The stream was lost; it is opened again." })));
  };
  follow(path, {
    signal,
    anonymous: true,
    last: last[name],
    event(event) { place.hidden = true; take(event); },
    state(connected, problem) {
      if (connected) place.hidden = true;
      else if (!signal.aborted) told(problem);
    },
  }).catch(told);
}

function turn() {
  const looking = view() === "live" && !document.hidden;
  if (looking === Boolean(open)) return;
  open?.abort();
  open = looking ? new AbortController() : null;
  if (!open) return;
  listen("/api/v3/live/chart", "chart", second, byId("chart-trouble"), open.signal);
  listen("/api/v3/live/feed", "feed", placed, byId("feed-trouble"), open.signal);
}

export function startLive() {
  const figures = MEASURES.map(([name, label, unit]) => [name, el("figure"), label, unit]);
  charts = new Map(figures.map(([name, figure, label, unit]) => [name, new Chart(figure, label, unit, MINUTE)]));
  show(byId("chart"), el("h2", {}, "The last minute"), el("div", { id: "chart-trouble", hidden: true }), el("div", { class: "charts" }, figures.map(([, figure]) => figure)),
    el("details", { id: "chart-table", ontoggle: renderTable }, el("summary", { class: "soft" }, "As a table"), el("div", { id: "chart-values", class: "scroll", tabindex: "0", role: "region", "aria-label": "The last seconds" })));
  show(byId("feed"), el("h2", {}, "Orders of everybody"), el("div", { id: "feed-trouble", hidden: true }), el("ul", { id: "feed-list", class: "feed" }));
  addEventListener("resize", () => { if (open) draw(); });
  document.addEventListener("visibilitychange", turn);
  watchView(turn);
  turn();
}
