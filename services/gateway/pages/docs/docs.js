// Shows /openapi.json, and lets one try each operation. No library, nothing from elsewhere.
"use strict";

const METHODS = ["get", "post", "put", "patch", "delete"];
const LOOPBACK = /^(localhost|127\.[0-9.]+|\[::1\])$/;
let api;
let traces = "";

function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function resolve(schema) {
  while (schema && schema.$ref) schema = schema.$ref.split("/").slice(1).reduce((at, key) => at[key], api);
  return schema || {};
}

function example(schema, depth = 0) {
  schema = resolve(schema);
  if (schema.examples) return schema.examples[0];
  if (schema.default !== undefined) return schema.default;
  if (schema.anyOf) return example(schema.anyOf[0], depth);
  if (schema.type === "array") return depth > 4 ? [] : [example(schema.items, depth + 1)];
  if (schema.properties && depth < 5) {
    return Object.fromEntries(Object.entries(schema.properties).map(([key, value]) => [key, example(value, depth + 1)]));
  }
  return { string: "", number: 0, integer: 0, boolean: false, object: {} }[schema.type] ?? null;
}

function typeName(schema) {
  const name = schema.$ref && schema.$ref.split("/").pop();
  schema = resolve(schema);
  if (name && schema.properties) return name;
  if (schema.anyOf) return schema.anyOf.map(typeName).join(" or ");
  if (schema.type === "array") return `list of ${typeName(schema.items)}`;
  const bounds = [];
  if (schema.minimum !== undefined) bounds.push(`from ${schema.minimum}`);
  if (schema.maximum !== undefined) bounds.push(`to ${schema.maximum}`);
  return [schema.format || schema.type || "any", ...bounds].join(" ");
}

// The descriptions are CommonMark; code spans are all that ours use of it.
function prose(text) {
  return (text || "").split("`").map((part, index) => (index % 2 ? el("code", {}, part) : part));
}

function table(heads, rows) {
  return el("table", {}, el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, head)))),
    el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((cell) => el("td", {}, cell))))));
}

function fieldRows(schema) {
  const object = resolve(schema);
  const required = new Set(object.required || []);
  return Object.entries(object.properties || {}).map(([name, field]) => [
    el("code", {}, name), typeName(field), required.has(name) ? "required" : "", resolve(field).description || field.description || "",
  ]);
}

function parameters(operation) {
  const list = operation.parameters || [];
  if (!list.length) return [];
  const rows = list.map((item) => [el("code", {}, item.name), `${item.in}, ${typeName(item.schema)}`,
    item.required ? "required" : "", el("span", {}, ...prose(item.description))]);
  return [el("h4", {}, "Parameters"), table(["name", "where and what", "needed", "meaning"], rows)];
}

function jsonBody(operation) {
  return operation.requestBody && operation.requestBody.content["application/json"];
}

function responses(operation) {
  const parts = [el("h4", {}, "Answers")];
  parts.push(table(["status", "meaning", "content"], Object.entries(operation.responses).map(([status, answer]) => {
    const [type, content] = Object.entries(answer.content || {})[0] || ["", null];
    const name = content && content.schema ? typeName(content.schema) : "";
    return [status, answer.description || "", [name, type && `(${type})`].filter(Boolean).join(" ")];
  })));
  const good = Object.entries(operation.responses).find(([status]) => status.startsWith("2"));
  const content = good && good[1].content && Object.values(good[1].content)[0];
  if (content && (content.schema || content.example)) {
    parts.push(el("pre", {}, content.example || JSON.stringify(example(content.schema), null, 2)));
  }
  return parts;
}

function field(label, name, value, attributes = {}) {
  return el("label", {}, label, el("input", { name, value, autocomplete: "off", spellcheck: "false", ...attributes }));
}

