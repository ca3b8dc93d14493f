// The whole trace in little: one line per span, and a range to zoom into by dragging.

import { hue, offset } from "./format.js";
import { duration, el } from "./shared/page.js";

/** @import { Tree } from "./tree.js" */
/** @typedef {[from: number, to: number]} Range Shares of the trace's time, from 0 to 1. */

/**
 * @param {Tree} tree
 * @param {(range: Range) => void} onRange Called when another range is shown.
 */
export function minimap(tree, onRange) {
  const canvas = el("canvas", { height: "64" });
  const shade = el("div", { class: "shade", hidden: true });
  const reset = el("button", { type: "button", class: "plain reset", hidden: true }, "Show all");
  const element = el("div", { class: "minimap", title: "Drag to zoom" }, canvas, shade, reset);
  /** @type {Range} */
  let range = [0, 1];
  /** @type {number | null} */
  let from = null;

  /** @param {PointerEvent} event */
  function at(event) {
    const box = canvas.getBoundingClientRect();
    return Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
  }

  /** @param {Range} range */
  function mark([a, b]) {
    shade.hidden = a === 0 && b === 1;
    shade.style.setProperty("--from", String(a));
    shade.style.setProperty("--to", String(b));
  }

  /** @param {Range} next */
  function set(next) {
    range = next;
    reset.hidden = range[0] === 0 && range[1] === 1;
    reset.textContent = reset.hidden
      ? ""
      : `${offset(range[0] * tree.duration)} – ${duration(range[1] * tree.duration)}  ✕`;
    reset.setAttribute("aria-label", "Undo the zoom");
    mark(range);
    onRange(range);
  }

  canvas.addEventListener("pointerdown", (event) => {
    from = at(event);
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (from !== null) mark([Math.min(from, at(event)), Math.max(from, at(event))]);
  });
  canvas.addEventListener("pointerup", (event) => {
    if (from === null) return;
    /** @type {Range} */
    const chosen = [Math.min(from, at(event)), Math.max(from, at(event))];
    from = null;
    set(chosen[1] - chosen[0] > 0.005 ? chosen : range);
  });
  canvas.addEventListener("dblclick", () => set([0, 1]));
  reset.addEventListener("click", () => set([0, 1]));

  const draw = () => paint(canvas, tree);
  const observer = new ResizeObserver(draw);
  observer.observe(canvas);
  const theme = matchMedia("(prefers-color-scheme: dark)");
  theme.addEventListener("change", draw);
  return {
    element,
    set,
    get zoomed() {
      return range[0] !== 0 || range[1] !== 1;
    },
    leave() {
      observer.disconnect();
      theme.removeEventListener("change", draw);
    },
  };
}

/**
 * Draws each span as a line.
 * @param {HTMLCanvasElement} canvas
 * @param {Tree} tree
 */
function paint(canvas, tree) {
  const pen = canvas.getContext("2d");
  if (!pen) return;
  const scale = devicePixelRatio || 1;
  canvas.width = Math.max(canvas.getBoundingClientRect().width * scale, 1);
  canvas.height = 64 * scale;
  const style = getComputedStyle(canvas);
  const [light, chroma, error] = ["--bar-l", "--bar-c", "--error"].map((name) => style.getPropertyValue(name));
  const tall = canvas.height - 8 * scale;
  const rows = Math.max(tree.ordered.length, 12);
  const height = Math.max(Math.max(tall / rows, 0.6 * scale) * 0.8, 0.8 * scale);
  for (const [row, span] of tree.ordered.entries()) {
    pen.fillStyle = (span.failed && error) || `oklch(${light} ${chroma} ${hue(span.service)})`;
    const x = ((span.start - tree.start) / tree.duration) * canvas.width;
    const width = Math.max((span.duration / tree.duration) * canvas.width, 1.5 * scale);
    pen.fillRect(x, 4 * scale + (row / rows) * tall, width, height);
  }
}
