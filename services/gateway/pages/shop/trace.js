// The last request, and where its trace is to be seen.

import { byId, el, milliseconds, show } from "./dom.js";
import { watchRequests } from "./api.js";

let address = "";

function tell({ method, path, status, ms, trace }) {
  const words = `Last request: ${method} ${path.split("?")[0]}, ${status || "no answer"} in ${milliseconds(ms)}`;
  const known = trace && (address ? el("a", { href: `${address}/trace/${trace}`, class: "mono" }, trace) : el("span", { class: "mono" }, trace));
  show(byId("trace"), el("span", {}, words, known ? "; trace " : ""), known);
}

const LOOPBACK = /^(localhost|127\.[0-9.]+|\[::1\])$/;

/** Whether an address on the gateway's own machine is of no use to the one that shows this page. */
function elsewhere(url) {
  return url !== "" && LOOPBACK.test(new URL(url).hostname) && !LOOPBACK.test(location.hostname);
}

/** `url`: where people look at traces; empty where the gateway does not know. */
export function startTrace(url) {
  address = elsewhere(url) ? "" : url;
  watchRequests(tell);
}
