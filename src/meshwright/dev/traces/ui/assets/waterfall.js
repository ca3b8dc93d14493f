// The waterfall: a treegrid of which only the rows in sight exist, so that ten thousand spans scroll like ten.
//
// The grid keeps the focus and names the current row (aria-activedescendant); rows come and go as the page scrolls.

import { hue, offset, shortName } from "./format.js";
import { bar, markAt } from "./geometry.js";
import { duration, el, plural } from "./shared/page.js";

/** @import { Range } from "./minimap.js" */
/** @import { Span, Tree } from "./tree.js" */

const OVERSCAN = 8;
const TICKS = 4;

export class Waterfall {
  /** @type {Span[]} The rows, folded ones left out. */
  rows = [];
  /** @type {Map<string, number>} The row of each span that is shown, by id. */
  index = new Map();
  /** @type {Set<string>} Ids. */
  folded = new Set();
  /** @type {Set<string>} Ids. */
  matches = new Set();
  /** @type {Span | null} */
  active = null;
  /** @type {string | null} The id of the span whose details are shown. */
  opened = null;
  /** @type {Range} */
  range = [0, 1];
  /** @type {Map<number, HTMLElement>} The elements of the rows in sight. */
  #placed = new Map();
  #narrow = matchMedia("(max-width: 44rem)");
  #sheet = matchMedia("(max-width: 64rem)");
  #ruler = el("div", { class: "ruler", role: "row" });
  #holder = el("div", { role: "rowgroup", class: "ruler-holder" }, this.#ruler);
  #body = el("div", { class: "rows", role: "rowgroup" });
  element = el(
    "div",
    {
      class: "waterfall",
      role: "treegrid",
      tabindex: "0",
      "aria-label": "Spans",
      "aria-colcount": "2",
      "aria-describedby": "keys-hint",
    },
    this.#holder,
    this.#body,
    el("p", { class: "hidden", id: "keys-hint" }, "Arrow keys move and fold, Enter shows details."),
  );
  #tree;
  #onOpen;
  #onFold;

