// Buttons that open a panel beside them. Escape and a click elsewhere close it.

import { find } from "./shared/page.js";

/**
 * @param {HTMLElement} holder Has the button and the panel.
 * @param {() => void} [onOpen]
 */
export function popup(holder, onOpen = () => {}) {
  const button = find(holder, "button");
  const panel = find(holder, ".panel");
  /** @param {boolean} open */
  const turn = (open) => {
    panel.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
    if (open) onOpen();
  };
  button.addEventListener("click", () => turn(Boolean(panel.hidden)));
  holder.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || panel.hidden) return;
    turn(false);
    button.focus();
  });
  addEventListener("pointerdown", (event) => {
    const inside = event.target instanceof Node && holder.contains(event.target);
    if (!panel.hidden && !inside) turn(false);
  });
  return {
    close: () => turn(false),
    get open() {
      return !panel.hidden;
    },
  };
}
