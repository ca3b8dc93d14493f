// The API's description (OpenAPI 3.1), as far as this page shows it.

/**
 * @typedef {object} Schema
 * @property {string} [$ref]
 * @property {string} [type]
 * @property {string} [format]
 * @property {string} [description]
 * @property {unknown} [default]
 * @property {unknown[]} [examples]
 * @property {Schema[]} [anyOf]
 * @property {Schema} [items]
 * @property {Record<string, Schema>} [properties]
 * @property {string[]} [required]
 * @property {number} [minimum]
 * @property {number} [maximum]
 */
/** @typedef {{ schema?: Schema, example?: string }} Media */
/** @typedef {Record<string, Media>} Content By media type. */
/** @typedef {{ name: string, in: "path" | "query" | "header", required?: boolean, description?: string, schema: Schema, examples?: unknown[] }} Parameter */
/**
 * @typedef {object} Operation
 * @property {string} operationId
 * @property {string} [summary]
 * @property {string} [description]
 * @property {string[]} [tags]
 * @property {Parameter[]} [parameters]
 * @property {{ content: Content }} [requestBody]
 * @property {Record<string, { description?: string, content?: Content }>} responses By status.
 */
/** @typedef {{ method: string, path: string, operation: Operation }} Route */
/**
 * @typedef {object} OpenApi
 * @property {{ title: string, version: string, description?: string }} info
 * @property {Record<string, Partial<Record<string, Operation>>>} paths
 * @property {{ schemas?: Record<string, Schema> }} [components]
 */
/** @typedef {{ version: string, status: string, features: string, sunset_at?: string | null }} Version */
/** @typedef {{ current: string, versions: Version[] }} Versions */
/** @typedef {{ name: string, about?: Version, groups: Map<string, Route[]> }} Section The operations of a version, by tag. */
/** @typedef {{ name: string, type: string, required: boolean, description: string }} Field */

const METHODS = ["get", "post", "put", "patch", "delete"];
const DEEPEST = 5;
const EMPTY = new Map(
  /** @type {[string, unknown][]} */ ([
    ["string", ""],
    ["number", 0],
    ["integer", 0],
    ["boolean", false],
    ["object", {}],
  ]),
);

/** Reads a description: references, examples, names of types. */
export class Description {
  /** @param {OpenApi} document */
  constructor(document) {
    this.document = document;
  }

  /**
   * The schema that a reference leads to.
   * @param {Schema | undefined} schema
   * @returns {Schema}
   */
  resolve(schema) {
    let found = schema ?? {};
    while (found.$ref) found = this.#at(found.$ref);
    return found;
  }

