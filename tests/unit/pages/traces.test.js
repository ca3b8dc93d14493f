// The trace page: what it makes of Jaeger's documents.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ago,
  askForErrors,
  asksForErrors,
  hue,
  offset,
  preciseClock,
  readTags,
  shortName,
  tagsOf,
  writeTags,
} from "../../../src/meshwright/dev/traces/ui/assets/format.js";
import { bar, markAt } from "../../../src/meshwright/dev/traces/ui/assets/geometry.js";
import { edge, layers, layout } from "../../../src/meshwright/dev/traces/ui/assets/graph.js";
import {
  findSpans,
  makeTree,
  nextOf,
  selfTime,
  visibleSpans,
} from "../../../src/meshwright/dev/traces/ui/assets/tree.js";

/**
 * A span as Jaeger's API has it.
 * @param {string} id
 * @param {string} parent Empty: none.
 * @param {number} start
 * @param {number} duration
 * @param {Record<string, string | boolean>} [tags]
 */
const raw = (id, parent, start, duration, tags = {}) => ({
  traceID: "t",
  spanID: id,
  processID: "p",
  operationName: `work ${id}`,
  startTime: start,
  duration,
  references: parent ? [{ refType: "CHILD_OF", traceID: "t", spanID: parent }] : [],
  tags: Object.entries(tags).map(([key, value]) => ({ key, value })),
  logs: [],
});

/** @param {...ReturnType<typeof raw>} spans */
const tree = (...spans) => {
  const tags = [{ key: "service.version", value: "1.2" }];
  return makeTree({ traceID: "t", spans, processes: { p: { serviceName: "user", tags } } });
};

/** @param {{ id: string }[]} spans */
const ids = (spans) => spans.map((span) => span.id).join(" ");

test("parents come first, children by time", () => {
  const found = tree(
    raw("c", "a", 30, 5),
    raw("b", "a", 10, 5),
    raw("d", "b", 11, 1, { error: true }),
    raw("a", "", 0, 50),
  );
  assert.equal(ids(found.ordered), "a b d c");
  assert.deepEqual(
    found.ordered.map((span) => span.depth),
    [0, 1, 2, 1],
  );
  assert.deepEqual([found.duration, found.depth, found.errors], [50, 3, 1]);
  const root = found.spans.get("a");
  assert.deepEqual([root?.below, root?.failedBelow, root?.version], [3, 1, "1.2"]);
});

test("a span whose parent is not there is a root", () => {
  const found = tree(raw("a", "", 0, 10), raw("b", "lost", 5, 1));
  assert.equal(ids(found.roots), "a b");
  assert.equal(found.roots[1]?.parentId, "lost");
});

test("a cycle is cut at its earliest span, and nothing is lost", () => {
  const found = tree(raw("a", "c", 0, 10), raw("b", "a", 1, 5), raw("c", "b", 2, 1), raw("d", "c", 3, 1));
  assert.equal(ids(found.roots), "a");
  assert.equal(ids(found.ordered), "a b c d");
});

test("what is below a folded span is not shown", () => {
  const found = tree(raw("a", "", 0, 50), raw("b", "a", 1, 5), raw("c", "b", 2, 1), raw("d", "a", 9, 1));
  assert.equal(ids(visibleSpans(found, new Set(["b"]))), "a b d");
  assert.equal(ids(visibleSpans(found, new Set(["a", "b"]))), "a");
  assert.equal(visibleSpans(found, new Set()), found.ordered);
});

test("spans are found by all words, in names and tags", () => {
  const found = tree(raw("a", "", 0, 50, { "http.route": "/users" }), raw("b", "a", 1, 5));
  assert.equal(ids(findSpans(found, "WORK")), "a b");
  assert.equal(ids(findSpans(found, "work /users")), "a");
  assert.equal(ids(findSpans(found, "  ")), "");
});

test("a span's own time is what no child covers, though children overlap or outlast it", () => {
  const found = tree(raw("a", "", 0, 100), raw("b", "a", 10, 30), raw("c", "a", 20, 30), raw("d", "a", 90, 50));
  const [root] = found.roots;
  assert.ok(root);
  assert.equal(selfTime(root), 50);
});

test("the next of some spans begins anew at either end", () => {
  const found = tree(raw("a", "", 0, 50), raw("b", "a", 1, 5), raw("c", "a", 7, 1));
  const [a, b, c] = found.ordered;
  assert.ok(a && b && c);
  assert.equal(nextOf([a, c], 1, b, found), 1);
  assert.equal(nextOf([a, c], 1, c, found), 0);
  assert.equal(nextOf([a, c], -1, a, found), 1);
  assert.equal(nextOf([a, c], 1, null, found), 0);
  assert.equal(nextOf([], 1, a, found), -1);
  assert.equal(nextOf([], -1, a, found), -1);
});

