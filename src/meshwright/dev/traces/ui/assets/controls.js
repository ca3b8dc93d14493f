// Small things that several views have: announcements, names that may break, buttons that copy.

import { byId, el, svg } from "./shared/page.js";

/**
 * Says something to screen readers.
 * @param {string} text
 */
export function announce(text) {
  byId("status").textContent = text;
}

const SHEETS = "M6 5.5h7.5v8.5H6zM10.5 5.5V2H2.5v9H6";
const TICK = "M3 8.5l3.5 3.5L13 4.5";
const CROSS = "M4 4l8 8M12 4l-8 8";

/**
 * Text with places to break after dots and slashes, for names such as `demo.user.v1.UserService/GetUser`.
 * @param {string} text
 */
export function breakable(text) {
  return text.split(/(?<=[./_])/).flatMap((part, at) => (at ? [el("wbr"), part] : [part]));
}

/**
 * A button that copies `text`.
 * @param {string} text
 * @param {string} what Its name, as in "Copy the trace id".
 */
export function copyButton(text, what) {
  /** @param {string} path */
  const icon = (path) => svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path", { d: path }));
  const button = el(
    "button",
    { type: "button", class: "copy", title: `Copy ${what}`, "aria-label": `Copy ${what}` },
    icon(SHEETS),
  );
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.replaceChildren(icon(TICK));
      announce(`Copied ${what}`);
    } catch {
      button.replaceChildren(icon(CROSS));
      announce("The browser did not allow copying");
    }
    setTimeout(() => button.replaceChildren(icon(SHEETS)), 1200);
  });
  return button;
}
