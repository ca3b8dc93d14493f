// A trace as Jaeger's API says it, made into a tree: parents, depths, errors, time.

/** Builds the tree; spans whose parent is missing, or that form a circle, become roots. */
export function makeTree(trace) {
  const spans = new Map();
  for (const raw of trace.spans) {
    const tags = new Map(raw.tags.map((tag) => [tag.key, tag.value]));
    const process = trace.processes[raw.processID];
    const about = new Map(process.tags.map((tag) => [tag.key, String(tag.value)]));
    const parent = raw.references.find((ref) => ref.refType === "CHILD_OF" && ref.traceID === raw.traceID)
      ?? raw.references.find((ref) => ref.traceID === raw.traceID);
    spans.set(raw.spanID, {
      raw, process, id: raw.spanID, name: raw.operationName, service: process.serviceName,
      version: about.get("service.version") ?? "", instance: about.get("service.instance.id") ?? "",
      start: raw.startTime, duration: raw.duration, end: raw.startTime + raw.duration,
      kind: tags.get("span.kind") ?? "", failed: isTrue(tags.get("error")), tags,
      parentId: parent?.spanID ?? "", parent: null, children: [], depth: 0, below: 0, failedBelow: 0,
    });
  }
  const roots = [];
  for (const span of spans.values()) {
    span.parent = spans.get(span.parentId) ?? null;
    (span.parent?.children ?? roots).push(span);
  }
  const ordered = walk(roots.sort(byStart));
  if (ordered.length < spans.size) {
    // What no root leads to hangs on a circle: cut each at its earliest span.
    const reached = new Set(ordered);
    for (const span of [...spans.values()].sort(byStart)) {
      if (reached.has(span)) continue;
      span.parent.children = span.parent.children.filter((child) => child !== span);
      span.parent = null;
      roots.push(span);
      for (const found of walk([span])) {
        reached.add(found);
        ordered.push(found);
      }
    }
  }
  for (let i = ordered.length - 1; i >= 0; i--) {
    const { parent, below, failed, failedBelow } = ordered[i];
    if (!parent) continue;
    parent.below += below + 1;
    parent.failedBelow += failedBelow + (failed ? 1 : 0);
  }
  let start = Infinity;
  let end = -Infinity;
  for (const span of ordered) {
    start = Math.min(start, span.start);
    end = Math.max(end, span.end);
  }
  const services = new Map();
  for (const span of ordered) services.set(span.service, (services.get(span.service) ?? 0) + 1);
  return {
    id: trace.traceID, roots, ordered, spans, start, duration: Math.max(end - start, 1), services,
    errors: ordered.filter((span) => span.failed).length,
    depth: ordered.reduce((most, span) => Math.max(most, span.depth + 1), 0),
  };
}

const byStart = (a, b) => a.start - b.start || b.duration - a.duration;
const isTrue = (value) => value === true || value === "true";

/** The spans below these, parents first, children by time; sets their depths. */
function walk(roots) {
  const ordered = [];
  const waiting = [...roots].reverse();
  while (waiting.length) {
    const span = waiting.pop();
    ordered.push(span);
    span.depth = span.parent ? span.parent.depth + 1 : 0;
    span.children.sort(byStart);
    for (let i = span.children.length - 1; i >= 0; i--) waiting.push(span.children[i]);
  }
  return ordered;
}

/** The spans to show, in order, with the descendants of folded ones left out. */
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

/** The spans in which each word of `text` occurs: in names, ids, tags, process tags or events. */
export function findSpans(tree, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return [];
  return tree.ordered.filter((span) => {
    span.text ??= searchable(span);
    return words.every((word) => span.text.includes(word));
  });
}

function searchable(span) {
  const tag = ({ key, value }) => `${key}=${value}`;
  return [
    span.service, span.name, span.id, span.kind, ...span.raw.tags.map(tag), ...span.process.tags.map(tag),
    ...span.raw.logs.flatMap((log) => log.fields.map(tag)), ...(span.raw.warnings ?? []),
  ].join("\n").toLowerCase();
}

/** Microseconds of the span in which none of its children ran. */
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
