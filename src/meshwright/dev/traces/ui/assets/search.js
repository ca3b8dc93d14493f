// Search: the form, the picture of what was found, and the list.

import { live, operations, services, summaries } from "./api.js";
import { announce } from "./controls.js";
import { ago, askForErrors, asksForErrors, hue, readTags, tagsOf } from "./format.js";
import { clock, dateAndTime, duration, el, plural, Problem } from "./shared/page.js";

/** @import { Context, View } from "./app.js" */
/** @import { Summary } from "./api.js" */

const LOOKBACKS = [
  ["5m", "5 minutes"],
  ["15m", "15 minutes"],
  ["1h", "hour"],
  ["6h", "6 hours"],
  ["24h", "day"],
  ["48h", "2 days"],
];
const LIMITS = [20, 50, 100, 200, 500];
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
  #order = el("select", { "aria-label": "Order", onchange: () => this.#draw() },
    Object.entries(ORDERS).map(([value, [label]]) => el("option", { value }, label)));
  #plot = el("div");
  #title = el("h2");
  #list = el("ol", { class: "hits" });
  #head = el("div", { class: "list-head" }, this.#title, this.#order);
  #results = el("section", { class: "results", "aria-label": "Traces found", "aria-busy": "true" });
  #wide = matchMedia("(min-width: 56rem)");
  #context; #form; #panel;

  /**
   * @param {HTMLElement} main
   * @param {URLSearchParams} parameters
   * @param {Context} context
   */
  constructor(main, parameters, context) {
    document.title = "Search · Traces";
    this.#context = context;
    this.#form = new SearchForm(parameters, () => this.#submit());
    this.#panel = el("details", { class: "panel", open: this.#wide.matches }, el("summary", {}, "Search"), this.#form.element);
    this.#wide.addEventListener("change", this.#unfold);
    main.append(el("h1", { class: "hidden" }, "Search traces"), el("div", { class: "search" }, this.#panel, this.#results));
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
    const { signal } = (this.#request = new AbortController());
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
    this.#title.replaceChildren(plural(sorted.length, "trace"),
      failed ? el("span", { class: "count-errors" }, ` · ${failed} with errors`) : "");
    this.#list.replaceChildren(...sorted.map((trace) => hit(trace, longest, seen !== null && !seen.has(trace.traceID))));
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
    const at = hits.findIndex((link) => link === focused);
    const [next, before] = [at + 1, Math.max(at - 1, 0)];
    const target = new Map([["ArrowDown", next], ["j", next], ["ArrowUp", before], ["k", before], ["Home", 0], ["End", hits.length - 1]]).get(event.key);
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

/** What is searched for. */
class SearchForm {
  #service; #operation; #tags; #shortest; #longest; #lookback; #limit;
  #errorsOnly = el("input", { type: "checkbox", name: "errors" });
  #problem = el("p", { class: "field-problem", role: "alert" });

  /**
   * @param {URLSearchParams} parameters What the fields begin with.
   * @param {() => void} submit Called when something else is asked for.
   */
  constructor(parameters, submit) {
    /** @param {string} name */
    const wanted = (name) => parameters.get(name) ?? "";
    this.#service = el("select", { name: "service", "data-find": true }, el("option", { value: "" }, "Any service"));
    this.#operation = el("select", { name: "operation" }, el("option", { value: "" }, "Any operation"));
    this.#tags = el("input", { name: "tags", type: "text", spellcheck: "false", autocomplete: "off", "aria-describedby": "tags-hint",
      placeholder: "error=true rpc.method=Add", value: tagsOf(wanted("tags")) });
    this.#shortest = el("input", { name: "minDuration", type: "text", placeholder: "1.2ms", value: wanted("minDuration"), autocomplete: "off" });
    this.#longest = el("input", { name: "maxDuration", type: "text", placeholder: "1m30s", value: wanted("maxDuration"), autocomplete: "off" });
    this.#lookback = el("select", { name: "lookback" }, LOOKBACKS.map(([value, label]) =>
      el("option", { value, selected: value === (wanted("lookback") || "1h") }, `Last ${label}`)));
    this.#limit = el("select", { name: "limit" }, LIMITS.map((value) =>
      el("option", { value, selected: String(value) === (wanted("limit") || "20") }, `${value} traces`)));
    this.element = this.#layout(submit);
    ensure(this.#service, wanted("service"));
    ensure(this.#operation, wanted("operation"));
    this.#errorsOnly.checked = asksForErrors(this.#tags.value);
    this.#listen(submit);
  }

  /** @param {() => void} submit */
  #layout(submit) {
    const onsubmit = (/** @type {Event} */ event) => { event.preventDefault(); submit(); };
    return el("form", { class: "form", onsubmit },
      field("Service", this.#service), field("Operation", this.#operation),
      field("Tags", this.#tags, el("span", { class: "hint", id: "tags-hint" }, "key=value, several separated by spaces")),
      el("div", { class: "pair" }, field("At least", this.#shortest), field("At most", this.#longest)),
      el("div", { class: "pair" }, field("Started in the", this.#lookback), field("Show", this.#limit)),
      el("label", { class: "check" }, this.#errorsOnly, "Only traces with errors"),
      this.#problem,
      el("button", { class: "primary", type: "submit" }, "Find traces"));
  }

  /** @param {() => void} submit */
  #listen(submit) {
    this.#service.addEventListener("change", () => { this.#operation.value = ""; submit(); });
    for (const control of [this.#operation, this.#lookback, this.#limit]) control.addEventListener("change", submit);
    this.#errorsOnly.addEventListener("change", () => {
      this.#tags.value = askForErrors(this.#tags.value, this.#errorsOnly.checked);
      submit();
    });
    this.#tags.addEventListener("input", () => { this.#errorsOnly.checked = asksForErrors(this.#tags.value); });
  }

  narrowed() {
    return [this.#service, this.#operation, this.#tags, this.#shortest, this.#longest].some((control) => control.value);
  }

  /** Reads which services and operations there are to choose from. Rejects with a Problem. */
  async refresh() {
    options(this.#service, "Any service", await services());
    options(this.#operation, "Any operation", this.#service.value ? await operations(this.#service.value) : []);
  }

  /** The query; null, with the reason shown, where the tags are none. */
  query() {
    const read = readTags(this.#tags.value);
    this.#problem.textContent = read ? "" : "Tags are key=value; put values with spaces into double quotes.";
    this.#tags.setAttribute("aria-invalid", String(!read));
    if (!read) return null;
    const query = new URLSearchParams();
    for (const control of [this.#service, this.#operation, this.#shortest, this.#longest, this.#lookback, this.#limit]) {
      if (control.value.trim()) query.set(control.name, control.value.trim());
    }
    if (Object.keys(read).length) query.set("tags", JSON.stringify(read));
    return query;
  }
}

/**
 * @param {string} label
 * @param {HTMLInputElement | HTMLSelectElement} control
 * @param {...Node} more
 */
function field(label, control, ...more) {
  control.id = `field-${control.name}`;
  return el("div", { class: "field" }, el("label", { class: "label", for: control.id }, label), control, ...more);
}

/**
 * Fills a select without losing what is chosen in it.
 * @param {HTMLSelectElement} select
 * @param {string} any
 * @param {string[]} names
 */
function options(select, any, names) {
  const now = [...select.options].slice(1).map((option) => option.value);
  const chosen = select.value;
  const wanted = chosen && !names.includes(chosen) ? [...names, chosen] : names;
  if (now.length === wanted.length && now.every((value, index) => value === wanted[index])) return;
  select.replaceChildren(el("option", { value: "" }, any), ...wanted.map((name) => el("option", { value: name }, name)));
  select.value = chosen;
}

/**
 * @param {HTMLSelectElement} select
 * @param {string} value
 */
function ensure(select, value) {
  if (!value) return;
  select.append(el("option", { value }, value));
  select.value = value;
}

/**
 * @param {Summary} trace
 * @param {number} longest
 * @param {boolean} fresh
 */
function hit(trace, longest, fresh) {
  const errors = trace.errors ? el("span", { class: "badge error" }, plural(trace.errors, "error")) : null;
  const share = Math.max(trace.duration / longest, 0.002);
  return el("li", {},
    el("a", { class: `hit${fresh ? " fresh" : ""}`, href: `/trace/${trace.traceID}`, "data-id": trace.traceID,
      style: { "--hue": hue(trace.rootService), "--share": String(share) } },
      el("span", { class: "hit-name" },
        el("span", { class: "service" }, trace.rootService), " ",
        el("span", { class: "operation" }, trace.rootOperation),
        trace.rootMissing ? el("span", { class: "badge" }, "root missing") : null),
      el("span", { class: "hit-duration" }, duration(trace.duration)),
      el("span", { class: `hit-bar${trace.errors ? " failed" : ""}`, "aria-hidden": "true" }),
      el("span", { class: "hit-facts" },
        trace.services.map((service) =>
          el("span", { class: "chip", style: { "--hue": hue(service.name) } }, service.name,
            el("span", { class: "number" }, String(service.spans)),
            service.errors ? el("span", { class: "chip-error", title: plural(service.errors, "error") }, "!") : null))),
      el("span", { class: "hit-when" }, errors, el("span", {}, plural(trace.spans, "span")),
        el("time", { title: dateAndTime(trace.start / 1000) }, ago(trace.start)))));
}

/**
 * Each trace as a dot: when it started, how long it took (as a square root), how large it is.
 * @param {Summary[]} traces
 * @param {Context} context
 */
function scatter(traces, context) {
  const starts = traces.map((trace) => trace.start);
  const first = Math.min(...starts);
  const span = Math.max(Math.max(...starts) - first, 1);
  const longest = Math.max(...traces.map((trace) => trace.duration), 1);
  const lines = [1, 0.25].map((share) =>
    el("span", { class: "grid", style: { "--y": String(Math.sqrt(share)) } }, duration(longest * share)));
  const dots = [...traces].sort((a, b) => b.spans - a.spans).map((trace) =>
    el("span", {
      class: trace.errors ? "dot failed" : "dot",
      title: `${trace.rootService} ${trace.rootOperation}\n${duration(trace.duration)}, ${plural(trace.spans, "span")}`,
      style: {
        "--x": String((trace.start - first) / span),
        "--y": String(Math.sqrt(trace.duration / longest)),
        "--size": `${Math.min(8 + Math.sqrt(trace.spans) * 1.6, 24)}px`,
      },
      onclick: () => context.go(`/trace/${trace.traceID}`),
    }));
  return el("div", { class: "scatter", "aria-hidden": "true" },
    el("div", { class: "plot" }, lines, dots),
    el("div", { class: "axis" }, el("span", {}, clock(first / 1000)), el("span", {}, clock((first + span) / 1000))));
}

/** @param {boolean} narrowed */
function emptyState(narrowed) {
  return el("div", { class: "empty" },
    el("p", { class: "empty-title" }, narrowed ? "No trace matches." : "No traces yet."),
    narrowed
      ? el("p", {}, "Choose a longer time, or fewer conditions.")
      : el("p", {}, "Send some: point OTEL_EXPORTER_OTLP_ENDPOINT at this store (gRPC on 4317, HTTP on 4318), then call a service. Turn on Live to see them come."));
}
