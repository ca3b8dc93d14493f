// Search: the form, the picture of what was found, and the list.

import { get, live } from "./api.js";
import { announce, h } from "./dom.js";
import { ago, clock, duration, hue, moment, plural, readTags, writeTags } from "./format.js";

const LOOKBACKS = [
  ["5m", "5 minutes"],
  ["15m", "15 minutes"],
  ["1h", "hour"],
  ["6h", "6 hours"],
  ["24h", "day"],
  ["48h", "2 days"],
];
const LIMITS = [20, 50, 100, 200, 500];
const ORDERS = {
  newest: ["Newest first", (a, b) => b.start - a.start],
  longest: ["Longest first", (a, b) => b.duration - a.duration],
  shortest: ["Shortest first", (a, b) => a.duration - b.duration],
  spans: ["Most spans first", (a, b) => b.spans - a.spans],
  errors: ["Errors first", (a, b) => b.errors - a.errors || b.start - a.start],
};

export function searchView(main, parameters, context) {
  document.title = "Search · Traces";
  let traces = [];
  let seen = null;
  let request = null;
  let order = "newest";

  const frame = { plot: h("div"), title: h("h2"), list: h("ol", { class: "hits" }) };
  const select = h("select", { "aria-label": "Order", onchange: (event) => { order = event.target.value; draw(); } },
    Object.entries(ORDERS).map(([value, [label]]) => h("option", { value }, label)));
  frame.head = h("div", { class: "list-head" }, frame.title, select);
  const results = h("section", { class: "results", "aria-label": "Traces found", "aria-busy": "true" });
  const form = makeForm(parameters, submit);
  const wide = matchMedia("(min-width: 56rem)");
  const panel = h("details", { class: "panel", open: wide.matches }, h("summary", {}, "Search"), form.element);
  const unfold = () => (panel.open = wide.matches);
  wide.addEventListener("change", unfold);
  main.append(h("h1", { class: "hidden" }, "Search traces"), h("div", { class: "search" }, panel, results));
  run();
  live.listen(run);

  function submit() {
    const query = form.query();
    if (!query) return;
    context.note(`/search?${query}`);
    seen = null;
    run();
  }

  async function run() {
    const query = form.query();
    if (!query) return;
    request?.abort();
    request = new AbortController();
    results.setAttribute("aria-busy", "true");
    try {
      form.refresh();
      traces = await get("/ui/summaries", query, request.signal);
      draw();
    } catch (error) {
      if (error.name === "AbortError") return;
      results.replaceChildren(h("p", { class: "problem", role: "alert" }, error.message));
    }
    results.removeAttribute("aria-busy");
  }

  function draw() {
    const active = document.activeElement?.closest?.(".hit")?.dataset.id;
    const sorted = [...traces].sort(ORDERS[order][1]);
    if (!sorted.length) {
      results.replaceChildren(emptyState(form.narrowed()));
      return;
    }
    const longest = Math.max(...sorted.map((trace) => trace.duration), 1);
    const failed = sorted.filter((trace) => trace.errors).length;
    // The frame stays, so that an open menu survives what comes in live.
    if (frame.head.parentElement !== results) results.replaceChildren(frame.plot, frame.head, frame.list);
    frame.plot.replaceChildren(scatter(sorted, context));
    frame.title.replaceChildren(plural(sorted.length, "trace"),
      failed ? h("span", { class: "count-errors" }, ` · ${failed} with errors`) : "");
    frame.list.replaceChildren(...sorted.map((trace) => hit(trace, longest, seen && !seen.has(trace.traceID))));
    if (active) results.querySelector(`.hit[data-id="${CSS.escape(active)}"]`)?.focus({ preventScroll: true });
    if (!seen) announce(`${plural(sorted.length, "trace")} found`);
    seen = new Set(sorted.map((trace) => trace.traceID));
  }

  function key(event, typing) {
    const hits = [...results.querySelectorAll(".hit")];
    const at = hits.indexOf(document.activeElement);
    if (event.key === "Escape" && typing) return document.activeElement.blur();
    if (typing || !hits.length) return undefined;
    const target = { ArrowDown: at + 1, ArrowUp: Math.max(at - 1, 0), j: at + 1, k: Math.max(at - 1, 0), Home: 0, End: hits.length - 1 }[event.key];
    if (target === undefined) return undefined;
    event.preventDefault();
    const next = hits[Math.min(target, hits.length - 1)];
    next.focus();
    return next.scrollIntoView({ block: "nearest" });
  }

  function leave() {
    request?.abort();
    wide.removeEventListener("change", unfold);
  }

  return { key, leave };
}

