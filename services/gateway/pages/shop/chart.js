// A line over the last minutes, drawn as SVG: one small chart for each measure, since their scales have nothing in common.
//
// A picture is no use to who does not see it: each chart says its last value in words, and all values are in a table.

import { el, show, svg } from "./dom.js";

const HEIGHT = 150;
const LEFT = 48;
const BOTTOM = 22;
const RIGHT = 8;
const TALL = HEIGHT - BOTTOM - 10;
const NUMBER = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
const SECONDS = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

/** A round number that is no less: 1, 2 or 5 times a power of ten. */
function ceiling(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value);
}

export class Chart {
  #node; #label; #unit; #span; #points = [];

  /** `span`: milliseconds that are shown. */
  constructor(node, label, unit, span) {
    this.#node = node;
    this.#label = label;
    this.#unit = unit;
    this.#span = span;
  }

  /** `at`: milliseconds since 1970. Points come in the order of time; one that is known is left out. */
  add(at, value) {
    const last = this.#points.at(-1);
    if (last && at <= last.at) return;
    this.#points.push({ at, value });
    this.#points = this.#points.filter((point) => point.at > at - this.#span);
  }

  get points() { return this.#points; }

  say(value) { return `${NUMBER.format(value)}${this.#unit ? ` ${this.#unit}` : ""}`; }

  draw() {
    const last = this.#points.at(-1);
    if (!last) return;
    // As wide as its place is, so that type and lines keep their size.
    const width = Math.max(240, this.#node.clientWidth);
    const words = `${this.#label}: ${this.say(last.value)}`;
    const top = ceiling(Math.max(...this.#points.map((point) => point.value)));
    show(this.#node, el("figcaption", {}, el("span", {}, this.#label), el("strong", {}, this.say(last.value))),
      svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": words }, this.#grid(top, width), this.#line(top, last.at, width)),
      el("div", { class: "ends small soft", "aria-hidden": "true" }, el("span", {}, SECONDS.format(last.at - this.#span)), el("span", {}, SECONDS.format(last.at))));
  }

  #grid(top, width) {
    return [0, 0.5, 1].map((share) => {
      const y = 10 + TALL * (1 - share);
      return [svg("line", { x1: LEFT, x2: width - RIGHT, y1: y, y2: y, class: "grid" }),
        svg("text", { x: LEFT - 8, y: y + 4, class: "tick" }, NUMBER.format(top * share))];
    });
  }

  #line(top, end, width) {
    const place = ({ at, value }) => [
      LEFT + (width - LEFT - RIGHT) * (1 - (end - at) / this.#span),
      10 + TALL * (1 - value / top),
    ].map((part) => part.toFixed(1)).join(" ");
    const places = this.#points.map(place);
    const [first] = places[0].split(" ");
    const [last, height] = places.at(-1).split(" ");
    const floor = 10 + TALL;
    return [svg("path", { class: "area", d: `M${first} ${floor} L${places.join(" L")} L${last} ${floor} Z` }),
      svg("path", { class: "line", d: `M${places.join(" L")}` }), svg("circle", { class: "dot", cx: last, cy: height, r: 4 })];
  }
}

/** All values of some charts, newest first. */
export function tableOf(charts, most = 20) {
  const times = [...new Set(charts.flatMap(([, chart]) => chart.points.map((point) => point.at)))].sort((a, b) => b - a).slice(0, most);
  const value = (chart, at) => chart.points.find((point) => point.at === at)?.value;
  return el("table", {}, el("thead", {}, el("tr", {}, ["Time", ...charts.map(([label]) => label)].map((text) => el("th", { scope: "col" }, text)))),
    el("tbody", {}, times.map((at) => el("tr", {}, el("th", { scope: "row" }, SECONDS.format(at)),
      charts.map(([, chart]) => el("td", {}, value(chart, at) === undefined ? "–" : chart.say(value(chart, at))))))));
}
