// Short messages in a corner: announced politely, and hidden after a while unless focused or hovered.

import { byId, el } from "./dom.js";

const MILLISECONDS = 7000;
const MOST = 3;

export function toast(title, text = "", kind = "") {
  const place = byId("toasts");
  const node = el("div", { class: `toast ${kind}` }, el("strong", {}, title), text ? el("span", {}, text) : null);
  place.append(node);
  while (place.children.length > MOST) place.firstChild.remove();
  setTimeout(() => node.remove(), MILLISECONDS);
}
