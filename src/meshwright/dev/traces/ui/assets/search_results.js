// What the search has found: a picture, and a list.

import { ago, hue } from "./format.js";
import { clock, dateAndTime, duration, el, plural } from "./shared/page.js";

/** @import { Summary } from "./api.js" */
/** @import { Context } from "./app.js" */

/**
 * @param {Summary} trace
 * @param {number} longest
 * @param {boolean} fresh
 */
export function hit(trace, longest, fresh) {
  const errors = trace.errors ? el("span", { class: "badge error" }, plural(trace.errors, "error")) : null;
  const share = Math.max(trace.duration / longest, 0.002);
  return el(
    "li",
    {},
    el(
      "a",
      {
        class: `hit${fresh ? " fresh" : ""}`,
        href: `/trace/${trace.traceID}`,
        "data-id": trace.traceID,
        style: { "--hue": hue(trace.rootService), "--share": String(share) },
      },
      el(
        "span",
        { class: "hit-name" },
        el("span", { class: "service" }, trace.rootService),
        " ",
        el("span", { class: "operation" }, trace.rootOperation),
        trace.rootMissing ? el("span", { class: "badge" }, "root missing") : null,
      ),
      el("span", { class: "hit-duration" }, duration(trace.duration)),
      el("span", { class: `hit-bar${trace.errors ? " failed" : ""}`, "aria-hidden": "true" }),
      el(
        "span",
        { class: "hit-facts" },
        trace.services.map((service) =>
          el(
            "span",
            { class: "chip", style: { "--hue": hue(service.name) } },
            service.name,
            el("span", { class: "number" }, String(service.spans)),
            service.errors ? el("span", { class: "chip-error", title: plural(service.errors, "error") }, "!") : null,
          ),
        ),
      ),
      el(
        "span",
        { class: "hit-when" },
        errors,
        el("span", {}, plural(trace.spans, "span")),
        el("time", { title: dateAndTime(trace.start / 1000) }, ago(trace.start)),
      ),
    ),
  );
}

/**
 * Each trace as a dot: when it started, how long it took (as a square root), how large it is.
 * @param {Summary[]} traces
 * @param {Context} context
 */
export function scatter(traces, context) {
  const starts = traces.map((trace) => trace.start);
  const first = Math.min(...starts);
  const span = Math.max(Math.max(...starts) - first, 1);
  const longest = Math.max(...traces.map((trace) => trace.duration), 1);
  const lines = [1, 0.25].map((share) =>
    el("span", { class: "grid", style: { "--y": String(Math.sqrt(share)) } }, duration(longest * share)),
  );
  const dots = [...traces]
    .sort((a, b) => b.spans - a.spans)
    .map((trace) =>
      el("span", {
        class: trace.errors ? "dot failed" : "dot",
        title: `${trace.rootService} ${trace.rootOperation}\n${duration(trace.duration)}, ${plural(trace.spans, "span")}`,
        style: {
          "--x": String((trace.start - first) / span),
          "--y": String(Math.sqrt(trace.duration / longest)),
          "--size": `${Math.min(8 + Math.sqrt(trace.spans) * 1.6, 24)}px`,
        },
        onclick: () => context.go(`/trace/${trace.traceID}`),
      }),
    );
  return el(
    "div",
    { class: "scatter", "aria-hidden": "true" },
    el("div", { class: "plot" }, lines, dots),
    el("div", { class: "axis" }, el("span", {}, clock(first / 1000)), el("span", {}, clock((first + span) / 1000))),
  );
}

/** @param {boolean} narrowed */
export function emptyState(narrowed) {
  return el(
    "div",
    { class: "empty" },
    el("p", { class: "empty-title" }, narrowed ? "No trace matches." : "No traces yet."),
    narrowed
      ? el("p", {}, "Choose a longer time, or fewer conditions.")
      : el(
          "p",
          {},
          "Send some: point OTEL_EXPORTER_OTLP_ENDPOINT at this store (gRPC on 4317, HTTP on 4318), then call a service. Turn on Live to see them come.",
        ),
  );
}
