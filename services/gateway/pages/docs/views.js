// What the page shows of the API's description.

import { contentOfSuccess, jsonBody } from "./description.js";
import { el } from "./shared/page.js";
import { tryIt } from "./try.js";

/** @import { Description, Operation, Route, Section } from "./description.js" */
/** @import { Content } from "./shared/page.js" */

/**
 * Text with code spans, which are all that the descriptions use of CommonMark.
 * @param {string | undefined} text
 */
export const prose = (text = "") => text.split("`").map((part, index) => (index % 2 ? el("code", {}, part) : part));

/**
 * @param {string[]} heads
 * @param {Content[][]} rows
 */
function table(heads, rows) {
  return el(
    "table",
    {},
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        heads.map((head) => el("th", { scope: "col" }, head)),
      ),
    ),
    el(
      "tbody",
      {},
      rows.map((row) =>
        el(
          "tr",
          {},
          row.map((cell) => el("td", {}, cell)),
        ),
      ),
    ),
  );
}

/**
 * @param {Operation} operation
 * @param {Description} api
 */
function parameters(operation, api) {
  const list = operation.parameters ?? [];
  if (!list.length) return null;
  return [
    el("h4", {}, "Parameters"),
    table(
      ["name", "where and type", "needed", "meaning"],
      list.map((item) => [
        el("code", {}, item.name),
        `${item.in}, ${api.typeName(item.schema)}`,
        item.required && "required",
        prose(item.description),
      ]),
    ),
  ];
}

/**
 * @param {Operation} operation
 * @param {Description} api
 */
function body(operation, api) {
  const content = jsonBody(operation);
  if (!content) return null;
  return [
    el("h4", {}, "Body"),
    table(
      ["field", "type", "needed", "meaning"],
      api
        .fields(content.schema)
        .map((field) => [el("code", {}, field.name), field.type, field.required && "required", field.description]),
    ),
  ];
}

/**
 * @param {Operation} operation
 * @param {Description} api
 */
function responses(operation, api) {
  const rows = Object.entries(operation.responses).map(([status, answer]) => {
    const [type, content] = Object.entries(answer.content ?? {})[0] ?? [];
    const name = content?.schema && api.typeName(content.schema);
    return [status, answer.description, [name, type && `(${type})`].filter(Boolean).join(" ")];
  });
  const content = contentOfSuccess(operation);
  const example = content?.example ?? (content?.schema && JSON.stringify(api.example(content.schema), null, 2));
  return [
    el("h4", {}, "Responses"),
    table(["status", "meaning", "content"], rows),
    example && el("pre", { tabindex: "0", "aria-label": "Example of a response" }, example),
  ];
}

/**
 * @param {Route} route
 * @param {Description} api
 * @param {string} traces
 */
function operationView(route, api, traces) {
  const { method, path, operation } = route;
  return el(
    "details",
    { class: "operation", id: operation.operationId },
    el(
      "summary",
      {},
      el("span", { class: `method ${method}` }, method.toUpperCase()),
      el("span", { class: "path" }, path),
      el("span", { class: "short" }, operation.summary),
    ),
    el(
      "div",
      { class: "body" },
      el("p", {}, prose(operation.description)),
      parameters(operation, api),
      body(operation, api),
      responses(operation, api),
      tryIt(route, api, traces),
    ),
  );
}

/** @param {Section} section */
const titleOf = (section) => (section.name ? `Version ${section.name.slice(1)}` : "Any version");

/**
 * The operations of a version.
 * @param {Section} section
 * @param {Description} api
 * @param {string} traces The address of the page of traces; empty: none.
 */
export function sectionView(section, api, traces) {
  const { about } = section;
  const id = `section-${section.name || "others"}`;
  const ends = about?.sunset_at && `until ${about.sunset_at.slice(0, 10)}`;
  const lead = about ? [about.features, ends].filter(Boolean).join("; ") : "sign-in, JSON-RPC, operation";
  return el(
    "section",
    { class: "version", id, "aria-labelledby": `${id}-title` },
    el(
      "h2",
      { id: `${id}-title` },
      titleOf(section),
      about && el("span", { class: `badge ${about.status}` }, about.status),
    ),
    el("p", { class: "dim" }, lead),
    [...section.groups].map(([tag, routes]) =>
      el(
        "div",
        { class: "group" },
        el("h3", {}, tag),
        routes.map((route) => operationView(route, api, traces)),
      ),
    ),
  );
}

/**
 * Links to the operations of a version.
 * @param {Section} section
 * @param {boolean} open
 */
export function contentsView(section, open) {
  const count = [...section.groups.values()].flat().length;
  /** @param {Route} route */
  const item = ({ method, path, operation }) =>
    el(
      "li",
      { "data-for": operation.operationId },
      el(
        "a",
        { href: `#${operation.operationId}` },
        el("span", { class: `method ${method}` }, method.toUpperCase()),
        " ",
        operation.summary || path,
      ),
    );
  return el(
    "details",
    { class: "contents", open, "data-open": open },
    el("summary", {}, titleOf(section), el("span", { class: "count" }, ` ${count}`)),
    [...section.groups].map(([tag, routes]) =>
      el("div", { class: "group" }, el("p", { class: "tag" }, tag), el("ul", {}, routes.map(item))),
    ),
  );
}
