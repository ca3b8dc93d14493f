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

function turn(event) {
  const now = view();
  document.body.dataset.view = now;
  document.title = `${TITLES[now]} · Meshwright`;
  for (const link of document.querySelectorAll(".bar nav a")) {
    const own = link.hash === `#${now}`;
    if (own) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  // On a wide screen the chat is beside every view, and its address shows the shop.
  for (const section of document.querySelectorAll("main > [data-of]")) section.hidden = section.dataset.of !== (now === "chat" ? "shop" : now);
  if (event) (now === "chat" ? byId("talk") : byId("main")).focus();
  for (const watcher of watchers) watcher(now);
}

export function startViews() {
  addEventListener("hashchange", (event) => { if (location.hash !== "#main") turn(event); });
  turn(null);
}
