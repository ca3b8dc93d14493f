// A part of the page that shows a resource of the gateway: loading, loaded or unavailable.

import { backoff, el, Problem, pause, sentence, show } from "./shared/page.js";

/**
 * What to say where something is unavailable, with a button to try again.
 * @param {Problem} problem
 * @param {() => unknown} [again]
 */
export function trouble(problem, again) {
  const button = again && el("button", { type: "button", class: "quiet", onclick: again }, "Try again");
  return el(
    "div",
    { class: `trouble${problem.away ? "" : " bad"}`, role: "status" },
    el("span", {}, sentence(problem.message)),
    button,
  );
}

/**
 * Reads a resource and shows it in an element; where the gateway is unavailable, tries until it is back.
 * @template Found
 */
export class Part {
  #node;
  #read;
  #render;
  #shown = false;
  /** @type {AbortController | null} */
  #running = null;

  /**
   * @param {Element} node
   * @param {(signal: AbortSignal) => Promise<Found>} read Rejects with a Problem.
   * @param {(found: Found) => void} render
   */
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
    this.#running = new AbortController();
    const { signal } = this.#running;
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      try {
        const found = await this.#read(signal);
        if (signal.aborted) return;
        this.#shown = true;
        this.#render(found);
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof Problem)) throw error;
        this.#fail(error);
        if (!error.away) return;
      }
      await pause(backoff(attempt), signal);
    }
  }

  /**
   * What is there stays, with the reason that it may be old above it.
   * @param {Problem} problem
   */
  #fail(problem) {
    const message = trouble(problem, () => this.refresh());
    const before = this.#node.querySelector(":scope > .trouble");
    if (before) before.replaceWith(message);
    else if (this.#shown) this.#node.prepend(message);
    else show(this.#node, message);
  }
}
