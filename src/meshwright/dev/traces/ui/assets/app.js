// The page's frame: which view belongs to the address, links that do not reload, and the keys that work everywhere.

import { live, services } from "./api.js";
import { dependenciesView } from "./dependencies.js";
import { assignHues } from "./format.js";
import { searchView } from "./search.js";
import { byId, el, find } from "./shared/page.js";
import { traceView } from "./trace.js";

/** @typedef {{ key?: (event: KeyboardEvent, typing: boolean) => void, leave?: () => void }} View */
/**
 * @typedef {object} Context What a view may do with the page.
 * @property {(address: string) => void} go Shows another address.
 * @property {(address: string) => void} note Changes the address of what is shown.
 * @property {string} lastSearch The address of the last search.
 */

const main = byId("main");
const keys = byId("keys", HTMLDialogElement);
/** @type {View | null} */
let view = null;
let turn = 0;

/** @type {Context} */
const context = {
  lastSearch: "/search",
  go(address) {
    history.pushState({}, "", address);
    display();
  },
  note(address) {
    history.replaceState({}, "", address);
    if (address.startsWith("/search")) context.lastSearch = address;
  },
};

/**
 * @param {Location} location
 * @returns {View}
 */
function viewOf(location) {
  const id = location.pathname.match(/^\/trace\/([^/]+)$/)?.[1];
  if (id) return traceView(main, decodeURIComponent(id), new URLSearchParams(location.search), context);
  if (location.pathname === "/dependencies") return dependenciesView(main, context);
  context.lastSearch = `/search${location.search}`;
  return searchView(main, new URLSearchParams(location.search), context);
}

async function display() {
  turn += 1;
  const own = turn;
  view?.leave?.();
  view = null;
  live.listen(null);
  main.replaceChildren();
  window.scrollTo(0, 0);
  const page = location.pathname.startsWith("/dependencies") ? "dependencies" : "search";
  for (const link of document.querySelectorAll("[data-page]")) {
    if (link.matches(`[data-page="${page}"]`)) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  try {
    assignHues(await services());
  } catch {
    // The view asks too, and says what is wrong.
  }
  if (own !== turn) return;
  view = viewOf(location);
  main.focus({ preventScroll: true });
}

/**
 * The nearest element around the event's that the selector matches.
 * @param {Event} event
 * @param {string} selector
 */
const around = (event, selector) => (event.target instanceof Element ? event.target.closest(selector) : null);

document.addEventListener("click", (event) => {
  const link = around(event, "a[href]");
  if (!(link instanceof HTMLAnchorElement) || event.defaultPrevented || event.button) return;
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  if (link.origin !== location.origin || link.target || link.getAttribute("href")?.startsWith("#")) return;
  event.preventDefault();
  context.go(link.dataset.page === "search" ? context.lastSearch : link.pathname + link.search);
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || keys.open) return;
  const typing = around(event, "input, select, textarea");
  if (event.key === "/" && !typing) {
    event.preventDefault();
    const field = main.querySelector("[data-find]");
    (field instanceof HTMLElement && field.offsetParent ? field : find(document, "#jump input")).focus();
  } else if (event.key === "?" && !typing) {
    keys.showModal();
  } else {
    view?.key?.(event, Boolean(typing));
  }
});

byId("help").addEventListener("click", () => keys.showModal());
byId("jump").addEventListener("submit", (event) => {
  event.preventDefault();
  const field = find(document, "#jump input", HTMLInputElement);
  const id = field.value.trim();
  if (!id) return;
  field.value = "";
  context.go(`/trace/${encodeURIComponent(id)}`);
});
window.addEventListener("popstate", display);
window.addEventListener("error", (event) => main.prepend(el("p", { class: "problem", role: "alert" }, event.message)));

live.restore();
display();