test("a bar has its label where there is room", () => {
  const whole = { start: 0, duration: 100 };
  assert.deepEqual(bar({ start: 10, duration: 20 }, whole, [0, 1]), { left: 0.1, width: 0.2, label: "after" });
  assert.equal(bar({ start: 60, duration: 40 }, whole, [0, 1]).label, "before");
  assert.equal(bar({ start: 0, duration: 100 }, whole, [0, 1]).label, "inside");
  assert.deepEqual(bar({ start: 50, duration: 25 }, whole, [0.5, 1]), { left: 0, width: 0.5, label: "after" });
});

test("an event of another clock stays in its span's bar", () => {
  const span = { start: 100, duration: 50 };
  assert.deepEqual(
    [markAt(span, 125), markAt(span, 20), markAt(span, 900), markAt({ start: 1, duration: 0 }, 1)],
    [0.5, 0, 1, 0],
  );
});

test("tags are read and written as Jaeger's page does", () => {
  assert.deepEqual(readTags('error=true  name="two \\"words\\"" empty='), {
    error: "true",
    name: 'two "words"',
    empty: "",
  });
  assert.deepEqual(readTags(" "), {});
  assert.equal(readTags("no equals sign"), null);
  assert.equal(readTags('a=1 "half"'), null);
  const tags = { plain: "1", spaced: "a b", quoted: 'say "x"' };
  assert.deepEqual(readTags(writeTags(tags)), tags);
  assert.deepEqual([tagsOf('{"error":true}'), tagsOf("not json"), tagsOf("")], ["error=true", "not json", ""]);
});

test("failed spans are asked for beside what else is", () => {
  assert.equal(askForErrors("a=1", true), "a=1 error=true");
  assert.equal(askForErrors("a=1 error=false", true), "a=1 error=true");
  assert.equal(askForErrors("error=true a=1", false), "a=1");
  assert.deepEqual(["error=true", "a=1 error=true", "error=true1", "xerror=true"].map(asksForErrors), [
    true,
    true,
    false,
    false,
  ]);
});

test("times are said as they are needed", () => {
  const now = Date.UTC(2026, 10, 30);
  const before = [0, 10, 90, 7200, 2 * 86400, -60].map((seconds) => ago((now - seconds * 1000) * 1000, now));
  assert.deepEqual(before, ["just now", "10 s ago", "1 min ago", "2 h ago", "2 d ago", "1m ahead of this clock"]);
  assert.deepEqual([offset(1500), offset(-1500)], ["1.5 ms", "−1.5 ms"]);
  assert.match(preciseClock(now * 1000 + 7000), /^\d\d:\d\d:\d\d\.007$/);
});

test("a method is short without its package, and other names are as they are", () => {
  assert.equal(shortName("demo.user.v1.UserService/GetUser"), "UserService/GetUser");
  assert.equal(shortName("GET /api/v1/users"), "GET /api/v1/users");
});

test("a service keeps its hue, and twelve services have twelve", () => {
  const names = Array.from({ length: 12 }, (_, at) => `service-${at}`);
  const hues = names.map(hue);
  assert.equal(new Set(hues).size, 12);
  assert.deepEqual(names.map(hue), hues);
  assert.ok(hues.includes(hue("a thirteenth")));
});

/**
 * @param {string} parent
 * @param {string} child
 */
const link = (parent, child) => ({ parent, child, callCount: 1 });

test("a service is right of all its callers, and cycles end", () => {
  const links = [link("gateway", "user"), link("user", "calculator"), link("gateway", "calculator")];
  assert.deepEqual(layers(links), [["gateway"], ["user"], ["calculator"]]);
  assert.deepEqual(layers([link("a", "b"), link("b", "a"), link("b", "b")]), [["a"], ["b"]]);
});

test("the picture has a place for each service", () => {
  const { width, height, places } = layout([link("a", "b"), link("a", "c")]);
  assert.deepEqual([...places.keys()].sort(), ["a", "b", "c"]);
  for (const { x, y } of places.values()) assert.ok(x >= 0 && y >= 0 && x < width && y < height);
});

test("edges go around what is between", () => {
  const [near, next, far] = [0, 260, 520].map((x) => ({ x, y: 100 }));
  assert.ok(near && next && far);
  assert.match(edge(near, near).d, / c0 -30 /);
  assert.ok(edge(next, near).y > 140, "back: below the nodes");
  assert.ok(edge(near, far).y < 100, "over a column: above the nodes");
  assert.match(edge(near, next).d, /^M150 120 C/);
});