  /**
   * @param {string} reference As `#/components/schemas/User`.
   * @returns {Schema}
   */
  #at(reference) {
    /** @type {any} */
    let at = this.document;
    for (const key of reference.split("/").slice(1)) at = at?.[key];
    return at ?? {};
  }

  /**
   * A value of that schema: its first example, its default, or made from its parts.
   * @param {Schema | undefined} schema
   * @param {number} [depth]
   * @returns {unknown}
   */
  example(schema, depth = 0) {
    const found = this.resolve(schema);
    if (found.examples) return found.examples[0];
    if (found.default !== undefined) return found.default;
    if (found.anyOf) return this.example(found.anyOf[0], depth);
    if (found.type === "array") return depth < DEEPEST ? [this.example(found.items, depth + 1)] : [];
    if (found.properties && depth < DEEPEST) {
      return Object.fromEntries(
        Object.entries(found.properties).map(([key, value]) => [key, this.example(value, depth + 1)]),
      );
    }
    return EMPTY.get(found.type ?? "") ?? null;
  }

  /**
   * What a value of that schema is, in words.
   * @param {Schema | undefined} schema
   * @returns {string}
   */
  typeName(schema) {
    const found = this.resolve(schema);
    const name = schema?.$ref?.split("/").pop();
    if (name && found.properties) return name;
    if (found.anyOf) return found.anyOf.map((item) => this.typeName(item)).join(" or ");
    if (found.type === "array") return `list of ${this.typeName(found.items)}`;
    const words = [found.format || found.type || "any"];
    if (found.minimum !== undefined) words.push(`from ${found.minimum}`);
    if (found.maximum !== undefined) words.push(`to ${found.maximum}`);
    return words.join(" ");
  }

  /**
   * The properties of an object.
   * @param {Schema | undefined} schema
   * @returns {Field[]}
   */
  fields(schema) {
    const object = this.resolve(schema);
    const required = new Set(object.required);
    return Object.entries(object.properties ?? {}).map(([name, field]) => ({
      name,
      type: this.typeName(field),
      required: required.has(name),
      description: this.resolve(field).description ?? field.description ?? "",
    }));
  }

  /**
   * The operations by version: the current one, then what has none, then the others, newest first.
   * @param {Versions} versions
   * @returns {Section[]}
   */
  sections(versions) {
    const known = new Map(versions.versions.map((item) => [item.version, item]));
    const order = [versions.current, "", ...[...known.keys()].reverse()];
    /** @type {Map<string, Map<string, Route[]>>} */
    const found = new Map(order.map((name) => [name, new Map()]));
    for (const route of this.#routes()) {
      const version = versionOf(route.path);
      const groups = found.get(version) ?? new Map();
      const tag = (route.operation.tags?.[0] ?? "other").replace(`, ${version}`, "");
      groups.set(tag, [...(groups.get(tag) ?? []), route]);
      found.set(version, groups);
    }
    return [...found]
      .filter(([, groups]) => groups.size)
      .map(([name, groups]) => ({ name, about: known.get(name), groups }));
  }

  /** @returns {Route[]} */
  #routes() {
    return Object.entries(this.document.paths).flatMap(([path, methods]) =>
      METHODS.flatMap((method) => {
        const operation = methods[method];
        return operation ? [{ method, path, operation }] : [];
      }),
    );
  }
}

/**
 * The version that a path belongs to; empty for none.
 * @param {string} path
 */
export const versionOf = (path) => /^\/api\/(v\d+)\//.exec(path)?.[1] ?? "";

/**
 * The body that an operation takes as JSON.
 * @param {Operation} operation
 */
export const jsonBody = (operation) => operation.requestBody?.content["application/json"];

/**
 * The content of the first answer that is a success.
 * @param {Operation} operation
 */
export function contentOfSuccess(operation) {
  const good = Object.entries(operation.responses).find(([status]) => status.startsWith("2"));
  return Object.values(good?.[1].content ?? {})[0];
}

/**
 * What a form asks for, as an address relative to the page's and the options of `fetch`.
 * @param {Route} route
 * @param {(name: string) => string} field A value of the form, by the field's name: `path:user_id`, `query:limit`, `body`.
 * @param {string} token Empty: none.
 * @returns {[address: string, options: RequestInit]}
 */
export function requestOf({ method, path, operation }, field, token) {
  const query = new URLSearchParams();
  /** @type {Record<string, string>} */
  const headers = {};
  let address = path;
  for (const item of operation.parameters ?? []) {
    const value = field(`${item.in}:${item.name}`);
    if (item.in === "path") address = address.replace(`{${item.name}}`, encodeURIComponent(value));
    else if (value !== "" && item.in === "query") query.set(item.name, value);
    else if (value !== "" && item.in === "header") headers[item.name] = value;
  }
  if (token) headers.Authorization = `Bearer ${token}`;
  if (versionOf(path) === "v4") headers["API-Beta"] = "v4";
  /** @type {RequestInit} */
  const options = { method: method.toUpperCase(), headers };
  if (jsonBody(operation)) {
    headers["Content-Type"] = "application/json";
    options.body = field("body");
  }
  return [address.replace(/^\//, "") + (query.size ? `?${query}` : ""), options];
}
