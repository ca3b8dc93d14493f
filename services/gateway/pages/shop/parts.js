// A part of the page that shows a resource of the gateway: loading, loaded or unavailable.

import { backoff, el, pause, sentence, show } from "./dom.js";
import { Problem } from "./api.js";

/** What to say where something could not be had, with a way to try again. */
export function trouble(problem, again) {
  const button = again && el("button", { type: "button", class: "quiet", onclick: again }, "Try again");
  return el("div", { class: `trouble${problem.away ? "" : " bad"}`, role: "status" }, el("span", {}, sentence(problem.message)), button);
}

/** Reads by `read()` and shows by `render(found)` in `node`; where the gateway is away, tries until it is back. */
export class Part {
  #node; #read; #render; #running = null; #shown = false;

  constructor(node, read, render) {
    this.#node = node;
    this.#read = read;
    this.#render = render;
  }

  /** Clears data of another user. */
  empty() {
    this.#running?.abort();
    this.#shown = false;
    show(this.#node);
  }

  async refresh() {
    this.#running?.abort();
    const running = new AbortController();
    this.#running = running;
    for (let attempt = 0; !running.signal.aborted; attempt += 1) {
      try {
        const found = await this.#read(running.signal);
        if (running.signal.aborted) return;
        this.#shown = true;
        this.#render(found);
        return;
      } catch (error) {
        if (running.signal.aborted) return;
        if (!(error instanceof Problem)) throw error;
        this.#fail(error);
        if (!error.away) return;
      }
      await pause(1000 * backoff(attempt), running.signal);
    }
  }

  // What is there stays, with the reason that it may be old above it.
  #fail(problem) {
    const told = trouble(problem, () => this.refresh());
    const before = this.#node.querySelector(":scope > .trouble");
    if (before) before.replaceWith(told);
    else if (this.#shown) this.#node.prepend(told);
    else show(this.#node, told);
  }
}