function requestOf(form, method, path, operation) {
  const query = new URLSearchParams();
  const headers = {};
  let address = path;
  for (const item of operation.parameters || []) {
    const value = form.elements.namedItem(`${item.in}:${item.name}`).value;
    if (item.in === "path") address = address.replace(`{${item.name}}`, encodeURIComponent(value));
    else if (value !== "" && item.in === "query") query.set(item.name, value);
    else if (value !== "" && item.in === "header") headers[item.name] = value;
  }
  const token = document.getElementById("token").value.trim();
  if (token) headers.Authorization = `Bearer ${token}`;
  if (versionOf(path) === "v4") headers["API-Beta"] = "v4";
  const options = { method: method.toUpperCase(), headers };
  if (jsonBody(operation)) {
    headers["Content-Type"] = "application/json";
    options.body = form.elements.namedItem("body").value;
  }
  const text = query.toString();
  return [address.replace(/^\//, "") + (text ? `?${text}` : ""), options];
}

async function run(event, method, path, operation, output, stop) {
  event.preventDefault();
  const controller = new AbortController();
  stop.onclick = () => controller.abort();
  stop.hidden = false;
  output.hidden = false;
  output.classList.remove("bad");
  output.textContent = "…";
  try {
    const [address, options] = requestOf(event.target, method, path, operation);
    const response = await fetch(address, { ...options, signal: controller.signal });
    output.classList.toggle("bad", !response.ok);
    await show(response, output);
  } catch (error) {
    if (error.name === "AbortError") output.append("\n(stopped)");
    else {
      output.classList.add("bad");
      output.textContent = `No answer: ${error.message}`;
    }
  } finally {
    stop.hidden = true;
  }
}

async function show(response, output) {
  const kept = ["location", "etag", "deprecation", "sunset", "retry-after", "x-trace-id"].filter((name) => response.headers.get(name));
  output.textContent = [`${response.status} ${response.statusText}`,
    ...kept.map((name) => `${name}: ${response.headers.get(name)}`), "", ""].join("\n");
  const trace = response.headers.get("x-trace-id");
  if (trace && traces) output.append("trace: ", el("a", { href: `${traces}/trace/${trace}` }, trace), "\n\n");
  const type = response.headers.get("content-type") || "";
  if (type.includes("ndjson")) {
    const decoder = new TextDecoder();
    const reader = response.body.getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) output.append(decoder.decode(part.value, { stream: true }));
    return;
  }
  const text = await response.text();
  try {
    output.append(JSON.stringify(JSON.parse(text), null, 2));
  } catch {
    output.append(text);
  }
}

function tryIt(method, path, operation) {
  const output = el("pre", { hidden: true, "aria-live": "polite", tabindex: "0" });
  const stop = el("button", { type: "button", class: "quiet", hidden: true }, "Stop");
  const inputs = (operation.parameters || []).map((item) => field(`${item.name} (${item.in})`, `${item.in}:${item.name}`,
    item.schema.default ?? "", { required: item.required, placeholder: String((item.examples || item.schema.examples || [""])[0] ?? "") }));
  const body = jsonBody(operation);
  if (body) inputs.push(el("label", {}, "body (JSON)", el("textarea", { name: "body", spellcheck: "false" }, JSON.stringify(example(body.schema), null, 2))));
  const form = el("form", { onsubmit: (event) => run(event, method, path, operation, output, stop) }, ...inputs,
    el("div", { class: "buttons" }, el("button", { type: "submit" }, "Send"), stop));
  return [el("h4", {}, "Try it"), form, output];
}

function operationView(method, path, operation) {
  const body = jsonBody(operation);
  const bodyPart = body ? [el("h4", {}, "Body"), table(["field", "type", "needed", "meaning"], fieldRows(body.schema))] : [];
  return el("details", { class: "operation", id: operation.operationId },
    el("summary", {}, el("span", { class: `method ${method}` }, method.toUpperCase()), el("span", { class: "path" }, path),
      el("span", { class: "short" }, operation.summary || "")),
    el("div", { class: "body" }, el("p", {}, ...prose(operation.description)), ...parameters(operation), ...bodyPart,
      ...responses(operation), ...tryIt(method, path, operation)));
}

function versionOf(path) {
  const found = /^\/api\/(v\d+)\//.exec(path);
  return found ? found[1] : "";
}

// Versions first, the current one before the others, then what has none; in each, one group for each tag.
function sections(versions) {
  const known = new Map(versions.versions.map((item) => [item.version, item]));
  const order = [versions.current, "", ...versions.versions.map((item) => item.version).reverse()];
  const found = new Map([...new Set(order)].map((name) => [name, new Map()]));
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const method of METHODS.filter((name) => methods[name])) {
      const version = versionOf(path);
      const groups = found.get(version) || found.set(version, new Map()).get(version);
      const tag = (methods[method].tags || ["other"])[0].replace(`, ${version}`, "");
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push([method, path, methods[method]]);
    }
  }
  return [...found].filter(([, groups]) => groups.size).map(([name, groups]) => ({ name, groups, about: known.get(name) }));
}

