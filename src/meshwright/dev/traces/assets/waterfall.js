// The waterfall: a treegrid of which only the rows in sight exist, so that ten thousand spans scroll like ten.
//
// The grid keeps the focus and names the current row (aria-activedescendant); rows come and go as the page scrolls.

import { h } from "./dom.js";
import { duration, hue, offset, plural, shortName } from "./format.js";

const OVERSCAN = 8;
const TICKS = 4;

export class Waterfall {
  constructor(tree, { onOpen, onFold, onActive }) {
    this.tree = tree;
    this.rows = [];
    this.folded = new Set();
    this.matches = new Set();
    this.active = null;
    this.opened = null;
    this.range = [0, 1];
    this.on = { open: onOpen, fold: onFold, active: onActive };
    this.narrow = matchMedia("(max-width: 44rem)");
    this.sheet = matchMedia("(max-width: 64rem)");
    this.ruler = h("div", { class: "ruler", role: "row" });
    this.body = h("div", { class: "rows", role: "rowgroup" });
    this.element = h("div", {
      class: "waterfall", role: "treegrid", tabindex: "0", "aria-label": "Spans", "aria-colcount": "2",
      "aria-describedby": "keys-hint",
    }, h("div", { role: "rowgroup", class: "ruler-holder" }, this.ruler), this.body,
    h("p", { class: "hidden", id: "keys-hint" }, "Arrow keys move and fold, Enter shows details."));
    this.body.addEventListener("click", (event) => this.#click(event));
    this.draw = this.draw.bind(this);
    this.resized = () => { this.#placed.clear(); this.body.replaceChildren(); this.draw(); };
    addEventListener("scroll", this.draw, { passive: true });
    addEventListener("resize", this.draw, { passive: true });
    this.narrow.addEventListener("change", this.resized);
  }

  #placed = new Map();

  leave() {
    removeEventListener("scroll", this.draw);
    removeEventListener("resize", this.draw);
    this.narrow.removeEventListener("change", this.resized);
  }

  get rowHeight() {
    return this.narrow.matches ? 46 : 30;
  }

  /** Shows these spans, in this order. */
  show(rows) {
    this.rows = rows;
    this.index = new Map(rows.map((span, at) => [span.id, at]));
    this.element.setAttribute("aria-rowcount", String(rows.length + 1));
    this.redraw();
  }

  redraw() {
    this.#placed.clear();
    this.body.replaceChildren();
    this.body.style.setProperty("height", `${this.rows.length * this.rowHeight}px`);
    this.#drawRuler();
    this.draw();
  }

  draw() {
    const height = this.rowHeight;
    this.body.style.setProperty("height", `${this.rows.length * height}px`);
    const top = this.body.getBoundingClientRect().top;
    const first = Math.max(Math.floor(-top / height) - OVERSCAN, 0);
    const last = Math.min(Math.ceil((innerHeight - top) / height) + OVERSCAN, this.rows.length);
    const wanted = new Set();
    for (let at = first; at < last; at++) wanted.add(at);
    if (this.active && this.index.has(this.active.id)) wanted.add(this.index.get(this.active.id));
    for (const [at, row] of this.#placed) {
      if (wanted.has(at)) continue;
      row.remove();
      this.#placed.delete(at);
    }
    const fresh = [];
    for (const at of wanted) {
      if (this.#placed.has(at)) continue;
      const row = this.#row(this.rows[at], at, height);
      this.#placed.set(at, row);
      fresh.push(row);
    }
    this.body.append(...fresh);
  }

  /** Makes that span the current one and brings it into sight. */
  activate(span, { scroll = true } = {}) {
    this.active = span;
    this.redraw();
    if (!span || !this.index.has(span.id)) return this.element.removeAttribute("aria-activedescendant");
    this.element.setAttribute("aria-activedescendant", `span-${span.id}`);
    if (scroll) this.#reveal(this.index.get(span.id));
    return this.on.active(span);
  }

  /** Brings that span into sight, out from under whatever covers it. */
  reveal(span) {
    if (this.index.has(span.id)) this.#reveal(this.index.get(span.id));
  }

  #reveal(at) {
    const height = this.rowHeight;
    const top = this.body.getBoundingClientRect().top + at * height;
    const holder = this.ruler.parentElement;
    const head = parseFloat(getComputedStyle(holder).top) + holder.offsetHeight + 4; // where the ruler sticks
    const sheet = this.opened && this.sheet.matches ? document.querySelector(".inspector")?.offsetHeight ?? 0 : 0;
    const foot = innerHeight - Math.max(sheet, 24);
    const away = Math.max(head - top, top + height - foot);
    if (away <= 0) return;
    if (away > 3 * height) scrollBy({ top: top - head - (foot - head) * 0.4 });
    else scrollBy({ top: top < head ? top - head : top + height - foot });
  }

  #row(span, at, height) {
    const { start, duration: whole } = this.tree;
    const [from, to] = this.range;
    const left = ((span.start - start) / whole - from) / (to - from);
    const width = span.duration / whole / (to - from);
    const folded = this.folded.has(span.id);
    const parent = span.children.length > 0;
    const entered = span.parent?.raw.processID !== span.raw.processID;
    const failedInside = folded && span.failedBelow > 0;
    const marks = span.raw.logs.map((log) => h("i", { class: "mark",
      style: { "--at": String(Math.min(Math.max((log.timestamp - span.start) / Math.max(span.duration, 1), 0), 1)) } }));
    const label = duration(span.duration);
    const away = left + width > 0.72 ? (left > 0.28 ? "before" : "inside") : "after";
    const warned = span.raw.warnings?.length;
    return h("div", {
      class: ["row", span === this.active && "active", span.id === this.opened && "opened", span.failed && "failed",
        this.matches.size && (this.matches.has(span.id) ? "match" : "dim")].filter(Boolean).join(" "),
      id: `span-${span.id}`, role: "row", "data-id": span.id, "aria-level": String(span.depth + 1),
      "aria-rowindex": String(at + 2), "aria-selected": String(span.id === this.opened),
      "aria-expanded": parent ? String(!folded) : undefined,
      style: { "--top": `${at * height}px`, "--depth": String(Math.min(span.depth, 24)), "--hue": hue(span.service) },
    },
    h("div", { class: "name", role: "gridcell" },
      h("span", { class: `fold${parent ? "" : " leaf"}`, "aria-hidden": "true" }, parent ? "" : null),
      h("span", { class: "service" }, span.service),
      entered && span.version ? h("span", { class: "version", title: `version ${span.version}` }, span.version) : null,
      span.failed ? h("span", { class: "error-mark", title: "error" }, h("span", { "aria-hidden": "true" }, "!"), h("span", { class: "hidden" }, "error")) : null,
      failedInside ? h("span", { class: "error-mark hollow", title: plural(span.failedBelow, "error") + " inside" }, "!") : null,
      warned ? h("span", { class: "warn-mark", title: span.raw.warnings.join("\n") }, "△") : null,
      h("span", { class: "operation", title: `${span.service}: ${span.name}` }, shortName(span.name)),
      folded && parent ? h("span", { class: "count", title: `${plural(span.below, "span")} folded` }, `+${span.below}`) : null),
    h("div", { class: "lane", role: "gridcell" },
      h("span", { class: "bar-holder" },
        h("span", { class: `span-bar ${away}`, style: { "--left": String(left), "--width": String(width) } }, marks,
          h("span", { class: "took" }, label, h("span", { class: "hidden" }, `, starts at ${offset(span.start - start)}`))))));
  }

  #drawRuler() {
    const [from, to] = this.range;
    const count = this.narrow.matches ? 2 : TICKS;
    const ticks = Array.from({ length: count + 1 }, (_, i) =>
      h("span", { class: "tick", style: { "--at": String(i / count) } },
        h("span", {}, offset(this.tree.duration * (from + ((to - from) * i) / count)))));
    this.ruler.replaceChildren(
      h("div", { class: "name", role: "columnheader" }, "Service and operation"),
      h("div", { class: "lane", role: "columnheader", "aria-label": "Time" }, ticks));
  }

  #click(event) {
    const row = event.target.closest(".row");
    if (!row) return;
    const span = this.tree.spans.get(row.dataset.id);
    this.element.focus({ preventScroll: true });
    if (event.target.closest(".fold") && span.children.length) {
      this.active = span;
      this.on.fold(span);
    } else {
      this.activate(span, { scroll: false });
      this.on.open(span);
    }
  }
}
