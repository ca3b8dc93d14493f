// The view of a trace: its waterfall, its tools, and the details of a span.

import { announce } from "./controls.js";
import { assignHues } from "./format.js";
import { inspect } from "./inspector.js";
import { minimap } from "./minimap.js";
import { el } from "./shared/page.js";
import { traceHead } from "./trace_head.js";
import { findSpans, nextOf, visibleSpans } from "./tree.js";
import { Waterfall } from "./waterfall.js";

/** @import { Context } from "./app.js" */
/** @import { Range } from "./minimap.js" */
/** @import { Span, Tree } from "./tree.js" */
/** @typedef {{ main: HTMLElement, id: string, context: Context }} Frame Where a trace is shown; `id` as the address has it. */
/** @typedef {{ folded?: Set<string>, active?: string, opened?: string | null, range?: Range }} Kept What a refresh keeps. */

export class TraceView {
  /** @type {Span[]} */
  #matches = [];
  #fall;
  #map;
  #frame;
  #tree;
  #inspector = el("aside", { class: "inspector", "aria-label": "Span details", hidden: true });
  #find = el("input", {
    type: "search",
    placeholder: "Find in this trace",
    "aria-label": "Find in this trace",
    "data-find": true,
    autocomplete: "off",
    spellcheck: "false",
  });
  #found = el("output", { class: "found" });

  /**
   * @param {Frame} frame
   * @param {Tree} tree
   * @param {string} wanted What is searched for.
   * @param {Kept} [kept]
   */
  constructor(frame, tree, wanted, kept = {}) {
    this.#frame = frame;
    this.#tree = tree;
    this.#find.value = wanted;
    assignHues(tree.services.keys());
    this.#fall = new Waterfall(tree, {
      onOpen: (span) => (this.#fall.opened === span.id ? this.#close() : this.#open(span)),
      onFold: (span) => this.#fold(span),
    });
    this.#map = minimap(tree, (range) => {
      this.#fall.range = range;
      this.#fall.redraw();
    });
    this.#show(kept);
  }

  get size() {
    return this.#tree.ordered.length;
  }

  /** @param {Kept} kept */
  #show(kept) {
    const [root] = this.#tree.roots;
    if (!root) return;
    document.title = `${root.service} ${root.name} · Traces`;
    if (kept.folded) this.#fall.folded = kept.folded;
    this.#frame.main.replaceChildren(
      traceHead(root, this.#tree, this.#frame.context.lastSearch),
      this.#tools(),
      this.#map.element,
      el("div", { class: "stage" }, this.#fall.element, this.#inspector),
    );
    this.#fall.active = this.#tree.spans.get(kept.active ?? "") ?? null;
    this.#layout();
    this.#search({ jump: !kept.folded && Boolean(this.#find.value) });
    const opened = this.#tree.spans.get(kept.opened ?? "");
    if (opened) this.#open(opened);
    if (kept.range) this.#map.set(kept.range);
  }

  /**
   * The same view of a tree with more spans.
   * @param {Tree} tree
   */
  replaced(tree) {
    const { folded, active, opened, range, element } = this.#fall;
    const place = { left: scrollX, top: scrollY };
    const [inGrid, inField] = [element, this.#find].map((node) => node === document.activeElement);
    this.leave();
    const next = new TraceView(this.#frame, tree, this.#find.value, { folded, active: active?.id, opened, range });
    scrollTo(place);
    if (inGrid) next.#fall.element.focus({ preventScroll: true });
    if (inField) next.#find.focus({ preventScroll: true });
    return next;
  }

  #tools() {
    this.#find.addEventListener("input", () => this.#search({ jump: true }));
    /**
     * @param {string} label
     * @param {string} sign
     * @param {1 | -1} by
     */
    const step = (label, sign, by) =>
      el(
        "button",
        { type: "button", class: "plain", "aria-label": label, title: label, onclick: () => this.#nextMatch(by) },
        sign,
      );
    const errors = this.#tree.errors
      ? el(
          "button",
          { type: "button", class: "plain bad", title: "Next error (e)", onclick: () => this.#nextError() },
          "Next error",
        )
      : null;
    return el(
      "div",
      { class: "tools", role: "toolbar", "aria-label": "Trace tools" },
      el(
        "div",
        { class: "finder" },
        this.#find,
        this.#found,
        step("Previous match", "‹", -1),
        step("Next match", "›", 1),
      ),
      el(
        "div",
        { class: "tool-buttons" },
        errors,
        el("button", { type: "button", class: "plain", onclick: () => this.#foldAll() }, "Fold all"),
        el(
          "button",
          {
            type: "button",
            class: "plain",
            onclick: () => {
              this.#fall.folded.clear();
              this.#layout();
            },
          },
          "Unfold all",
        ),
      ),
    );
  }

  #foldAll() {
    this.#fall.folded = new Set(
      this.#tree.ordered.filter((span) => span.children.length && span.depth > 0).map((span) => span.id),
    );
    this.#layout();
  }

  #layout() {
    this.#fall.show(visibleSpans(this.#tree, this.#fall.folded));
  }

  /**
   * @param {Span} span
   * @param {boolean} [folded]
   */
  #fold(span, folded = !this.#fall.folded.has(span.id)) {
    if (folded) this.#fall.folded.add(span.id);
    else this.#fall.folded.delete(span.id);
    this.#layout();
    this.#fall.activate(span);
  }

  /**
   * Unfolds what hides the span, and makes it the current one.
   * @param {Span} span
   */
  #reach(span) {
    for (let up = span.parent; up; up = up.parent) this.#fall.folded.delete(up.id);
    this.#layout();
    this.#fall.activate(span);
  }

  /** @param {Span} span */
  #open(span) {
    this.#fall.opened = span.id;
    this.#inspector.replaceChildren(
      inspect(span, this.#tree, {
        onClose: () => this.#close(),
        onSelect: (other) => {
          this.#reach(other);
          this.#open(other);
        },
      }),
    );
    this.#inspector.hidden = false;
    this.#inspector.scrollTop = 0;
    this.#frame.main.classList.add("inspecting");
    this.#fall.redraw();
    this.#fall.reveal(span);
    announce(`Details of ${span.service} ${span.name}`);
  }

  #close() {
    this.#fall.opened = null;
    this.#inspector.hidden = true;
    this.#inspector.replaceChildren();
    this.#frame.main.classList.remove("inspecting");
    this.#fall.redraw();
    this.#focus();
  }

  #focus() {
    this.#fall.element.focus({ preventScroll: true });
  }

  /** @param {{ jump?: boolean }} [options] `jump`: to the first match. */
  #search({ jump = false } = {}) {
    const text = this.#find.value.trim();
    this.#matches = findSpans(this.#tree, text);
    const [first] = this.#matches;
    this.#fall.matches = new Set(this.#matches.map((span) => span.id));
    this.#found.textContent = text && (first ? `${this.#matches.length} found` : "none");
    this.#found.classList.toggle("none", Boolean(text) && !first);
    this.#frame.context.note(
      `/trace/${encodeURIComponent(this.#frame.id)}${text ? `?uiFind=${encodeURIComponent(text)}` : ""}`,
    );
    if (jump && first) this.#reach(first);
    else this.#fall.redraw();
  }

  #clearSearch() {
    this.#find.value = "";
    this.#search();
  }

  /** @param {1 | -1} by */
  #nextMatch(by) {
    const at = this.#step(this.#matches, by);
    if (at >= 0) this.#found.textContent = `${at + 1} of ${this.#matches.length}`;
  }

  #nextError() {
    this.#step(
      this.#tree.ordered.filter((span) => span.failed),
      1,
    );
  }

  /**
   * Goes to the next of `spans` after the current one, in the order of the tree. Returns which it is; -1 for none.
   * @param {Span[]} spans
   * @param {1 | -1} by
   */
  #step(spans, by) {
    const at = nextOf(spans, by, this.#fall.active, this.#tree);
    const span = spans[at];
    if (!span) return -1;
    if (document.activeElement !== this.#find) this.#focus();
    this.#reach(span);
    if (this.#fall.opened) this.#open(span);
    announce(`${span.service} ${span.name}${span.failed ? ", error" : ""}`);
    return at;
  }

  /**
   * @param {KeyboardEvent} event
   * @param {boolean} typing
   */
  key(event, typing) {
    const target = event.target instanceof Element ? event.target : null;
    if (typing && target !== this.#find) return;
    const inControl = !typing && target?.closest("button, a, summary, dialog");
    if (inControl && event.key !== "Escape") return;
    const move = typing ? this.#keysOfFind(event.shiftKey).get(event.key) : this.#keysOfGrid().get(event.key);
    if (!move) return;
    event.preventDefault();
    move();
  }

  /**
   * @param {boolean} shift
   * @returns {Map<string, () => void>}
   */
  #keysOfFind(shift) {
    return new Map([
      ["Enter", () => this.#nextMatch(shift ? -1 : 1)],
      [
        "Escape",
        () => {
          this.#clearSearch();
          this.#focus();
        },
      ],
      ["ArrowDown", () => this.#focus()],
    ]);
  }

  /** @returns {Map<string, () => void>} */
  #keysOfGrid() {
    const fall = this.#fall;
    const at = fall.index.get(fall.active?.id ?? "") ?? -1;
    const span = fall.active;
    return new Map([
      ["ArrowDown", () => this.#to(at + 1)],
      ["ArrowUp", () => this.#to(at - 1)],
      ["j", () => this.#to(at + 1)],
      ["k", () => this.#to(at - 1)],
      ["Home", () => this.#to(0)],
      ["End", () => this.#to(fall.rows.length - 1)],
      ["PageDown", () => this.#to(at + 15)],
      ["PageUp", () => this.#to(at - 15)],
      [
        "ArrowRight",
        () => {
          if (span) this.#inwards(span, at);
        },
      ],
      [
        "ArrowLeft",
        () => {
          if (span) this.#outwards(span);
        },
      ],
      [
        "Enter",
        () => {
          if (span) fall.opened === span.id ? this.#close() : this.#open(span);
        },
      ],
      ["e", () => this.#nextError()],
      ["Escape", () => this.#escape()],
    ]);
  }

  /**
   * Makes the span of that row the current one.
   * @param {number} place
   */
  #to(place) {
    const fall = this.#fall;
    const span = fall.rows[Math.min(Math.max(place, 0), fall.rows.length - 1)];
    if (!span) return;
    this.#focus();
    fall.activate(span);
    if (fall.opened && fall.opened !== span.id) this.#open(span);
  }

  /**
   * Unfolds, or goes to the first child.
   * @param {Span} span
   * @param {number} at
   */
  #inwards(span, at) {
    if (this.#fall.folded.has(span.id)) this.#fold(span, false);
    else if (span.children.length) this.#to(at + 1);
  }

  /**
   * Folds, or goes to the parent.
   * @param {Span} span
   */
  #outwards(span) {
    if (span.children.length && !this.#fall.folded.has(span.id)) this.#fold(span, true);
    else if (span.parent) this.#reach(span.parent);
  }

  #escape() {
    if (this.#fall.opened) this.#close();
    else if (this.#map.zoomed) this.#map.set([0, 1]);
    else if (this.#find.value) this.#clearSearch();
  }

  leave() {
    this.#frame.main.classList.remove("inspecting");
    this.#fall.leave();
    this.#map.leave();
  }
}
