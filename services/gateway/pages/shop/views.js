// Which view is shown: the part of the address after the #, so that back, forward and links work.

import { byId, find } from "./shared/page.js";

/** @type {Record<string, string>} */
const TITLES = { shop: "Shop", chat: "Chat", live: "Live", api: "API" };
/** @type {Set<() => void>} */
const watchers = new Set();

/** The name of the view. */
export function view() {
  const name = location.hash.slice(1);
  const known = Object.hasOwn(TITLES, name) && !find(document, `.bar nav a[href="#${name}"]`).hidden;
  return known ? name : "shop";
}

/**
 * Calls `watcher` after each change of the view.
 * @param {() => void} watcher
 */
export function watchView(watcher) {
  watchers.add(watcher);
}

/** Whether there is room for the chat beside the rest. */
export const wide = matchMedia("(min-width: 68.01rem)");

const content = () => byId(view() === "chat" ? "talk" : "main");

/** Where the chat is all that is shown, makes it the page's main content, and its title the page's. */
export function settle() {
  const alone = view() === "chat" && !wide.matches;
  /**
   * @param {string} id
   * @param {string} name
   * @param {string} value
   */
  const set = (id, name, value) => {
    const node = document.getElementById(id);
    if (alone) node?.setAttribute(name, value);
    else node?.removeAttribute(name);
  };
  set("talk", "role", "main");
  set("talk-title", "aria-level", "1");
}

function render() {
  const now = view();
  document.body.dataset.view = now;
  document.title = `${TITLES[now]} · Meshwright`;
  for (const link of document.querySelectorAll(".bar nav a")) {
    if (link.getAttribute("href") === `#${now}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  settle();
  // On a wide screen the chat is beside every view, and its address shows the shop.
  const shown = now === "chat" ? "shop" : now;
  for (const section of document.querySelectorAll("main > [data-of]"))
    section.toggleAttribute("hidden", section.getAttribute("data-of") !== shown);
  for (const watcher of watchers) watcher();
}

export function startViews() {
  addEventListener("hashchange", () => {
    render();
    content().focus();
  });
  wide.addEventListener("change", settle);
  // Not by its address: that is the view's.
  find(document, ".skip").addEventListener("click", (event) => {
    event.preventDefault();
    content().focus();
  });
  render();
}
