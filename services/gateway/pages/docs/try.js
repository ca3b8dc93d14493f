// A form that sends a request of the API, and shows the response as it comes.

import { jsonBody, requestOf } from "./description.js";
import { byId, el, Problem, request } from "./shared/page.js";

/** @import { Description, Parameter, Route } from "./description.js" */

const SHOWN = ["location", "etag", "deprecation", "sunset", "retry-after", "x-trace-id"];
const SECONDS = 3600; // streams may last; a button stops them

/**
 * @param {Route} route
 * @param {Description} api
 * @param {string} traces The address of the page of traces; empty: none.
 */
export function tryIt(route, api, traces) {
  const { method, path, operation } = route;
  const output = el("pre", {
    hidden: true,
    "aria-live": "polite",
    "aria-label": `Response of ${method.toUpperCase()} ${path}`,
    tabindex: "0",
  });
  const stop = el("button", { type: "button", class: "quiet", hidden: true }, "Stop");
  const body = jsonBody(operation);
  const form = el(
    "form",
    {},
    (operation.parameters ?? []).map(field),
    body &&
      el(
        "label",
        {},
        "body (JSON)",
        el("textarea", { name: "body", spellcheck: "false" }, JSON.stringify(api.example(body.schema), null, 2)),
      ),
    el("div", { class: "buttons" }, el("button", { type: "submit" }, "Send"), stop),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(route, form, output, stop, traces);
  });
  return [el("h4", {}, "Try it"), form, output];
}

/** @param {Parameter} item */
function field(item) {
  const [example = ""] = item.examples ?? item.schema.examples ?? [];
  const value = item.schema.default ?? "";
  return el(
    "label",
    {},
    `${item.name} (${item.in})`,
    el("input", {
      name: `${item.in}:${item.name}`,
      value: String(value),
      required: item.required,
      placeholder: String(example ?? ""),
      autocomplete: "off",
      spellcheck: "false",
    }),
  );
}

/**
 * @param {Route} route
 * @param {HTMLFormElement} form
 * @param {HTMLElement} output
 * @param {HTMLButtonElement} stop
 * @param {string} traces
 */
async function send(route, form, output, stop, traces) {
  const controller = new AbortController();
  stop.onclick = () => controller.abort();
  stop.hidden = false;
  output.hidden = false;
  output.classList.remove("bad");
  output.textContent = "…";
  const values = new FormData(form);
  const token = byId("token", HTMLInputElement).value.trim();
  const [address, options] = requestOf(route, (name) => String(values.get(name) ?? ""), token);
  try {
    const response = await request(address, {
      ...options,
      signal: controller.signal,
      server: "The gateway",
      seconds: SECONDS,
    });
    output.classList.toggle("bad", !response.ok);
    await show(response, output, traces);
  } catch (error) {
    if (controller.signal.aborted) output.append("\n(stopped)");
    else {
      output.classList.add("bad");
      if (error instanceof Problem) output.textContent = error.message;
      else output.append(`\nThe response broke off: ${error}`);
    }
  } finally {
    stop.hidden = true;
  }
}

/**
 * @param {Response} response
 * @param {HTMLElement} output
 * @param {string} traces
 */
async function show(response, output, traces) {
  const headers = SHOWN.flatMap((name) =>
    response.headers.has(name) ? [`${name}: ${response.headers.get(name)}`] : [],
  );
  output.textContent = [`${response.status} ${response.statusText}`, ...headers, "", ""].join("\n");
  const trace = response.headers.get("x-trace-id");
  if (trace && traces) output.append("trace: ", el("a", { href: `${traces}/trace/${trace}` }, trace), "\n\n");
  if (response.body && response.headers.get("content-type")?.includes("ndjson")) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) output.append(part.value);
  } else {
    output.append(pretty(await response.text()));
  }
}

/**
 * JSON on several lines; any other text as it is.
 * @param {string} text
 */
export function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
