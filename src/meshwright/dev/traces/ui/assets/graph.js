// Where services go in the picture of who calls whom.

/** @import { Link } from "./api.js" */

/**
 * A column for each service: one further right than the furthest of its callers, cycles cut where they close.
 * @param {Link[]} links
 */
export function layers(links) {
  const names = [...new Set(links.flatMap((link) => [link.parent, link.child]))].sort();
  /** @param {string} name */
  const calleesOf = (name) =>
    links.filter((link) => link.parent === name && link.child !== name).map((link) => link.child);
  const callees = new Map(names.map((name) => [name, calleesOf(name)]));
  const called = new Set(links.filter((link) => link.parent !== link.child).map((link) => link.child));
  /** @type {Map<string, number>} */
  const depth = new Map();
  /**
   * @param {string} name
   * @param {number} at
   * @param {Set<string>} path
   */
  const visit = (name, at, path) => {
    if (path.has(name) || at <= (depth.get(name) ?? -1)) return;
    depth.set(name, at);
    path.add(name);
    for (const next of callees.get(name) ?? []) visit(next, at + 1, path);
    path.delete(name);
  };
  for (const name of names) if (!called.has(name)) visit(name, 0, new Set());
  for (const name of names) if (!depth.has(name)) visit(name, 0, new Set());
  /** @type {string[][]} */
  const columns = [];
  for (const name of names) {
    const column = depth.get(name) ?? 0;
    columns[column] = [...(columns[column] ?? []), name];
  }
  return columns.filter(Boolean);
}

/** Pixels: a node, and the room between nodes. */
export const NODE = { width: 150, height: 40, across: 110, down: 26 };

/** @typedef {{ x: number, y: number }} Place The upper left corner of a node. */
/** @typedef {{ width: number, height: number, places: Map<string, Place> }} Layout */
/** @typedef {{ d: string, x: number, y: number }} Edge The path of an edge, and where its number goes. */

/**
 * The places of the services, and how large the picture is.
 * @param {Link[]} links
 * @returns {Layout}
 */
export function layout(links) {
  const columns = layers(links);
  const rows = Math.max(...columns.map((names) => names.length));
  const width = columns.length * (NODE.width + NODE.across) - NODE.across + 40;
  /** @param {string} name */
  const column = (name) => columns.findIndex((names) => names.includes(name));
  const curved = links.some((link) => column(link.child) - column(link.parent) !== 1);
  const height = rows * (NODE.height + NODE.down) + (curved ? 120 : 30);
  /** @type {Map<string, Place>} */
  const places = new Map();
  for (const [x, names] of columns.entries()) {
    const free = height - names.length * (NODE.height + NODE.down) + NODE.down;
    for (const [y, name] of names.entries()) {
      places.set(name, { x: 20 + x * (NODE.width + NODE.across), y: free / 2 + y * (NODE.height + NODE.down) });
    }
  }
  return { width, height, places };
}

/**
 * From one node to another: a loop above a node that calls itself, an arc below for calls back, an arc above over the
 * columns in between, else a curve.
 * @param {Place} from
 * @param {Place} to
 * @returns {Edge}
 */
export function edge(from, to) {
  const [x1, x2] = [from.x + NODE.width, to.x - 2];
  if (from === to) return { d: `M${x1 - 46} ${from.y} c0 -30 32 -30 32 -2`, x: x1 - 30, y: from.y - 25 };
  if (x2 <= x1) return below(from, to);
  if (x2 - x1 > NODE.across) return above(from, to, x2 - x1);
  const [y1, y2] = [from.y + NODE.height / 2, to.y + NODE.height / 2];
  const bend = Math.max((x2 - x1) / 2, 30);
  return {
    d: `M${x1} ${y1} C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`,
    x: (x1 + x2) / 2,
    y: (y1 + y2) / 2 - 7,
  };
}

/**
 * @param {Place} from
 * @param {Place} to
 * @returns {Edge}
 */
function below(from, to) {
  const [x1, x2] = [from.x + NODE.width / 2, to.x + NODE.width / 2];
  const low = Math.max(from.y, to.y) + NODE.height + 26;
  const d = `M${x1} ${from.y + NODE.height} C${x1} ${low} ${x2} ${low} ${x2} ${to.y + NODE.height + 2}`;
  return { d, x: (x1 + x2) / 2, y: low - 4 };
}

/**
 * @param {Place} from
 * @param {Place} to
 * @param {number} length
 * @returns {Edge}
 */
function above(from, to, length) {
  const top = Math.min(from.y, to.y) - 34 - (length - NODE.across) / 16;
  const [x1, x2] = [from.x + NODE.width / 2 + 20, to.x + NODE.width / 2 - 20];
  const d = `M${x1} ${from.y} C${x1 + 40} ${top} ${x2 - 40} ${top} ${x2} ${to.y - 2}`;
  return { d, x: (x1 + x2) / 2, y: (from.y + to.y) / 8 + top * 0.75 + 4 };
}
