// Buttons that open a panel beside them. Escape and a click elsewhere close it.

export function popup(holder, opened = () => {}) {
  const button = holder.querySelector("button");
  const panel = holder.querySelector(".panel");
  const turn = (open) => {
    panel.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
    if (open) opened();
  };
  button.addEventListener("click", () => turn(panel.hidden));
  holder.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || panel.hidden) return;
    turn(false);
    button.focus();
  });
  addEventListener("pointerdown", (event) => { if (!panel.hidden && !holder.contains(event.target)) turn(false); });
  return { close: () => turn(false), get open() { return !panel.hidden; } };
}
