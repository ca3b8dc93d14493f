// A trace as Jaeger's API says it, made into a tree: parents, depths, errors, time.

import { words } from "./shared/page.js";

/** @import { Process, RawSpan, Tag, Trace } from "./api.js" */
/**
 * @typedef {object} Span
 * @property {RawSpan} raw
 * @property {Process} process
 * @property {string} id
 * @property {string} name
 * @property {string} service
 * @property {string} version
 * @property {string} instance
 * @property {number} start Microseconds since 1970.
 * @property {number} duration Microseconds.
 * @property {number} end Microseconds since 1970.
 * @property {string} kind
 * @property {boolean} failed
 * @property {Map<string, Tag["value"]>} tags
 * @property {string} parentId
 * @property {Span | null} parent Null where it is not in the trace.
 * @property {Span[]} children
 * @property {number} depth
 * @property {number} below How many spans are below it.
 * @property {number} failedBelow How many of these have failed.
 * @property {string} [text] What is searched, in lower case.
 */
/**
 * @typedef {object} Tree
 * @property {string} id
 * @property {Span[]} roots
 * @property {Span[]} ordered All spans, parents first, children by time.
 * @property {Map<string, Span>} spans
 * @property {number} start Microseconds since 1970.
 * @property {number} duration Microseconds, at least 1.
 * @property {Map<string, number>} services How many spans each has.
 * @property {number} errors
 * @property {number} depth
 */

/**
 * Builds the tree; spans whose parent is missing, or that form a cycle, become roots.
 * @param {Trace} trace
 * @returns {Tree}
 */
export function makeTree(trace) {
  const spans = new Map(trace.spans.map((raw) => [raw.spanID, makeSpan(raw, trace.processes)]));
  /** @type {Span[]} */
  const roots = [];
  for (const span of spans.values()) {
    span.parent = spans.get(span.parentId) ?? null;
    (span.parent?.children ?? roots).push(span);
  }
  const ordered = walk(roots.sort(byStart));
  if (ordered.length < spans.size) cutCycles(spans, roots, ordered);
  countBelow(ordered);
  let start = Infinity;
  let end = -Infinity;
  /** @type {Map<string, number>} */
  const services = new Map();
  for (const span of ordered) {
    start = Math.min(start, span.start);
    end = Math.max(end, span.end);
    services.set(span.service, (services.get(span.service) ?? 0) + 1);
  }
  return {
    id: trace.traceID,
    roots,
    ordered,
    spans,
    start,
    duration: Math.max(end - start, 1),
    services,
    errors: ordered.filter((span) => span.failed).length,
    depth: ordered.reduce((most, span) => Math.max(most, span.depth + 1), 0),
  };
}

/**
 * @param {RawSpan} raw
 * @param {Record<string, Process>} processes
 * @returns {Span}
 */
function makeSpan(raw, processes) {
  const tags = new Map(raw.tags.map((tag) => [tag.key, tag.value]));
  const process = processes[raw.processID] ?? { serviceName: "", tags: [] };
  const about = new Map(process.tags.map((tag) => [tag.key, String(tag.value)]));
  const own = raw.references.filter((ref) => ref.traceID === raw.traceID);
  const parent = own.find((ref) => ref.refType === "CHILD_OF") ?? own[0];
  return {
    raw,
    process,
    id: raw.spanID,
    name: raw.operationName,
    service: process.serviceName,
    version: about.get("service.version") ?? "",
    instance: about.get("service.instance.id") ?? "",
    start: raw.startTime,
    duration: raw.duration,
    end: raw.startTime + raw.duration,
    kind: String(tags.get("span.kind") ?? ""),
    failed: String(tags.get("error")) === "true",
    tags,
    parentId: parent?.spanID ?? "",
    parent: null,
    children: [],
    depth: 0,
    below: 0,
    failedBelow: 0,
  };
}

