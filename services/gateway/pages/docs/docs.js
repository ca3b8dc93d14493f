// Shows /openapi.json, and sends requests to each operation. No library, nothing from elsewhere.

import { Description } from "./description.js";
import { byId, find, Problem, plural, reachable, readJson, words } from "./shared/page.js";
import { contentsView, prose, sectionView } from "./views.js";

/** @import { Versions } from "./description.js" */

/** Opens the operation that the address names. */
function openLinked() {
  const target = document.getElementById(location.hash.slice(1));
  if (!(target instanceof HTMLDetailsElement)) return;
  byId("find", HTMLInputElement).value = "";
  filter("");
  target.open = true;
  target.scrollIntoView();
}

/**
 * Shows the operations of which each word is in the method, the path or the name.
 * @param {string} text
 */
function filter(text) {
  const wanted = words(text);
  let shown = 0;
  for (const operation of document.querySelectorAll("details")) {
    if (!operation.matches(".operation")) continue;
    const summary = find(operation, "summary").textContent?.toLowerCase() ?? "";
    operation.hidden = !wanted.every((word) => summary.includes(word));
    find(document, `[data-for="${operation.id}"]`).hidden = operation.hidden;
    shown += operation.hidden ? 0 : 1;
  }
  for (const part of document.querySelectorAll(".group, section.version")) {
    part.toggleAttribute("hidden", !part.querySelector("details.operation:not([hidden]), li:not([hidden])"));
  }
  for (const list of document.querySelectorAll("details")) {
    if (!list.matches(".contents")) continue;
    list.hidden = !list.querySelector("li:not([hidden])");
    list.open = wanted.length > 0 || list.hasAttribute("data-open");
  }
  byId("found").textContent = wanted.length ? plural(shown, "operation") : "";
}

/**
 * @param {Description} api
 * @param {Versions} versions
 * @param {string} traces
 */
function render(api, versions, traces) {
  const { info } = api.document;
  document.title = info.title;
  byId("title").textContent = info.title;
  byId("description").append(...prose(info.description));
  byId("version").textContent = `version ${info.version}`;
  byId("operations").replaceChildren();
  for (const section of api.sections(versions)) {
    byId("operations").append(sectionView(section, api, traces));
    byId("contents").append(contentsView(section, !section.name || section.name === versions.current));
  }
  const search = byId("find", HTMLInputElement);
  search.addEventListener("input", () => filter(search.value));
  addEventListener("hashchange", openLinked);
  openLinked();
}

/** @param {string} address */
const read = (address) => readJson(address, { server: "The gateway" });

// The page works without settings: only links to traces are missing then.
const settings = read("shop/settings.json").catch(() => ({ traces_url: "" }));

try {
  const [document, versions, { traces_url: url }] = await Promise.all([
    read("openapi.json"),
    read("api/versions"),
    settings,
  ]);
  render(new Description(document), versions, reachable(url, location.hostname));
} catch (error) {
  if (!(error instanceof Problem)) throw error;
  const status = byId("status");
  status.classList.add("bad");
  status.textContent = `The API's description is unavailable: ${error.message} Reload the page to try again.`;
}
