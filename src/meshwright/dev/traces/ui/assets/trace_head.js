// The head of a trace: what it is, and its figures.

import { copyButton } from "./controls.js";
import { ago, hue } from "./format.js";
import { dateAndTime, duration, el, plural } from "./shared/page.js";

/** @import { Span, Tree } from "./tree.js" */

/**
 * @param {Span} root
 * @param {Tree} tree
 * @param {string} lastSearch The address of the search to go back to.
 */
export function traceHead(root, tree, lastSearch) {
  const lost = tree.roots.filter((span) => span.parentId).length;
  const facts = [
    { name: "Started", value: dateAndTime(tree.start / 1000), more: ago(tree.start) },
    { name: "Duration", value: duration(tree.duration) },
    { name: "Spans", value: tree.ordered.length.toLocaleString("en") },
    { name: "Depth", value: String(tree.depth) },
    { name: "Errors", value: tree.errors.toLocaleString("en"), mood: tree.errors ? "bad" : "" },
  ];
  return el(
    "div",
    { class: "trace-head" },
    el(
      "p",
      { class: "crumb" },
      el("a", { href: lastSearch }, "‹ Search"),
      el("span", { class: "mono" }, tree.id, copyButton(tree.id, "the trace id")),
    ),
    el("h1", {}, el("span", { class: "service", style: { "--hue": hue(root.service) } }, root.service), " ", root.name),
    lost
      ? el(
          "p",
          { class: "warning" },
          `The trace is incomplete: the parents of ${plural(lost, "span")} are not in the store.`,
        )
      : null,
    el(
      "dl",
      { class: "trace-facts" },
      facts.map(({ name, value, more, mood }) =>
        el(
          "div",
          { class: mood },
          el("dt", {}, name),
          el("dd", {}, value, more ? el("span", { class: "more" }, ` ${more}`) : null),
        ),
      ),
    ),
    el(
      "ul",
      { class: "legend", "aria-label": "Services" },
      [...tree.services]
        .sort()
        .map(([name, count]) =>
          el("li", { class: "chip", style: { "--hue": hue(name) } }, name, el("span", { class: "number" }, count)),
        ),
    ),
  );
}
