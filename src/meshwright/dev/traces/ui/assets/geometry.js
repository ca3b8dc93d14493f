// Where a span's bar is in its lane.

/** @import { Range } from "./minimap.js" */
/** @import { Span, Tree } from "./tree.js" */

/**
 * The left edge and the width of a span's bar, as shares of the lane, and the side of it that has room for its label.
 * @param {Pick<Span, "start" | "duration">} span
 * @param {Pick<Tree, "start" | "duration">} tree
 * @param {Range} range What the lane shows.
 * @returns {{ left: number, width: number, label: "before" | "inside" | "after" }}
 */
export function bar(span, tree, [from, to]) {
  const left = ((span.start - tree.start) / tree.duration - from) / (to - from);
  const width = span.duration / tree.duration / (to - from);
  if (left + width <= 0.72) return { left, width, label: "after" };
  return { left, width, label: left > 0.28 ? "before" : "inside" };
}

/**
 * Where an event is in its span's bar, from 0 to 1: clocks may disagree.
 * @param {Pick<Span, "start" | "duration">} span
 * @param {number} timestamp
 */
export function markAt(span, timestamp) {
  return Math.min(Math.max((timestamp - span.start) / Math.max(span.duration, 1), 0), 1);
}
