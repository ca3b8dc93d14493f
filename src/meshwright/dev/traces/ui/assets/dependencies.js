// Who calls whom: a layered picture, and the same as a table.

import { dependencies, live } from "./api.js";
import { hue } from "./format.js";
import { edge, layout, NODE } from "./graph.js";
import { el, Problem, plural, svg } from "./shared/page.js";

/** @import { Context, View } from "./app.js" */
/** @import { Link } from "./api.js" */
/** @import { Place } from "./graph.js" */

/**
 * @param {HTMLElement} main
 * @param {Context} context
 * @returns {View}
 */
export function dependenciesView(main, context) {
  document.title = "Dependencies · Traces";
  const content = el("div");
  main.append(
    el(
      "div",
      { class: "dependencies" },
      el("h1", {}, "Dependencies"),
      el("p", { class: "lead" }, "Calls between services in the traces of the last day."),
      content,
    ),
  );
  async function run() {
    try {
      const links = await dependencies();
      content.replaceChildren(...(links.length ? [picture(links, context), table(links)] : [empty()]));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      content.replaceChildren(el("p", { class: "problem", role: "alert" }, error.message));
    }
  }
  run();
  live.listen(run);
  return {};
}

function empty() {
  return el(
    "div",
    { class: "empty" },
    el("p", { class: "empty-title" }, "No calls between services yet."),
    el("p", {}, "They show here as soon as a trace crosses from one service to another."),
  );
}

/**
 * @param {Link[]} links
 * @param {Context} context
 */
function picture(links, context) {
  const { width, height, places } = layout(links);
  const most = Math.max(...links.map((link) => link.callCount));
  const arrow = {
    id: "arrow",
    viewBox: "0 0 8 8",
    refX: 7,
    refY: 4,
    markerWidth: 8,
    markerHeight: 8,
    markerUnits: "userSpaceOnUse",
    orient: "auto",
  };
  return el(
    "div",
    {
      class: "picture",
      tabindex: "0",
      role: "img",
      "aria-label": "Graph of calls between services; the table below has the same data.",
    },
    svg(
      "svg",
      { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" },
      svg("defs", {}, svg("marker", arrow, svg("path", { d: "M0 0L8 4L0 8z", class: "arrow" }))),
      links.map((link) => edgeView(link, places, most)),
      [...places].map(([name, place]) => nodeView(name, place, context)),
    ),
  );
}

/**
 * @param {Link} link
 * @param {Map<string, Place>} places
 * @param {number} most
 */
function edgeView(link, places, most) {
  const from = places.get(link.parent);
  const to = places.get(link.child);
  if (!from || !to) return null;
  const { d, x, y } = edge(from, to);
  return svg(
    "g",
    { class: "edge" },
    svg("path", { d, "stroke-width": 1.2 + 2.6 * Math.sqrt(link.callCount / most), "marker-end": "url(#arrow)" }),
    svg("text", { x, y, "text-anchor": "middle" }, link.callCount.toLocaleString("en")),
  );
}

/**
 * @param {string} name
 * @param {Place} place
 * @param {Context} context
 */
function nodeView(name, { x, y }, context) {
  const short = name.length > 17 ? `${name.slice(0, 16)}…` : name;
  return svg(
    "g",
    {
      class: "node",
      style: { "--hue": hue(name) },
      onclick: () => context.go(`/search?service=${encodeURIComponent(name)}`),
    },
    svg("title", {}, `Find traces of ${name}`),
    svg("rect", { x, y, width: NODE.width, height: NODE.height, rx: 9 }),
    svg("rect", { x, y: y + 9, width: 4, height: NODE.height - 18, class: "stripe" }),
    svg("text", { x: x + NODE.width / 2, y: y + NODE.height / 2 + 5, "text-anchor": "middle" }, short),
  );
}

/** @param {Link[]} links */
function table(links) {
  /** @param {string} name */
  const service = (name) =>
    el(
      "a",
      { href: `/search?service=${encodeURIComponent(name)}`, class: "service", style: { "--hue": hue(name) } },
      name,
    );
  return el(
    "table",
    { class: "calls" },
    el("caption", { class: "hidden" }, plural(links.length, "connection")),
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        el("th", { scope: "col" }, "Caller"),
        el("th", { scope: "col" }, "Called"),
        el("th", { scope: "col", class: "right" }, "Calls"),
      ),
    ),
    el(
      "tbody",
      {},
      links.map((link) =>
        el(
          "tr",
          {},
          el("td", {}, service(link.parent)),
          el("td", {}, service(link.child)),
          el("td", { class: "right" }, link.callCount.toLocaleString("en")),
        ),
      ),
    ),
  );
}