function titleOf(section) {
  if (!section.name) return "Any version";
  return `Version ${section.name.slice(1)}`;
}

function sectionView(section) {
  const about = section.about;
  const ends = about && about.sunset_at ? `until ${about.sunset_at.slice(0, 10)}` : "";
  const words = about ? [about.features, ends].filter(Boolean).join("; ") : "sign-in, JSON-RPC, operation";
  const groups = [...section.groups].map(([tag, operations]) => el("div", { class: "group" }, el("h3", {}, tag),
    ...operations.map((operation) => operationView(...operation))));
  return el("section", { class: "version", id: `section-${section.name || "others"}` },
    el("h2", {}, titleOf(section), about ? el("span", { class: `badge ${about.status}` }, about.status) : null),
    el("p", { class: "dim" }, words), ...groups);
}

function contentsView(section, open) {
  const count = [...section.groups.values()].flat().length;
  const groups = [...section.groups].map(([tag, operations]) => el("div", { class: "group" }, el("p", { class: "tag" }, tag),
    el("ul", {}, ...operations.map(([method, path, operation]) => el("li", { "data-for": operation.operationId },
      el("a", { href: `#${operation.operationId}` }, el("span", { class: `method ${method}` }, method.toUpperCase()), " ",
        operation.summary || path))))));
  return el("details", { class: "contents", open }, el("summary", {}, titleOf(section), el("span", { class: "count" }, ` ${count}`)),
    ...groups);
}

function openLinked() {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (!target || target.tagName !== "DETAILS") return;
  document.getElementById("find").value = "";
  filter("");
  target.open = true;
  target.scrollIntoView();
}

// Every word must be somewhere in the method, the path or the name.
function filter(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const operation of document.querySelectorAll("details.operation")) {
    const said = operation.querySelector("summary").textContent.toLowerCase();
    operation.hidden = !words.every((word) => said.includes(word));
    document.querySelector(`[data-for="${operation.id}"]`).hidden = operation.hidden;
    shown += operation.hidden ? 0 : 1;
  }
  for (const part of document.querySelectorAll(".group, section.version")) {
    part.hidden = !part.querySelector("details.operation:not([hidden]), li:not([hidden])");
  }
  for (const list of document.querySelectorAll("details.contents")) {
    list.hidden = !list.querySelector("li:not([hidden])");
    list.open = words.length ? true : list.hasAttribute("data-open");
  }
  document.getElementById("found").textContent = words.length ? `${shown} operations` : "";
}

function render(versions) {
  document.title = api.info.title;
  document.getElementById("title").textContent = api.info.title;
  document.getElementById("description").append(...prose(api.info.description));
  document.getElementById("version").textContent = `version ${api.info.version}`;
  const main = document.getElementById("operations");
  const nav = document.getElementById("contents");
  main.textContent = "";
  for (const section of sections(versions)) {
    const open = !section.name || section.name === versions.current;
    const list = contentsView(section, open);
    list.toggleAttribute("data-open", open);
    main.append(sectionView(section));
    nav.append(list);
  }
  document.getElementById("find").addEventListener("input", (event) => filter(event.target.value));
  addEventListener("hashchange", openLinked);
  openLinked();
}

async function read(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address}: ${response.status} ${response.statusText}`);
  return response.json();
}

// Where traces are looked at; an address on the gateway's own machine is of use to browsers there alone.
read("shop/settings.json").then(({ traces_url: url }) => {
  traces = url && LOOPBACK.test(new URL(url).hostname) && !LOOPBACK.test(location.hostname) ? "" : url;
}).catch(() => {});

Promise.all([read("openapi.json"), read("api/versions")]).then(([description, versions]) => {
  api = description;
  render(versions);
}).catch((error) => {
  const status = document.getElementById("status");
  status.classList.add("bad");
  status.textContent = `The API's description cannot be read: ${error.message}`;
});
