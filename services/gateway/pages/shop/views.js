// Which view is shown: the part of the address after the #, so that back, forward and links work.

import { byId } from "./dom.js";

const TITLES = { shop: "Shop", chat: "Chat", live: "Live", api: "API" };
const watchers = new Set();

export function view() {
  const name = location.hash.slice(1);
  const known = Object.hasOwn(TITLES, name) && !document.querySelector(`.bar nav a[href="#${name}"]`).hidden;
  return known ? name : "shop";
}

/** `watcher(view)` is called at each change. */
export function watchView(watcher) { watchers.add(watcher); }

/** Whether there is room for the chat beside the rest. */
export const wide = matchMedia("(min-width: 68.01rem)");

const content = () => byId(view() === "chat" ? "talk" : "main");

// Where the chat is all that there is, it is the page's content, and its title the page's.
export function settle() {
  const alone = view() === "chat" && !wide.matches;
  const set = (node, name, value) => (alone ? node?.setAttribute(name, value) : node?.removeAttribute(name));
  set(byId("talk"), "role", "main");
  set(byId("talk-title"), "aria-level", "1");
}

function turn(event) {
  const now = view();
  document.body.dataset.view = now;
  document.title = `${TITLES[now]} · Meshwright`;
  for (const link of document.querySelectorAll(".bar nav a")) {
    const own = link.hash === `#${now}`;
    if (own) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  settle();
  // On a wide screen the chat is beside every view, and its address shows the shop.
  for (const section of document.querySelectorAll("main > [data-of]")) section.hidden = section.dataset.of !== (now === "chat" ? "shop" : now);
  if (event) content().focus();
  for (const watcher of watchers) watcher(now);
}

export function startViews() {
  addEventListener("hashchange", turn);
  wide.addEventListener("change", settle);
  // Not by its address: that is the view's.
  document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); content().focus(); });
  turn(null);
}
