// The API's versions: the same user as each of them shows it, what each says of its own end, and the matrix of all.

import { ask, call } from "./api.js";
import { Part, trouble } from "./parts.js";
import { signedIn, watchSession } from "./session.js";
import { byId, day, el, Problem, problemOf, sentence, show } from "./shared/page.js";

/** @import { ApiVersion, Versions } from "./resources.js" */
/** @typedef {Record<string, unknown>} Body */
/** @typedef {{ name: string, path: string, headers: Record<string, string>, response: Response, body: Body }} Answer */

const HEADERS = ["api-version", "deprecation", "sunset", "link", "etag"];
const KINDS = new Map([
  ["current", "good"],
  ["deprecated", "warn"],
  ["beta", "busy"],
  ["sunset", "bad"],
]);
/** @type {ApiVersion[]} */
let versions = [];
let chosen = "";
/** @type {AbortController | null} */
let asked = null;

/** @param {ApiVersion} item */
const badge = (item) => el("span", { class: `badge ${KINDS.get(item.status) ?? ""}` }, item.status);

/** @param {ApiVersion} item */
function option(item) {
  const id = `version-${item.version}`;
  return [
    el("input", {
      type: "radio",
      name: "version",
      id,
      value: item.version,
      class: "hidden",
      checked: item.version === chosen,
      onchange: () => choose(item.version),
    }),
    el("label", { for: id }, item.version, badge(item)),
  ];
}

/**
 * What the headers of a response say of the version's end, as any client would know it: Deprecation is a date in seconds
 * (RFC 9745), Sunset a date in words (RFC 8594). Null if they say nothing.
 * @param {Headers} headers
 */
export function endingOf(headers) {
  const since = /^@(\d+)$/.exec(headers.get("deprecation") ?? "")?.[1];
  const until = headers.get("sunset");
  const next = /<([^>]+)>;\s*rel="successor-version"/.exec(headers.get("link") ?? "")?.[1] ?? "";
  const parts = [
    since && `is deprecated since ${day(Number(since) * 1000)}`,
    until && `answers until ${day(until)}`,
  ].filter(Boolean);
  return parts.length ? { text: `This version ${parts.join(", and ")}.`, deprecated: Boolean(since), next } : null;
}

/** @param {Headers} headers */
function ending(headers) {
  const found = endingOf(headers);
  if (!found) return null;
  return el(
    "p",
    { class: found.deprecated ? "trouble" : "soft", id: "ending" },
    found.text,
    found.next ? el("span", {}, " Go on at ", el("span", { class: "mono" }, found.next)) : "",
  );
}

/**
 * The fields of a body, with what is new since the version before.
 * @param {Body} body
 * @param {Body | null} before
 */
function fields(body, before) {
  const lines = Object.entries(body).map(([name, value]) => {
    const fresh = before !== null && !(name in before);
    return el(
      "div",
      { class: fresh ? "fresh" : "" },
      el("dt", { class: "mono" }, name),
      el(
        "dd",
        { class: "mono" },
        JSON.stringify(value),
        fresh ? el("span", { class: "badge good" }, "new here") : null,
      ),
    );
  });
  const gone = Object.keys(before ?? {}).filter((name) => !(name in body));
  return [
    el("dl", { class: "fields" }, lines),
    gone.length ? el("p", { class: "hint" }, `Removed in this version: ${gone.join(", ")}.`) : null,
  ];
}

/**
 * @param {ApiVersion} item
 * @param {AbortSignal} signal
 * @returns {Promise<Answer>}
 */
async function read(item, signal) {
  const headers = item.opt_in ?? {};
  const path = `${item.base}/users/${signedIn()?.subject}`;
  const response = await ask("GET", path, { signal, headers });
  return { name: item.version, path, headers, response, body: await response.clone().json() };
}

/** @param {string} name */
async function choose(name) {
  chosen = name;
  asked?.abort();
  asked = new AbortController();
  const { signal } = asked;
  const at = versions.findIndex((item) => item.version === name);
  const [item, before] = [versions[at], versions[at - 1]];
  if (!item) return;
  const place = byId("version-body");
  try {
    const found = await read(item, signal);
    const older = before ? await read(before, signal) : null;
    const problem = found.response.ok ? null : await problemOf(found.response);
    if (!signal.aborted) show(place, answerView(found, item, older, problem));
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof Problem)) throw error;
    show(
      place,
      trouble(error, () => choose(name)),
    );
  }
}

/**
 * @param {Answer} answer
 * @param {ApiVersion} item
 * @param {Answer | null} older The same by the version before.
 * @param {Problem | null} problem
 */
function answerView({ path, headers, response, body }, item, older, problem) {
  const sent = Object.entries(headers).map(([key, value]) => `${key}: ${value}`);
  const received = HEADERS.filter((header) => response.headers.has(header));
  return [
    el("p", { class: "mono request" }, [`GET ${path}`, ...sent].join("  ")),
    el("p", {}, el("span", { class: `badge ${problem ? "warn" : "good"}` }, response.status), ` ${item.features}`),
    ending(response.headers),
    problem &&
      el(
        "p",
        { class: "trouble" },
        `${sentence(problem.message)}.`,
        problem.reason === "NO_TENANT" ? " This version adds tenants; your account has none." : "",
      ),
    el("h2", { class: "minor" }, "Headers"),
    el(
      "dl",
      { class: "fields told" },
      received.map((header) =>
        el("div", {}, el("dt", { class: "mono" }, header), el("dd", { class: "mono" }, response.headers.get(header))),
      ),
    ),
    problem ? null : [el("h2", { class: "minor" }, "Body"), fields(body, older?.response.ok ? older.body : null)],
  ];
}

/** @param {Versions} found */
function render(found) {
  versions = found.versions;
  chosen ||= found.current;
  const heads = ["Version", "Status", "Adds", "Deprecated", "Until"];
  const rows = versions.map((item) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, item.version),
      el("td", {}, badge(item)),
      el("td", {}, item.features),
      el("td", {}, item.deprecated_at ? day(item.deprecated_at) : "–"),
      el("td", {}, item.sunset_at ? day(item.sunset_at) : "–"),
    ),
  );
  show(
    byId("matrix"),
    el("h2", {}, "How long each version stays"),
    el(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": "Versions of the API" },
      el(
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
        el("tbody", {}, rows),
      ),
    ),
  );
  renderSwitch();
}

function renderSwitch() {
  if (!versions.length) return;
  if (!signedIn()) {
    asked?.abort();
    show(byId("version"), el("p", { class: "empty" }, "Sign in, and see your own account in each version."));
    return;
  }
  show(
    byId("version"),
    el("fieldset", { class: "switch" }, el("legend", {}, "Your account in version"), versions.map(option)),
    el("div", { id: "version-body", "aria-live": "polite" }),
  );
  choose(chosen);
}

export function startVersions() {
  new Part(byId("matrix"), (signal) => call("GET", "/api/versions", { signal, anonymous: true }), render).refresh();
  watchSession(renderSwitch);
}
