// The API's versions: the same user as each of them shows it, what each says of its own end, and the matrix of all.

import { byId, day, el, sentence, show } from "./dom.js";
import { ask, call, problemOf, Problem } from "./api.js";
import { Part, trouble } from "./parts.js";
import { signedIn, watchSession } from "./session.js";

const TOLD = ["api-version", "deprecation", "sunset", "link", "etag"];
const KINDS = { current: "good", supported: "", deprecated: "warn", beta: "busy", sunset: "bad" };
let matrix = null;
let chosen = "";
let part = null;
let asked = null;

const rowOf = (name) => matrix.versions.find((item) => item.version === name);

function option(item) {
  const id = `version-${item.version}`;
  return [el("input", { type: "radio", name: "version", id, value: item.version, class: "hidden", checked: item.version === chosen,
    onchange: () => choose(item.version) }), el("label", { for: id }, item.version, el("span", { class: `badge ${KINDS[item.status]}` }, item.status))];
}

// From headers, as any client would know it: Deprecation is a date in seconds (RFC 9745), Sunset a date in words (RFC 8594).
function ending(headers) {
  const since = /^@(\d+)$/.exec(headers.get("deprecation") || "");
  const until = headers.get("sunset");
  const next = /<([^>]+)>;\s*rel="successor-version"/.exec(headers.get("link") || "");
  const parts = [since && `deprecated since ${day(Number(since[1]) * 1000)}`, until && `answers until ${day(until)}`].filter(Boolean);
  if (!parts.length) return null;
  const words = `This version is ${parts.join(", and ")}.`.replace("is answers", "answers");
  return el("p", { class: since ? "trouble" : "soft", id: "ending" }, words, next ? el("span", {}, " Go on at ", el("span", { class: "mono" }, next[1])) : "");
}

function fields(body, before) {
  const lines = Object.entries(body).map(([name, value]) => {
    const fresh = before && !(name in before);
    return el("div", { class: fresh ? "fresh" : "" }, el("dt", { class: "mono" }, name),
      el("dd", { class: "mono" }, JSON.stringify(value), fresh ? el("span", { class: "badge good" }, "new here") : null));
  });
  const gone = before ? Object.keys(before).filter((name) => !(name in body)) : [];
  return [el("dl", { class: "fields" }, lines), gone.length ? el("p", { class: "hint" }, `Not here any more: ${gone.join(", ")}.`) : null];
}

async function askVersion(name, signal) {
  const item = rowOf(name);
  const headers = item.opt_in || {};
  const path = `${item.base}/users/${signedIn().subject}`;
  const response = await ask("GET", path, { signal, headers });
  const body = await response.clone().json();
  return { name, path, headers, response, body };
}

function before(name) {
  const at = matrix.versions.findIndex((item) => item.version === name);
  return at > 0 ? matrix.versions[at - 1].version : "";
}

async function choose(name) {
  chosen = name;
  asked?.abort();
  asked = new AbortController();
  const { signal } = asked;
  const place = byId("version-body");
  try {
    const found = await askVersion(name, signal);
    const older = before(name) ? await askVersion(before(name), signal) : null;
    if (!signal.aborted) show(place, await answer(found, older));
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof Problem)) throw error;
    show(place, trouble(error, () => choose(name)));
  }
}

async function answer({ name, path, headers, response, body }, older) {
  const sent = Object.entries(headers).map(([key, value]) => `${key}: ${value}`);
  const told = TOLD.filter((header) => response.headers.get(header)).map((header) => [header, response.headers.get(header)]);
  const problem = response.ok ? null : await problemOf(response);
  return [el("p", { class: "mono request" }, [`GET ${path}`, ...sent].join("  ")),
    el("p", {}, el("span", { class: `badge ${response.ok ? "good" : "warn"}` }, `${response.status}`), ` ${rowOf(name).features}`),
    ending(response.headers),
    problem ? el("p", { class: "trouble" }, `${sentence(problem.message)}.`, problem.reason === "NO_TENANT" ? " Tenants are what this version adds; your account is of none." : "") : null,
    el("h2", { class: "minor" }, "Headers"),
    el("dl", { class: "fields told" }, told.map(([header, value]) => el("div", {}, el("dt", { class: "mono" }, header), el("dd", { class: "mono" }, value)))),
    response.ok ? el("h2", { class: "minor" }, "Body") : null,
    response.ok ? fields(body, older?.response.ok ? older.body : null) : null];
}

function render(found) {
  matrix = found;
  chosen ||= found.current;
  const heads = ["Version", "Status", "Adds", "Deprecated", "Until"];
  const rows = found.versions.map((item) => el("tr", {}, el("th", { scope: "row" }, item.version),
    el("td", {}, el("span", { class: `badge ${KINDS[item.status]}` }, item.status)), el("td", {}, item.features),
    el("td", {}, item.deprecated_at ? day(item.deprecated_at) : "–"), el("td", {}, item.sunset_at ? day(item.sunset_at) : "–")));
  show(byId("matrix"), el("h2", {}, "How long each version stays"),
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Versions of the API" },
      el("table", {}, el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))), el("tbody", {}, rows))));
  renderSwitch();
}

function renderSwitch() {
  if (!matrix) return;
  if (!signedIn()) {
    asked?.abort();
    show(byId("version"), el("p", { class: "empty" }, "Sign in, and see your own account in each version."));
    return;
  }
  show(byId("version"), el("fieldset", { class: "switch" }, el("legend", {}, "Your account, as this version has it"), matrix.versions.map(option)),
    el("div", { id: "version-body", "aria-live": "polite" }));
  choose(chosen);
}

export function startVersions() {
  part = new Part(byId("matrix"), (signal) => call("GET", "/api/versions", { signal, anonymous: true }), render);
  part.refresh();
  watchSession(renderSwitch);
}
