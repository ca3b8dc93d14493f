// The last request, and where its trace is to be seen.

import { byId, el, milliseconds, show } from "./dom.js";
import { call, watchRequests } from "./api.js";

let address = "";

function tell({ method, path, status, ms, trace }) {
  const words = `Last request: ${method} ${path.split("?")[0]}, ${status || "no answer"} in ${milliseconds(ms)}`;
  const known = trace && (address ? el("a", { href: `${address}/trace/${trace}`, class: "mono" }, trace) : el("span", { class: "mono" }, trace));
  show(byId("trace"), el("span", {}, words, known ? "; trace " : ""), known);
}

export function startTrace() {
  watchRequests(tell);
  call("GET", "/shop/settings.json", { anonymous: true }).then((settings) => { address = settings.traces_url; }, () => {});
}
