// The last request, and where its trace is shown.

import { watchRequests } from "./api.js";
import { milliseconds } from "./format.js";
import { byId, el, reachable, show } from "./shared/page.js";

/**
 * @param {string} url Of the trace UI; empty: the gateway knows none.
 */
export function startTrace(url) {
  const traces = reachable(url, location.hostname);
  watchRequests(({ method, path, status, ms, trace }) => {
    const request = `Last request: ${method} ${path.split("?")[0]}, ${status || "no answer"} in ${milliseconds(ms)}`;
    const link = traces
      ? el("a", { href: `${traces}/trace/${trace}`, class: "mono" }, trace)
      : el("span", { class: "mono" }, trace);
    show(byId("trace"), el("span", {}, request, trace ? "; trace " : ""), trace && link);
  });
}