/**
 * What no root leads to is on a cycle: cuts each at its earliest span.
 * @param {Map<string, Span>} spans
 * @param {Span[]} roots
 * @param {Span[]} ordered
 */
function cutCycles(spans, roots, ordered) {
  const reached = new Set(ordered);
  for (const span of [...spans.values()].sort(byStart)) {
    if (reached.has(span)) continue;
    if (span.parent) span.parent.children = span.parent.children.filter((child) => child !== span);
    span.parent = null;
    roots.push(span);
    for (const found of walk([span])) {
      reached.add(found);
      ordered.push(found);
    }
  }
}

/** @param {Span[]} ordered */
function countBelow(ordered) {
  for (const { parent, below, failed, failedBelow } of [...ordered].reverse()) {
    if (!parent) continue;
    parent.below += below + 1;
    parent.failedBelow += failedBelow + (failed ? 1 : 0);
  }
}
/**
 * @param {Span} a
 * @param {Span} b
 */
const byStart = (a, b) => a.start - b.start || b.duration - a.duration;

/**
 * The spans below these, parents first, children by time; sets their depths.
 * @param {Span[]} roots
 */
function walk(roots) {
  /** @type {Span[]} */
  const ordered = [];
  const waiting = [...roots].reverse();
  for (let span = waiting.pop(); span; span = waiting.pop()) {
    ordered.push(span);
    span.depth = span.parent ? span.parent.depth + 1 : 0;
    span.children.sort(byStart);
    for (const child of [...span.children].reverse()) waiting.push(child);
  }
  return ordered;
}

/**
 * The spans to show, in order, with the descendants of folded ones left out.
 * @param {Tree} tree
 * @param {Set<string>} folded Ids.
 */
export function visibleSpans(tree, folded) {
  if (!folded.size) return tree.ordered;
  const shown = [];
  let skip = -1;
  for (const span of tree.ordered) {
    if (skip >= 0 && span.depth > skip) continue;
    skip = folded.has(span.id) ? span.depth : -1;
    shown.push(span);
  }
  return shown;
}

/**
 * The spans in which each word of `text` occurs: in names, ids, tags, process tags or events.
 * @param {Tree} tree
 * @param {string} text
 */
export function findSpans(tree, text) {
  const wanted = words(text);
  if (!wanted.length) return [];
  return tree.ordered.filter((span) => {
    const text = span.text ?? searchable(span);
    span.text = text;
    return wanted.every((word) => text.includes(word));
  });
}

/** @param {Span} span */
function searchable(span) {
  /** @param {Tag} tag */
  const tag = ({ key, value }) => `${key}=${value}`;
  return [
    span.service,
    span.name,
    span.id,
    span.kind,
    ...span.raw.tags.map(tag),
    ...span.process.tags.map(tag),
    ...span.raw.logs.flatMap((log) => log.fields.map(tag)),
    ...(span.raw.warnings ?? []),
  ]
    .join("\n")
    .toLowerCase();
}

/**
 * Microseconds of the span in which none of its children ran.
 * @param {Span} span
 */
export function selfTime(span) {
  let covered = 0;
  let reached = span.start;
  for (const child of span.children) {
    const from = Math.max(child.start, reached);
    const to = Math.min(child.end, span.end);
    if (to > from) {
      covered += to - from;
      reached = to;
    }
  }
  return span.duration - covered;
}

/**
 * Which of `spans` comes next after `current` in the order of the tree, beginning anew at the end; -1 for none.
 * @param {Span[]} spans In the order of the tree.
 * @param {1 | -1} by The direction.
 * @param {Span | null} current
 * @param {Tree} tree
 */
export function nextOf(spans, by, current, tree) {
  const now = current ? tree.ordered.indexOf(current) : -1;
  const places = spans.map((span) => tree.ordered.indexOf(span));
  const at = by > 0 ? places.findIndex((place) => place > now) : places.findLastIndex((place) => place < now);
  if (at >= 0) return at;
  return by > 0 && spans.length ? 0 : spans.length - 1;
}