function makeForm(parameters, submit) {
  const wanted = (name) => parameters.get(name) ?? "";
  const service = h("select", { name: "service", "data-find": true }, h("option", { value: "" }, "Any service"));
  const operation = h("select", { name: "operation" }, h("option", { value: "" }, "Any operation"));
  const tags = h("input", { name: "tags", type: "text", spellcheck: "false", autocomplete: "off", "aria-describedby": "tags-hint",
    placeholder: 'error=true rpc.method=Add', value: tagsOf(wanted("tags")) });
  const shortest = h("input", { name: "minDuration", type: "text", placeholder: "1.2ms", value: wanted("minDuration"), autocomplete: "off" });
  const longest = h("input", { name: "maxDuration", type: "text", placeholder: "1m30s", value: wanted("maxDuration"), autocomplete: "off" });
  const lookback = h("select", { name: "lookback" }, LOOKBACKS.map(([value, label]) =>
    h("option", { value, selected: value === (wanted("lookback") || "1h") }, `Last ${label}`)));
  const limit = h("select", { name: "limit" }, LIMITS.map((value) =>
    h("option", { value: String(value), selected: String(value) === (wanted("limit") || "20") }, `${value} traces`)));
  const errorsOnly = h("input", { type: "checkbox", name: "errors" });
  const problem = h("p", { class: "field-problem", role: "alert" });
  const element = h("form", { class: "form", onsubmit: (event) => { event.preventDefault(); submit(); } },
    field("Service", service), field("Operation", operation),
    field("Tags", tags, h("span", { class: "hint", id: "tags-hint" }, "key=value, several with spaces between")),
    h("div", { class: "pair" }, field("At least", shortest), field("At most", longest)),
    h("div", { class: "pair" }, field("Started in the", lookback), field("Show", limit)),
    h("label", { class: "check" }, errorsOnly, "Only traces with errors"),
    problem,
    h("button", { class: "primary", type: "submit" }, "Find traces"));

  ensure(service, wanted("service"));
  ensure(operation, wanted("operation"));
  errorsOnly.checked = /(^|\s)error=true(\s|$)/.test(tags.value);
  service.addEventListener("change", async () => { operation.value = ""; await operations(); submit(); });
  for (const control of [operation, lookback, limit]) control.addEventListener("change", submit);
  errorsOnly.addEventListener("change", () => {
    const others = tags.value.replace(/(^|\s)error=\S+/g, "").trim();
    tags.value = errorsOnly.checked ? `${others} error=true`.trim() : others;
    submit();
  });
  tags.addEventListener("input", () => (errorsOnly.checked = /(^|\s)error=true(\s|$)/.test(tags.value)));

  async function operations() {
    if (!service.value) return options(operation, "Any operation", []);
    const names = await get(`/api/services/${encodeURIComponent(service.value)}/operations`);
    return options(operation, "Any operation", names);
  }

  return {
    element,
    narrowed: () => Boolean(service.value || operation.value || tags.value || shortest.value || longest.value),
    async refresh() {
      options(service, "Any service", await get("/api/services"));
      await operations();
    },
    query() {
      const read = readTags(tags.value);
      problem.textContent = read ? "" : "Tags are key=value, with double quotes around values that hold spaces.";
      tags.setAttribute("aria-invalid", String(!read));
      if (!read) return null;
      const values = { service: service.value, operation: operation.value, minDuration: shortest.value.trim(),
        maxDuration: longest.value.trim(), lookback: lookback.value, limit: limit.value };
      if (Object.keys(read).length) values.tags = JSON.stringify(read);
      return new URLSearchParams(Object.entries(values).filter(([, value]) => value));
    },
  };
}

