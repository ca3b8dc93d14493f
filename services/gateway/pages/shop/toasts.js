// Short news in a corner: read out politely, and gone after a while unless somebody looks at them.

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
