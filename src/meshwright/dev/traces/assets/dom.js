// Elements made from values. Text always goes in as text: what spans carry is whatever somebody sent.

const SVG = "http://www.w3.org/2000/svg";

/** An element: properties that start with "on" are listeners, `style` is a map of custom properties. */
export function h(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** The same for SVG. */
export function s(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, item] of Object.entries(value)) element.style.setProperty(key, item);
    else if (name === "text") element.textContent = value;
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Says something to who listens instead of looking. */
export function announce(text) {
  document.getElementById("status").textContent = text;
}

const SHEETS = "M6 5.5h7.5v8.5H6zM10.5 5.5V2H2.5v9H6";
const TICK = "M3 8.5l3.5 3.5L13 4.5";
const CROSS = "M4 4l8 8M12 4l-8 8";

/** Text with places to break after dots and slashes, for names such as `demo.user.v1.UserService/GetUser`. */
export function breakable(text) {
  return text.split(/(?<=[./_])/).flatMap((part, at) => (at ? [h("wbr"), part] : [part]));
}

/** A button that copies `text`. */
export function copyButton(text, what) {
  const icon = (path) => s("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, s("path", { d: path }));
  const button = h("button", { type: "button", class: "copy", title: `Copy ${what}`, "aria-label": `Copy ${what}` }, icon(SHEETS));
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
