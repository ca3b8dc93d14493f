// Everything about one span: facts, tags, events, links, process, warnings.

import { breakable, copyButton, h } from "./dom.js";
import { duration, hue, offset, preciseClock } from "./format.js";
import { selfTime } from "./tree.js";

export function inspect(span, tree, { onClose, onSelect }) {
  const { raw } = span;
  const message = span.tags.get("otel.status_description");
  const links = raw.references.filter((ref) => !(ref.spanID === span.parentId && ref.traceID === raw.traceID));
  const facts = [
    ["Start", `${offset(span.start - tree.start)} into the trace`],
    ["At", preciseClock(span.start)],
    ["Duration", duration(span.duration)],
    span.children.length ? ["Own time", `${duration(selfTime(span))} outside its ${span.children.length === 1 ? "child" : "children"}`] : null,
    span.kind ? ["Kind", span.kind] : null,
  ].filter(Boolean);
  return h("div", { class: "inspector-body", style: { "--hue": hue(span.service) } },
    h("header", {},
      h("div", { class: "inspector-title" },
        h("p", {}, h("span", { class: "service" }, span.service),
          h("span", { class: "version" }, [span.version && ` version ${span.version}`, span.instance && ` ${span.instance}`].filter(Boolean).join(" · "))),
        h("h2", { tabindex: "-1" }, breakable(span.name))),
      h("button", { type: "button", class: "close", "aria-label": "Close details", title: "Close (Esc)", onclick: onClose }, "✕")),
    span.failed ? h("p", { class: "failure" }, h("strong", {}, "Error"), message ? ` ${message}` : "") : null,
    (raw.warnings ?? []).map((text) => h("p", { class: "warning" }, text)),
    h("dl", { class: "facts" }, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
      h("div", {}, h("dt", {}, "Span id"), h("dd", { class: "mono" }, span.id, copyButton(span.id, "the span id")))),
    span.parent ? h("p", { class: "up" }, "Called from ", spanButton(span.parent, onSelect)) : null,
    section("Tags", raw.tags.length, table(raw.tags), true),
    raw.logs.length ? section("Events", raw.logs.length, events(raw.logs, span), true) : null,
    links.length ? section("Links", links.length, h("ul", { class: "links" }, links.map((ref) => link(ref, raw, tree, onSelect))), true) : null,
    section("Process", span.process.tags.length, table(span.process.tags), false));
}

function section(title, count, content, open) {
  return h("details", { open }, h("summary", {}, title, h("span", { class: "number" }, String(count))),
    count ? content : h("p", { class: "none" }, "None."));
}

function table(tags) {
  return h("table", { class: "tags" }, h("tbody", {}, tags.map(({ key, value }) =>
    h("tr", {}, h("th", { scope: "row" }, breakable(key)), h("td", {}, valueOf(key, value))))));
}

function valueOf(key, value) {
  const text = String(value);
  if (text.includes("\n")) return h("pre", {}, text);
  const kind = typeof value === "string" ? "text" : "other";
  const failing = (key === "error" && text === "true") || (key === "otel.status_code" && text === "ERROR");
  return h("span", { class: `value ${kind}${failing ? " failing" : ""}` }, text);
}

function events(logs, span) {
  return h("ol", { class: "events" }, logs.map((log) => {
    const name = log.fields.find((item) => item.key === "event");
    const rest = log.fields.filter((item) => item !== name);
    return h("li", {},
      h("p", {}, h("span", { class: "when" }, `+${offset(log.timestamp - span.start)}`), " ",
        h("strong", {}, name ? String(name.value) : "event")),
      rest.length ? table(rest) : null);
  }));
}

function link(ref, raw, tree, onSelect) {
  const kind = ref.refType === "CHILD_OF" ? "child of" : "follows from";
  const here = ref.traceID === raw.traceID ? tree.spans.get(ref.spanID) : null;
  const target = here
    ? spanButton(here, onSelect)
    : h("a", { href: `/trace/${ref.traceID}?uiFind=${ref.spanID}`, class: "mono" }, `span ${ref.spanID} of trace ${ref.traceID.slice(0, 8)}…`);
  return h("li", {}, h("span", { class: "kind" }, kind), " ", target);
}

function spanButton(span, onSelect) {
  return h("button", { type: "button", class: "to-span", style: { "--hue": hue(span.service) }, onclick: () => onSelect(span) },
    h("span", { class: "service" }, span.service), " ", span.name);
}
