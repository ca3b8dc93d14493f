// Short messages in a corner, announced politely and hidden after a while.

import { byId, el } from "./shared/page.js";

const MILLISECONDS = 7000;
const MOST = 3;

/**
 * @param {string} title
 * @param {string} [text]
 * @param {string} [kind] "good", "bad", "warn", or none.
 */
export function toast(title, text = "", kind = "") {
  const place = byId("toasts");
  const node = el("div", { class: `toast ${kind}` }, el("strong", {}, title), text ? el("span", {}, text) : null);
  place.append(node);
  while (place.children.length > MOST) place.firstChild?.remove();
  setTimeout(() => node.remove(), MILLISECONDS);
}