function field(label, control, ...more) {
  control.id = `field-${control.name}`;
  return h("div", { class: "field" }, h("label", { class: "label", for: control.id }, label), control, ...more);
}

function tagsOf(text) {
  if (!text) return "";
  try {
    return writeTags(JSON.parse(text));
  } catch {
    return text;
  }
}

/** Fills a select without losing what is chosen in it. */
function options(select, any, names) {
  const now = [...select.options].slice(1).map((option) => option.value);
  const chosen = select.value;
  const wanted = chosen && !names.includes(chosen) ? [...names, chosen] : names;
  if (now.length === wanted.length && now.every((value, index) => value === wanted[index])) return;
  select.replaceChildren(h("option", { value: "" }, any), ...wanted.map((name) => h("option", { value: name }, name)));
  select.value = chosen;
}

function ensure(select, value) {
  if (!value) return;
  select.append(h("option", { value }, value));
  select.value = value;
}

function hit(trace, longest, fresh) {
  const errors = trace.errors ? h("span", { class: "badge error" }, plural(trace.errors, "error")) : null;
  const share = Math.max(trace.duration / longest, 0.002);
  return h("li", {},
    h("a", { class: `hit${fresh ? " fresh" : ""}`, href: `/trace/${trace.traceID}`, "data-id": trace.traceID,
      style: { "--hue": hue(trace.rootService), "--share": String(share) } },
      h("span", { class: "hit-name" },
        h("span", { class: "service" }, trace.rootService), " ",
        h("span", { class: "operation" }, trace.rootOperation),
        trace.rootMissing ? h("span", { class: "badge" }, "root missing") : null),
      h("span", { class: "hit-duration" }, duration(trace.duration)),
      h("span", { class: `hit-bar${trace.errors ? " failed" : ""}`, "aria-hidden": "true" }),
      h("span", { class: "hit-facts" },
        trace.services.map((service) =>
          h("span", { class: "chip", style: { "--hue": hue(service.name) } }, service.name,
            h("span", { class: "number" }, String(service.spans)),
            service.errors ? h("span", { class: "chip-error", title: plural(service.errors, "error") }, "!") : null))),
      h("span", { class: "hit-when" }, errors, h("span", {}, plural(trace.spans, "span")),
        h("time", { title: moment(trace.start) }, ago(trace.start)))));
}

/** Each trace as a dot: when it started, how long it took (as a square root), how large it is. */
function scatter(traces, context) {
  const starts = traces.map((trace) => trace.start);
  const first = Math.min(...starts);
  const span = Math.max(Math.max(...starts) - first, 1);
  const longest = Math.max(...traces.map((trace) => trace.duration), 1);
  const lines = [1, 0.25].map((share) =>
    h("span", { class: "grid", style: { "--y": String(Math.sqrt(share)) } }, duration(longest * share)));
  const dots = [...traces].sort((a, b) => b.spans - a.spans).map((trace) =>
    h("span", {
      class: trace.errors ? "dot failed" : "dot",
      title: `${trace.rootService} ${trace.rootOperation}\n${duration(trace.duration)}, ${plural(trace.spans, "span")}`,
      style: {
        "--x": String((trace.start - first) / span),
        "--y": String(Math.sqrt(trace.duration / longest)),
        "--size": `${Math.min(8 + Math.sqrt(trace.spans) * 1.6, 24)}px`,
      },
      onclick: () => context.go(`/trace/${trace.traceID}`),
    }));
  return h("div", { class: "scatter", "aria-hidden": "true" },
    h("div", { class: "plot" }, lines, dots),
    h("div", { class: "axis" }, h("span", {}, clock(first)), h("span", {}, clock(first + span))));
}

function emptyState(narrowed) {
  return h("div", { class: "empty" },
    h("p", { class: "empty-title" }, narrowed ? "No trace matches." : "No traces yet."),
    narrowed
      ? h("p", {}, "Look further back, or ask for less.")
      : h("p", {}, "Send some: point OTEL_EXPORTER_OTLP_ENDPOINT at this store (gRPC on 4317, HTTP on 4318), then call a service. Turn on Live to see them come."));
}
