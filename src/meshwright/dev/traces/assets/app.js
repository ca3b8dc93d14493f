// The page's frame: which view belongs to the address, links that do not reload, and the keys that work everywhere.

import { get, live } from "./api.js";
import { dependenciesView } from "./dependencies.js";
import { h } from "./dom.js";
import { assignHues } from "./format.js";
import { searchView } from "./search.js";
import { traceView } from "./trace.js";

const main = document.getElementById("main");
const keys = document.getElementById("keys");
let view = null;
let lastSearch = "/search";

function viewOf(location) {
  const trace = location.pathname.match(/^\/trace\/([^/]+)$/);
  if (trace) return traceView(main, decodeURIComponent(trace[1]), new URLSearchParams(location.search), context);
  if (location.pathname === "/dependencies") return dependenciesView(main, context);
  lastSearch = `/search${location.search}`;
  return searchView(main, new URLSearchParams(location.search), context);
}

const context = {
  go(address, { replace = false } = {}) {
    history[replace ? "replaceState" : "pushState"]({}, "", address);
    show();
  },
  note(address) {
    history.replaceState({}, "", address);
    if (address.startsWith("/search")) lastSearch = address;
  },
  get lastSearch() {
    return lastSearch;
  },
};

async function show() {
  view?.leave?.();
  live.listen(null);
  main.replaceChildren();
  window.scrollTo(0, 0);
  const page = location.pathname.startsWith("/dependencies") ? "dependencies" : "search";
  for (const link of document.querySelectorAll("[data-page]")) {
    if (link.dataset.page === page) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  try {
    assignHues(await get("/api/services"));
  } catch {
    // The view asks too, and says what is wrong.
  }
  view = viewOf(location);
  main.focus({ preventScroll: true });
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  if (link.origin !== location.origin || link.target || link.getAttribute("href").startsWith("#")) return;
  event.preventDefault();
  context.go(link.dataset.page === "search" ? lastSearch : link.pathname + link.search);
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || keys.open) return;
  const typing = event.target.closest?.("input, select, textarea");
  if (event.key === "/" && !typing) {
    event.preventDefault();
    const field = main.querySelector("[data-find]");
    (field?.offsetParent ? field : document.querySelector("#jump input")).focus();
  } else if (event.key === "?" && !typing) {
    keys.showModal();
  } else {
    view?.key?.(event, Boolean(typing));
  }
});

document.getElementById("help").addEventListener("click", () => keys.showModal());
document.getElementById("jump").addEventListener("submit", (event) => {
  event.preventDefault();
  const field = event.target.elements.id;
  const id = field.value.trim();
  if (!id) return;
  field.value = "";
  context.go(`/trace/${encodeURIComponent(id)}`);
});
window.addEventListener("popstate", show);
window.addEventListener("error", (event) => main.prepend(h("p", { class: "problem", role: "alert" }, event.message)));

live.restore();
show();
