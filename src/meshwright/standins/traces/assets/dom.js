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

/** A button that copies `text`. */
export function copyButton(text, what) {
  const button = h("button", { type: "button", class: "copy", title: `Copy ${what}`, "aria-label": `Copy ${what}` }, "⧉");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "✓";
      announce(`Copied ${what}`);
    } catch {
      button.textContent = "✗";
      announce("The browser did not allow copying");
    }
    setTimeout(() => (button.textContent = "⧉"), 1200);
  });
  return button;
}
