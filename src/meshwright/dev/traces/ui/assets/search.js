// Search: the form, the picture of what was found, and the list.

import { live, summaries } from "./api.js";
import { announce } from "./controls.js";
import { SearchForm } from "./search_form.js";
import { emptyState, hit, scatter } from "./search_results.js";
import { el, Problem, plural } from "./shared/page.js";

/** @import { Context, View } from "./app.js" */
/** @import { Summary } from "./api.js" */

/** @type {Record<string, [label: string, compare: (a: Summary, b: Summary) => number]>} */
const ORDERS = {
  newest: ["Newest first", (a, b) => b.start - a.start],
  longest: ["Longest first", (a, b) => b.duration - a.duration],
  shortest: ["Shortest first", (a, b) => a.duration - b.duration],
  spans: ["Most spans first", (a, b) => b.spans - a.spans],
  errors: ["Errors first", (a, b) => b.errors - a.errors || b.start - a.start],
};

/**
 * @param {HTMLElement} main
 * @param {URLSearchParams} parameters
 * @param {Context} context
 * @returns {View}
 */
export function searchView(main, parameters, context) {
  const view = new SearchView(main, parameters, context);
  view.run();
  live.listen(() => view.run());
  return { key: (event, typing) => view.key(event, typing), leave: () => view.leave() };
}

class SearchView {
  /** @type {Summary[]} */
  #traces = [];
  /** @type {Set<string> | null} The ids that were shown before. */
  #seen = null;
  /** @type {AbortController | null} */
  #request = null;
  #order = el(
    "select",
    { "aria-label": "Order", onchange: () => this.#draw() },
    Object.entries(ORDERS).map(([value, [label]]) => el("option", { value }, label)),
  );
  #plot = el("div");
  #title = el("h2");
  #list = el("ol", { class: "hits" });
  #head = el("div", { class: "list-head" }, this.#title, this.#order);
  #results = el("section", { class: "results", "aria-label": "Traces found", "aria-busy": "true" });
  #wide = matchMedia("(min-width: 56rem)");
  #context;
  #form;
  #panel;

  /**
   * @param {HTMLElement} main
   * @param {URLSearchParams} parameters
   * @param {Context} context
   */
  constructor(main, parameters, context) {
    document.title = "Search · Traces";
    this.#context = context;
    this.#form = new SearchForm(parameters, () => this.#submit());
    this.#panel = el(
      "details",
      { class: "panel", open: this.#wide.matches },
      el("summary", {}, "Search"),
      this.#form.element,
    );
    this.#wide.addEventListener("change", this.#unfold);
    main.append(
      el("h1", { class: "hidden" }, "Search traces"),
      el("div", { class: "search" }, this.#panel, this.#results),
    );
  }

  #unfold = () => {
    this.#panel.open = this.#wide.matches;
  };

  #submit() {
    const query = this.#form.query();
    if (!query) return;
    this.#context.note(`/search?${query}`);
    this.#seen = null;
    this.run();
  }

  async run() {
    const query = this.#form.query();
    if (!query) return;
    this.#request?.abort();
    this.#request = new AbortController();
    const { signal } = this.#request;
    this.#results.setAttribute("aria-busy", "true");
    try {
      const [found] = await Promise.all([summaries(query, signal), this.#form.refresh()]);
      if (signal.aborted) return;
      this.#traces = found;
      this.#draw();
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Problem)) throw error;
      this.#results.replaceChildren(el("p", { class: "problem", role: "alert" }, error.message));
    }
    this.#results.removeAttribute("aria-busy");
  }

  #draw() {
    const results = this.#results;
    const active = document.activeElement?.closest(".hit")?.getAttribute("data-id");
    const sorted = [...this.#traces].sort(ORDERS[this.#order.value]?.[1]);
    if (!sorted.length) {
      results.replaceChildren(emptyState(this.#form.narrowed()));
      return;
    }
    const longest = Math.max(...sorted.map((trace) => trace.duration), 1);
    const failed = sorted.filter((trace) => trace.errors).length;
    const seen = this.#seen;
    // The frame stays, so that an open menu survives what comes in live.
    if (this.#head.parentElement !== results) results.replaceChildren(this.#plot, this.#head, this.#list);
    this.#plot.replaceChildren(scatter(sorted, this.#context));
    this.#title.replaceChildren(
      plural(sorted.length, "trace"),
      failed ? el("span", { class: "count-errors" }, ` · ${failed} with errors`) : "",
    );
    this.#list.replaceChildren(
      ...sorted.map((trace) => hit(trace, longest, seen !== null && !seen.has(trace.traceID))),
    );
    const held = active && results.querySelector(`.hit[data-id="${CSS.escape(active)}"]`);
    if (held instanceof HTMLElement) held.focus({ preventScroll: true });
    if (!seen) announce(`${plural(sorted.length, "trace")} found`);
    this.#seen = new Set(sorted.map((trace) => trace.traceID));
  }

  /**
   * @param {KeyboardEvent} event
   * @param {boolean} typing
   */
  key(event, typing) {
    const focused = document.activeElement;
    if (event.key === "Escape" && typing && focused instanceof HTMLElement) focused.blur();
    const hits = [...this.#results.querySelectorAll("a")].filter((link) => link.matches(".hit"));
    if (typing || !hits.length) return;
    const at = focused instanceof HTMLAnchorElement ? hits.indexOf(focused) : -1;
    const [next, before] = [at + 1, Math.max(at - 1, 0)];
    const target = new Map([
      ["ArrowDown", next],
      ["j", next],
      ["ArrowUp", before],
      ["k", before],
      ["Home", 0],
      ["End", hits.length - 1],
    ]).get(event.key);
    if (target === undefined) return;
    event.preventDefault();
    const chosen = hits[Math.min(target, hits.length - 1)];
    chosen?.focus();
    chosen?.scrollIntoView({ block: "nearest" });
  }

  leave() {
    this.#request?.abort();
    this.#wide.removeEventListener("change", this.#unfold);
  }
}
