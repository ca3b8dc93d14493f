// Who calls whom: a layered picture, and the same as a table.

import { get, live } from "./api.js";
import { h, s } from "./dom.js";
import { hue, plural } from "./format.js";

const NODE = { width: 150, height: 40, across: 110, down: 26 };

export function dependenciesView(main, context) {
  document.title = "Dependencies · Traces";
  const content = h("div", {});
  main.append(h("div", { class: "dependencies" }, h("h1", {}, "Dependencies"),
    h("p", { class: "lead" }, "Calls between services in the traces of the last day."), content));
  async function run() {
    try {
      const links = await get("/api/dependencies");
      content.replaceChildren(...(links.length ? [picture(links, context), table(links)] : [
        h("div", { class: "empty" }, h("p", { class: "empty-title" }, "No calls between services yet."),
          h("p", {}, "They show here as soon as a trace crosses from one service to another."))]));
    } catch (error) {
      content.replaceChildren(h("p", { class: "problem", role: "alert" }, error.message));
    }
  }
  run();
  live.listen(run);
  return {};
}

/** A column for each service: one further right than the furthest of its callers, circles cut where they close. */
function layers(links) {
  const names = [...new Set(links.flatMap((link) => [link.parent, link.child]))].sort();
  const callees = new Map(names.map((name) => [name, links.filter((l) => l.parent === name && l.child !== name).map((l) => l.child)]));
  const called = new Set(links.filter((l) => l.parent !== l.child).map((l) => l.child));
  const depth = new Map();
  const visit = (name, at, path) => {
    if (path.has(name) || at <= (depth.get(name) ?? -1)) return;
    depth.set(name, at);
    path.add(name);
    for (const next of callees.get(name)) visit(next, at + 1, path);
    path.delete(name);
  };
  for (const name of names) if (!called.has(name)) visit(name, 0, new Set());
  for (const name of names) if (!depth.has(name)) visit(name, 0, new Set());
  const columns = [];
  for (const name of names) (columns[depth.get(name)] ??= []).push(name);
  return columns.filter(Boolean);
}

function picture(links, context) {
  const columns = layers(links);
  const rows = Math.max(...columns.map((names) => names.length));
  const width = columns.length * (NODE.width + NODE.across) - NODE.across + 40;
  const column = (name) => columns.findIndex((names) => names.includes(name));
  const curved = links.some((link) => column(link.child) - column(link.parent) !== 1);
  const height = rows * (NODE.height + NODE.down) + (curved ? 120 : 30);
  const places = new Map();
  columns.forEach((names, x) => names.forEach((name, y) => {
    const free = height - names.length * (NODE.height + NODE.down) + NODE.down;
    places.set(name, { x: 20 + x * (NODE.width + NODE.across), y: free / 2 + y * (NODE.height + NODE.down) });
  }));
  const most = Math.max(...links.map((link) => link.callCount));
  return h("div", { class: "picture", tabindex: "0", role: "img", "aria-label": "Graph of calls between services; the table below says the same." },
    s("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" },
      s("defs", {}, s("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 8, markerHeight: 8, markerUnits: "userSpaceOnUse", orient: "auto" },
        s("path", { d: "M0 0L8 4L0 8z", class: "arrow" }))),
      links.map((link) => edge(link, places, most)), [...places].map(([name, place]) => node(name, place, context))));
}

function edge(link, places, most) {
  const from = places.get(link.parent);
  const to = places.get(link.child);
  const [y1, y2] = [from.y + NODE.height / 2, to.y + NODE.height / 2];
  const weight = 1.2 + 2.6 * Math.sqrt(link.callCount / most);
  let [x1, x2] = [from.x + NODE.width, to.x - 2];
  let path;
  if (link.parent === link.child) {
    const top = from.y;
    path = `M${x1 - 46} ${top} c0 -30 32 -30 32 -2`;
    return s("g", { class: "edge" }, s("path", { d: path, "stroke-width": weight, "marker-end": "url(#arrow)" }),
      s("text", { x: x1 - 30, y: top - 25, "text-anchor": "middle" }, link.callCount.toLocaleString()));
  }
  if (x2 <= x1) {
    [x1, x2] = [from.x + NODE.width / 2, to.x + NODE.width / 2];
    const low = Math.max(from.y, to.y) + NODE.height + 26;
    path = `M${x1} ${from.y + NODE.height} C${x1} ${low} ${x2} ${low} ${x2} ${to.y + NODE.height + 2}`;
    return s("g", { class: "edge" }, s("path", { d: path, "stroke-width": weight, "marker-end": "url(#arrow)" }),
      s("text", { x: (x1 + x2) / 2, y: low - 4, "text-anchor": "middle" }, link.callCount.toLocaleString()));
  }
  if (x2 - x1 > NODE.across) {
    // It passes over the columns in between, not through their nodes.
    const top = Math.min(from.y, to.y) - 34 - (x2 - x1 - NODE.across) / 16;
    [x1, x2] = [from.x + NODE.width / 2 + 20, to.x + NODE.width / 2 - 20];
    path = `M${x1} ${from.y} C${x1 + 40} ${top} ${x2 - 40} ${top} ${x2} ${to.y - 2}`;
    return s("g", { class: "edge" }, s("path", { d: path, "stroke-width": weight, "marker-end": "url(#arrow)" }),
      s("text", { x: (x1 + x2) / 2, y: (from.y + to.y) / 8 + top * 0.75 + 4, "text-anchor": "middle" }, link.callCount.toLocaleString()));
  }
  const bend = Math.max((x2 - x1) / 2, 30);
  path = `M${x1} ${y1} C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
  return s("g", { class: "edge" }, s("path", { d: path, "stroke-width": weight, "marker-end": "url(#arrow)" }),
    s("text", { x: (x1 + x2) / 2, y: (y1 + y2) / 2 - 7, "text-anchor": "middle" }, link.callCount.toLocaleString()));
}

function node(name, place, context) {
  const short = name.length > 17 ? `${name.slice(0, 16)}…` : name;
  const group = s("g", { class: "node", style: { "--hue": hue(name) } },
    s("title", {}, `Find traces of ${name}`),
    s("rect", { x: place.x, y: place.y, width: NODE.width, height: NODE.height, rx: 9 }),
    s("rect", { x: place.x, y: place.y + 9, width: 4, height: NODE.height - 18, class: "stripe" }),
    s("text", { x: place.x + NODE.width / 2, y: place.y + NODE.height / 2 + 5, "text-anchor": "middle" }, short));
  group.addEventListener("click", () => context.go(`/search?service=${encodeURIComponent(name)}`));
  return group;
}

function table(links) {
  const service = (name) => h("a", { href: `/search?service=${encodeURIComponent(name)}`, class: "service", style: { "--hue": hue(name) } }, name);
  return h("table", { class: "calls" }, h("caption", { class: "hidden" }, plural(links.length, "connection")),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Caller"), h("th", { scope: "col" }, "Called"), h("th", { scope: "col", class: "right" }, "Calls"))),
    h("tbody", {}, links.map((link) => h("tr", {}, h("td", {}, service(link.parent)), h("td", {}, service(link.child)),
      h("td", { class: "right" }, link.callCount.toLocaleString())))));
}
