// Everything about one span: facts, tags, events, links, process, warnings.

import { breakable, copyButton } from "./controls.js";
import { hue, offset, preciseClock } from "./format.js";
import { duration, el } from "./shared/page.js";
import { selfTime } from "./tree.js";

/** @import { Log, RawSpan, Reference, Tag } from "./api.js" */
/** @import { Content } from "./shared/page.js" */
/** @import { Span, Tree } from "./tree.js" */
/** @typedef {(span: Span) => void} Select */

/**
 * @param {Span} span
 * @param {Tree} tree
 * @param {{ onClose: () => void, onSelect: Select }} listeners
 */
export function inspect(span, tree, { onClose, onSelect }) {
  const { raw } = span;
  const message = span.tags.get("otel.status_description");
  const links = raw.references.filter((ref) => !(ref.spanID === span.parentId && ref.traceID === raw.traceID));
  const items = links.map((ref) => link(ref, raw, tree, onSelect));
  return el("div", { class: "inspector-body", style: { "--hue": hue(span.service) } }, [
    header(span, onClose),
    span.failed ? el("p", { class: "failure" }, el("strong", {}, "Error"), message ? ` ${message}` : "") : null,
    (raw.warnings ?? []).map((text) => el("p", { class: "warning" }, text)),
    facts(span, tree),
    span.parent ? el("p", { class: "up" }, "Called from ", spanButton(span.parent, onSelect)) : null,
    section("Tags", raw.tags.length, table(raw.tags), true),
    raw.logs.length ? section("Events", raw.logs.length, events(raw.logs, span), true) : null,
    items.length ? section("Links", items.length, el("ul", { class: "links" }, items), true) : null,
    section("Process", span.process.tags.length, table(span.process.tags), false),
  ]);
}

/**
 * @param {Span} span
 * @param {() => void} onClose
 */
function header(span, onClose) {
  const about = [span.version && ` version ${span.version}`, span.instance && ` ${span.instance}`].filter(Boolean);
  const origin = [el("span", { class: "service" }, span.service), el("span", { class: "version" }, about.join(" · "))];
  const attributes = { type: "button", class: "close", "aria-label": "Close details", title: "Close (Esc)" };
  return el("header", {}, [
    el("div", { class: "inspector-title" }, el("p", {}, origin), el("h2", { tabindex: "-1" }, breakable(span.name))),
    el("button", { ...attributes, onclick: onClose }, "✕"),
  ]);
}

/**
 * @param {Span} span
 * @param {Tree} tree
 */
function facts(span, tree) {
  const own = `${duration(selfTime(span))} outside its ${span.children.length === 1 ? "child" : "children"}`;
  /** @type {[name: string, value: Content][]} */
  const found = [
    ["Start", `${offset(span.start - tree.start)} into the trace`],
    ["At", preciseClock(span.start)],
    ["Duration", duration(span.duration)],
    ["Own time", span.children.length > 0 && own],
    ["Kind", span.kind],
  ];
  const rows = found
    .filter(([, value]) => value)
    .map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)));
  const id = el("dd", { class: "mono" }, span.id, copyButton(span.id, "the span id"));
  return el("dl", { class: "facts" }, rows, el("div", {}, el("dt", {}, "Span id"), id));
}

/**
 * @param {string} title
 * @param {number} count
 * @param {Content} content
 * @param {boolean} open
 */
function section(title, count, content, open) {
  return el(
    "details",
    { open },
    el("summary", {}, title, el("span", { class: "number" }, String(count))),
    count ? content : el("p", { class: "none" }, "None."),
  );
}

/** @param {Tag[]} tags */
function table(tags) {
  return el(
    "table",
    { class: "tags" },
    el(
      "tbody",
      {},
      tags.map(({ key, value }) =>
        el("tr", {}, el("th", { scope: "row" }, breakable(key)), el("td", {}, valueView(key, value))),
      ),
    ),
  );
}

/**
 * @param {string} key
 * @param {Tag["value"]} value
 */
function valueView(key, value) {
  const text = String(value);
  if (text.includes("\n")) return el("pre", {}, text);
  const kind = typeof value === "string" ? "text" : "other";
  const failing = (key === "error" && text === "true") || (key === "otel.status_code" && text === "ERROR");
  return el("span", { class: `value ${kind}${failing ? " failing" : ""}` }, text);
}

/**
 * @param {Log[]} logs
 * @param {Span} span
 */
function events(logs, span) {
  return el(
    "ol",
    { class: "events" },
    logs.map((log) => {
      const name = log.fields.find((item) => item.key === "event");
      const rest = log.fields.filter((item) => item !== name);
      return el(
        "li",
        {},
        el(
          "p",
          {},
          el("span", { class: "when" }, `+${offset(log.timestamp - span.start)}`),
          " ",
          el("strong", {}, name ? String(name.value) : "event"),
        ),
        rest.length ? table(rest) : null,
      );
    }),
  );
}

/**
 * @param {Reference} ref
 * @param {RawSpan} raw
 * @param {Tree} tree
 * @param {Select} onSelect
 */
function link(ref, raw, tree, onSelect) {
  const kind = ref.refType === "CHILD_OF" ? "child of" : "follows from";
  const here = ref.traceID === raw.traceID ? tree.spans.get(ref.spanID) : null;
  const target = here
    ? spanButton(here, onSelect)
    : el(
        "a",
        { href: `/trace/${ref.traceID}?uiFind=${ref.spanID}`, class: "mono" },
        `span ${ref.spanID} of trace ${ref.traceID.slice(0, 8)}…`,
      );
  return el("li", {}, el("span", { class: "kind" }, kind), " ", target);
}

/**
 * @param {Span} span
 * @param {Select} onSelect
 */
function spanButton(span, onSelect) {
  return el(
    "button",
    { type: "button", class: "to-span", style: { "--hue": hue(span.service) }, onclick: () => onSelect(span) },
    el("span", { class: "service" }, span.service),
    " ",
    span.name,
  );
}
