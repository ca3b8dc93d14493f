// The last request, and where its trace is to be seen.

import { byId, el, milliseconds, show } from "./dom.js";
import { watchRequests } from "./api.js";

let address = "";

function tell({ method, path, status, ms, trace }) {
  const words = `Last request: ${method} ${path.split("?")[0]}, ${status || "no answer"} in ${milliseconds(ms)}`;
  const known = trace && (address ? el("a", { href: `${address}/trace/${trace}`, class: "mono" }, trace) : el("span", { class: "mono" }, trace));
  show(byId("trace"), el("span", {}, words, known ? "; trace " : ""), known);
}

/** `url`: where people look at traces; empty where the gateway does not know. */
export function startTrace(url) {
  address = url;
  watchRequests(tell);
}
