// One trace: reads it, and again while live is on.

import { live, trace } from "./api.js";
import { el, Problem } from "./shared/page.js";
import { TraceView } from "./trace_view.js";
import { makeTree } from "./tree.js";

/** @import { Context, View } from "./app.js" */

/**
 * @param {HTMLElement} main
 * @param {string} id
 * @param {URLSearchParams} parameters
 * @param {Context} context
 * @returns {View}
 */
export function traceView(main, id, parameters, context) {
  document.title = "Trace · Traces";
  main.append(el("p", { class: "loading" }, "Loading the trace…"));
  const wanted = parameters.get("uiFind") ?? "";
  /** @type {TraceView | null} */
  let view = null;
  let gone = false;
  let busy = false;

  async function load() {
    try {
      const tree = makeTree(await trace(id));
      if (gone) return;
      view = new TraceView({ main, id, context }, tree, wanted);
      live.listen(refresh);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      main.replaceChildren(unavailable(error, context));
    }
  }

  // Takes in spans that have come since, and keeps what is folded, found and open.
  async function refresh() {
    if (busy || !view) return;
    busy = true;
    try {
      const found = await trace(id);
      if (!gone && found.spans.length !== view.size) view = view.replaced(makeTree(found));
    } catch (error) {
      // The next change tries again.
      if (!(error instanceof Problem)) throw error;
    } finally {
      busy = false;
    }
  }

  load();
  return {
    key: (event, typing) => view?.key(event, typing),
    leave() {
      gone = true;
      view?.leave();
    },
  };
}

/**
 * @param {Problem} problem
 * @param {Context} context
 */
function unavailable(problem, context) {
  const absent = problem.status === 404;
  return el(
    "div",
    { class: "empty" },
    el("h1", { class: "empty-title" }, absent ? "This trace is not in the store." : "The trace cannot be shown."),
    el("p", {}, absent ? "It has not arrived yet, or the store has dropped it for newer ones." : problem.message),
    el("p", {}, el("a", { href: context.lastSearch }, "Back to the search")),
  );
}
