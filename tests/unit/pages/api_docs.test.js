// The page of the API: what it makes of an OpenAPI description.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  contentOfSuccess,
  Description,
  requestOf,
  versionOf,
} from "../../../services/gateway/pages/docs/description.js";
import { pretty } from "../../../services/gateway/pages/docs/try.js";

/** @import { Operation, Schema } from "../../../services/gateway/pages/docs/description.js" */

/**
 * @param {Record<string, Schema>} [schemas]
 * @param {Record<string, Record<string, Operation>>} [paths]
 */
const describe = (schemas = {}, paths = {}) =>
  new Description({ info: { title: "API", version: "1" }, paths, components: { schemas } });

const USER = { type: "object", properties: { name: { type: "string" }, age: { type: "integer" } }, required: ["name"] };
const REFERENCE = { $ref: "#/components/schemas/User" };

test("examples are made of schemas, their own examples first", () => {
  const api = describe({ User: USER });
  assert.deepEqual(api.example(REFERENCE), { name: "", age: 0 });
  assert.deepEqual(api.example({ type: "array", items: REFERENCE }), [{ name: "", age: 0 }]);
  assert.equal(api.example({ type: "string", examples: ["Ada"], default: "x" }), "Ada");
  assert.equal(api.example({ type: "integer", default: 20 }), 20);
  assert.equal(api.example({ anyOf: [{ type: "boolean" }, { type: "null" }] }), false);
  assert.equal(api.example(undefined), null);
});

test("a schema that holds itself has an example that ends", () => {
  const api = describe({ Node: { type: "object", properties: { next: { $ref: "#/components/schemas/Node" } } } });
  const depth = JSON.stringify(api.example({ $ref: "#/components/schemas/Node" })).split("next").length - 1;
  assert.equal(depth, 5);
});

test("a reference that leads nowhere is any value", () => {
  assert.equal(describe().typeName({ $ref: "#/components/schemas/None" }), "any");
});

test("types are said in words", () => {
  const api = describe({ User: USER, Name: { type: "string" } });
  assert.equal(api.typeName(REFERENCE), "User");
  assert.equal(api.typeName({ $ref: "#/components/schemas/Name" }), "string");
  assert.equal(api.typeName({ type: "array", items: REFERENCE }), "list of User");
  assert.equal(
    api.typeName({ anyOf: [{ type: "string", format: "date-time" }, { type: "null" }] }),
    "date-time or null",
  );
  assert.equal(api.typeName({ type: "integer", minimum: 0, maximum: 500 }), "integer from 0 to 500");
});

test("fields say whether they are required", () => {
  const fields = describe({ User: USER }).fields(REFERENCE);
  assert.deepEqual(
    fields.map(({ name, type, required }) => [name, type, required]),
    [
      ["name", "string", true],
      ["age", "integer", false],
    ],
  );
});

/**
 * @param {string} operationId
 * @param {Partial<Operation>} [more]
 * @returns {Operation}
 */
const operation = (operationId, more = {}) => ({ operationId, responses: {}, ...more });

test("the current version comes first, then what has none, then the newest", () => {
  const paths = {
    "/api/v1/users": { get: operation("a", { tags: ["users, v1"] }) },
    "/api/v2/users": { post: operation("c", { tags: ["users, v2"] }), get: operation("b", { tags: ["users, v2"] }) },
    "/api/v3/users": { get: operation("d", { tags: ["users, v3"] }) },
    "/healthz": { get: operation("e") },
  };
  const versions = ["v1", "v2", "v3"].map((version) => ({ version, status: "supported", features: "" }));
  const sections = describe({}, paths).sections({ current: "v2", versions });
  assert.deepEqual(
    sections.map((section) => section.name),
    ["v2", "", "v3", "v1"],
  );
  assert.deepEqual([...(sections[0]?.groups.keys() ?? [])], ["users"]);
  assert.deepEqual(
    sections[0]?.groups.get("users")?.map((route) => route.operation.operationId),
    ["b", "c"],
  );
  assert.equal(sections[0]?.about?.version, "v2");
  assert.deepEqual([...(sections[1]?.groups.keys() ?? [])], ["other"]);
});

test("a form becomes a request", () => {
  /** @type {Operation} */
  const list = operation("list", {
    parameters: [
      { name: "user_id", in: "path", schema: {} },
      { name: "limit", in: "query", schema: {} },
      { name: "after", in: "query", schema: {} },
      { name: "If-Match", in: "header", schema: {} },
    ],
    requestBody: { content: { "application/json": {} } },
  });
  const values = new Map([
    ["path:user_id", "a/b c"],
    ["query:limit", "5"],
    ["query:after", ""],
    ["header:If-Match", '"7"'],
    ["body", "{}"],
  ]);
  const route = { method: "patch", path: "/api/v4/users/{user_id}", operation: list };
  const [address, options] = requestOf(route, (name) => values.get(name) ?? "", "secret");
  assert.equal(address, "api/v4/users/a%2Fb%20c?limit=5");
  assert.equal(options.method, "PATCH");
  assert.equal(options.body, "{}");
  assert.deepEqual(options.headers, {
    "If-Match": '"7"',
    Authorization: "Bearer secret",
    "API-Beta": "v4",
    "Content-Type": "application/json",
  });
});

test("without parameters, token and body a request has none", () => {
  const route = { method: "get", path: "/healthz", operation: operation("alive") };
  assert.deepEqual(
    requestOf(route, () => "", ""),
    ["healthz", { method: "GET", headers: {} }],
  );
});

test("the content of the first success is what is shown as an example", () => {
  const good = { "application/json": { example: "{}" } };
  assert.equal(contentOfSuccess(operation("a", { responses: { 404: {}, 201: { content: good } } }))?.example, "{}");
  assert.equal(contentOfSuccess(operation("a", { responses: { 204: {} } })), undefined);
});

test("only paths of the API have versions", () => {
  assert.deepEqual(["/api/v3/orders", "/api/versions", "/rpc"].map(versionOf), ["v3", "", ""]);
});

test("JSON is laid out, and other text is as it is", () => {
  assert.equal(pretty('{"a":1}'), '{\n  "a": 1\n}');
  assert.equal(pretty("not json"), "not json");
});
