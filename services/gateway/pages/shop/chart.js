// A line over the last minutes, drawn as SVG: one small chart for each measure, since their scales have nothing in common.
//
// A picture says nothing to a screen reader: each chart has its last value in words, and all values are in a table.

import { clock, el, show, svg } from "./shared/page.js";

/** @typedef {{ at: number, value: number }} Point `at`: milliseconds since 1970. */

const HEIGHT = 150;
const LEFT = 48;
const BOTTOM = 22;
const RIGHT = 8;
const TOP = 10;
const TALL = HEIGHT - BOTTOM - TOP;
const NUMBER = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });

/**
 * A round number that is no less: 1, 2 or 5 times a power of ten.
 * @param {number} value
 */
export function ceiling(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5].map((step) => step * power).find((step) => step >= value) ?? 10 * power;
}

export class Chart {
  #node;
  #unit;
  #span;
  /** @type {Point[]} */
  #points = [];

  /**
   * @param {Element} node
   * @param {string} label
   * @param {string} unit
   * @param {number} span Milliseconds that are shown.
   */
  constructor(node, label, unit, span) {
    this.#node = node;
    this.label = label;
    this.#unit = unit;
    this.#span = span;
  }

  /**
   * Adds a point; points come in the order of time, and one that is known is left out.
   * @param {number} at Milliseconds since 1970.
   * @param {number} value
   */
  add(at, value) {
    const last = this.#points.at(-1);
    if (last && at <= last.at) return;
    this.#points.push({ at, value });
    this.#points = this.#points.filter((point) => point.at > at - this.#span);
  }

  get points() {
    return this.#points;
  }

  /**
   * A value with its unit.
   * @param {number} value
   */
  say(value) {
    return `${NUMBER.format(value)}${this.#unit ? ` ${this.#unit}` : ""}`;
  }

  draw() {
    const last = this.#points.at(-1);
    if (!last) return;
    // As wide as its place is, so that type and lines keep their size.
    const width = Math.max(240, this.#node.clientWidth);
    const top = ceiling(Math.max(...this.#points.map((point) => point.value)));
    show(
      this.#node,
      el("figcaption", {}, el("span", {}, this.label), el("strong", {}, this.say(last.value))),
      svg(
        "svg",
        { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": `${this.label}: ${this.say(last.value)}` },
        grid(top, width),
        line(this.#points, this.#span, top, width),
      ),
      el(
        "div",
        { class: "ends small soft", "aria-hidden": "true" },
        el("span", {}, clock(last.at - this.#span)),
        el("span", {}, clock(last.at)),
      ),
    );
  }
}

/**
 * @param {number} top
 * @param {number} width
 */
function grid(top, width) {
  return [0, 0.5, 1].map((share) => {
    const y = TOP + TALL * (1 - share);
    return [
      svg("line", { x1: LEFT, x2: width - RIGHT, y1: y, y2: y, class: "grid" }),
      svg("text", { x: LEFT - 8, y: y + 4, class: "tick" }, NUMBER.format(top * share)),
    ];
  });
}

/**
 * Where points are in the picture: the last at the right edge, `top` at the upper one.
 * @param {Point[]} points
 * @param {number} span Milliseconds.
 * @param {number} top
 * @param {number} width
 * @returns {{ x: string, y: string }[]}
 */
export function placesOf(points, span, top, width) {
  const end = points.at(-1)?.at ?? 0;
  return points.map(({ at, value }) => ({
    x: (LEFT + (width - LEFT - RIGHT) * (1 - (end - at) / span)).toFixed(1),
    y: (TOP + TALL * (1 - value / top)).toFixed(1),
  }));
}

/**
 * @param {Point[]} points At least one.
 * @param {number} span
 * @param {number} top
 * @param {number} width
 */
function line(points, span, top, width) {
  const places = placesOf(points, span, top, width);
  const [first, last] = [places.at(0), places.at(-1)];
  const path = places.map(({ x, y }) => `${x} ${y}`).join(" L");
  const floor = TOP + TALL;
  return [
    svg("path", { class: "area", d: `M${first?.x} ${floor} L${path} L${last?.x} ${floor} Z` }),
    svg("path", { class: "line", d: `M${path}` }),
    svg("circle", { class: "dot", cx: last?.x, cy: last?.y, r: 4 }),
  ];
}

/**
 * All values of some charts, newest first.
 * @param {Chart[]} charts
 * @param {number} [most] Rows.
 */
export function tableOf(charts, most = 20) {
  const times = [...new Set(charts.flatMap((chart) => chart.points.map((point) => point.at)))]
    .sort((a, b) => b - a)
    .slice(0, most);
  /**
   * @param {Chart} chart
   * @param {number} at
   */
  const cell = (chart, at) => {
    const point = chart.points.find((item) => item.at === at);
    return el("td", {}, point ? chart.say(point.value) : "–");
  };
  return el(
    "table",
    {},
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        ["Time", ...charts.map((chart) => chart.label)].map((text) => el("th", { scope: "col" }, text)),
      ),
    ),
    el(
      "tbody",
      {},
      times.map((at) =>
        el(
          "tr",
          {},
          el("th", { scope: "row" }, clock(at)),
          charts.map((chart) => cell(chart, at)),
        ),
      ),
    ),
  );
}