  /**
   * @param {Tree} tree
   * @param {{ onOpen: (span: Span) => void, onFold: (span: Span) => void }} listeners
   */
  constructor(tree, { onOpen, onFold }) {
    this.#tree = tree;
    this.#onOpen = onOpen;
    this.#onFold = onFold;
    this.#body.addEventListener("click", (event) => this.#click(event));
    addEventListener("scroll", this.#draw, { passive: true });
    addEventListener("resize", this.#draw, { passive: true });
    this.#narrow.addEventListener("change", this.#redrawAll);
  }

  #redrawAll = () => this.redraw();

  leave() {
    removeEventListener("scroll", this.#draw);
    removeEventListener("resize", this.#draw);
    this.#narrow.removeEventListener("change", this.#redrawAll);
  }

  get #rowHeight() {
    return this.#narrow.matches ? 46 : 30;
  }

  /**
   * Shows these spans, in this order.
   * @param {Span[]} rows
   */
  show(rows) {
    this.rows = rows;
    this.index = new Map(rows.map((span, at) => [span.id, at]));
    this.element.setAttribute("aria-rowcount", String(rows.length + 1));
    this.redraw();
  }

  redraw() {
    this.#placed.clear();
    this.#body.replaceChildren();
    this.#body.style.setProperty("height", `${this.rows.length * this.#rowHeight}px`);
    this.#drawRuler();
    this.#draw();
  }

  #draw = () => {
    const height = this.#rowHeight;
    this.#body.style.setProperty("height", `${this.rows.length * height}px`);
    const wanted = this.#inSight(height);
    for (const [at, row] of this.#placed) {
      if (wanted.has(at)) continue;
      row.remove();
      this.#placed.delete(at);
    }
    const fresh = [];
    for (const at of wanted) {
      const span = this.rows[at];
      if (!span || this.#placed.has(at)) continue;
      const row = this.#row(span, at, height);
      this.#placed.set(at, row);
      fresh.push(row);
    }
    this.#body.append(...fresh);
  };

  /**
   * The rows that have to exist: those in sight, some around them, and the current one.
   * @param {number} height
   * @returns {Set<number>}
   */
  #inSight(height) {
    const top = this.#body.getBoundingClientRect().top;
    const first = Math.max(Math.floor(-top / height) - OVERSCAN, 0);
    const last = Math.min(Math.ceil((innerHeight - top) / height) + OVERSCAN, this.rows.length);
    const wanted = new Set(Array.from({ length: Math.max(last - first, 0) }, (_, at) => first + at));
    const active = this.active && this.index.get(this.active.id);
    if (typeof active === "number") wanted.add(active);
    return wanted;
  }

  /**
   * Makes that span the current one and brings it into sight.
   * @param {Span} span
   * @param {{ scroll?: boolean }} [options]
   */
  activate(span, { scroll = true } = {}) {
    this.active = span;
    this.redraw();
    const at = this.index.get(span.id);
    if (at === undefined) this.element.removeAttribute("aria-activedescendant");
    else this.element.setAttribute("aria-activedescendant", `span-${span.id}`);
    if (scroll && at !== undefined) this.#reveal(at);
  }

  /**
   * Brings that span into sight, out from under whatever covers it.
   * @param {Span} span
   */
  reveal(span) {
    const at = this.index.get(span.id);
    if (at !== undefined) this.#reveal(at);
  }

  /** @param {number} at */
  #reveal(at) {
    const height = this.#rowHeight;
    const top = this.#body.getBoundingClientRect().top + at * height;
    const head = Number.parseFloat(getComputedStyle(this.#holder).top) + this.#holder.offsetHeight + 4; // where the ruler sticks
    const sheet = this.opened && this.#sheet.matches ? document.querySelector(".inspector") : null;
    const foot = innerHeight - Math.max(sheet instanceof HTMLElement ? sheet.offsetHeight : 0, 24);
    const away = Math.max(head - top, top + height - foot);
    if (away <= 0) return;
    if (away > 3 * height) scrollBy({ top: top - head - (foot - head) * 0.4 });
    else scrollBy({ top: top < head ? top - head : top + height - foot });
  }

  /**
   * @param {Span} span
   * @param {number} at
   * @param {number} height
   */
  #row(span, at, height) {
    const parent = span.children.length > 0;
    return el(
      "div",
      {
        class: this.#classes(span),
        id: `span-${span.id}`,
        role: "row",
        "data-id": span.id,
        "aria-level": span.depth + 1,
        "aria-rowindex": at + 2,
        "aria-selected": String(span.id === this.opened),
        "aria-expanded": parent ? String(!this.folded.has(span.id)) : undefined,
        style: { "--top": `${at * height}px`, "--depth": String(Math.min(span.depth, 24)), "--hue": hue(span.service) },
      },
      this.#name(span, parent, parent && this.folded.has(span.id)),
      this.#lane(span),
    );
  }

  /** @param {Span} span */
  #classes(span) {
    const matching = this.matches.size > 0 && (this.matches.has(span.id) ? "match" : "dim");
    return [
      "row",
      span === this.active && "active",
      span.id === this.opened && "opened",
      span.failed && "failed",
      matching,
    ]
      .filter(Boolean)
      .join(" ");
  }

  /**
   * The cell with what the span is.
   * @param {Span} span
   * @param {boolean} parent
   * @param {boolean} folded
   */
  #name(span, parent, folded) {
    const entered = span.parent?.raw.processID !== span.raw.processID;
    const warnings = span.raw.warnings ?? [];
    return el(
      "div",
      { class: "name", role: "gridcell" },
      el("span", { class: `fold${parent ? "" : " leaf"}`, "aria-hidden": "true" }),
      el("span", { class: "service" }, span.service),
      entered && span.version ? el("span", { class: "version", title: `version ${span.version}` }, span.version) : null,
      span.failed
        ? el(
            "span",
            { class: "error-mark", title: "error" },
            el("span", { "aria-hidden": "true" }, "!"),
            el("span", { class: "hidden" }, "error"),
          )
        : null,
      folded && span.failedBelow > 0
        ? el("span", { class: "error-mark hollow", title: `${plural(span.failedBelow, "error")} inside` }, "!")
        : null,
      warnings.length ? el("span", { class: "warn-mark", title: warnings.join("\n") }, "△") : null,
      el("span", { class: "operation", title: `${span.service}: ${span.name}` }, shortName(span.name)),
      folded ? el("span", { class: "count", title: `${plural(span.below, "span")} folded` }, `+${span.below}`) : null,
    );
  }

  /**
   * The cell with when the span ran.
   * @param {Span} span
   */
  #lane(span) {
    const { start } = this.#tree;
    const { left, width, label } = bar(span, this.#tree, this.range);
    const marks = span.raw.logs.map((log) =>
      el("i", { class: "mark", style: { "--at": String(markAt(span, log.timestamp)) } }),
    );
    return el(
      "div",
      { class: "lane", role: "gridcell" },
      el(
        "span",
        { class: "bar-holder" },
        el(
          "span",
          { class: `span-bar ${label}`, style: { "--left": String(left), "--width": String(width) } },
          marks,
          el(
            "span",
            { class: "took" },
            duration(span.duration),
            el("span", { class: "hidden" }, `, starts at ${offset(span.start - start)}`),
          ),
        ),
      ),
    );
  }

  #drawRuler() {
    const [from, to] = this.range;
    const count = this.#narrow.matches ? 2 : TICKS;
    const ticks = Array.from({ length: count + 1 }, (_, i) =>
      el(
        "span",
        { class: "tick", style: { "--at": String(i / count) } },
        el("span", {}, offset(this.#tree.duration * (from + ((to - from) * i) / count))),
      ),
    );
    this.#ruler.replaceChildren(
      el("div", { class: "name", role: "columnheader" }, "Service and operation"),
      el("div", { class: "lane", role: "columnheader", "aria-label": "Time" }, ticks),
    );
  }

  /** @param {Event} event */
  #click(event) {
    if (!(event.target instanceof Element)) return;
    const span = this.#tree.spans.get(event.target.closest(".row")?.getAttribute("data-id") ?? "");
    if (!span) return;
    this.element.focus({ preventScroll: true });
    if (event.target.closest(".fold") && span.children.length) {
      this.active = span;
      this.#onFold(span);
    } else {
      this.activate(span, { scroll: false });
      this.#onOpen(span);
    }
  }
}
