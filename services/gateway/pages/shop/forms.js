// Forms that say what is wrong beside the field that it is about.

import { el, sentence } from "./dom.js";
import { Problem } from "./api.js";

/** A field with its label, hint and place for an error. `name` is what problem documents call it. */
export function field(name, label, attributes = {}, hint = "") {
  const id = `field-${attributes.prefix || ""}${name}`;
  const { prefix, ...rest } = attributes;
  const about = [hint && `${id}-hint`, `${id}-error`].filter(Boolean).join(" ");
  return el("div", { class: "field" }, el("label", { for: id }, label),
    el("input", { id, name, "aria-describedby": about, ...rest }),
    hint ? el("p", { class: "hint", id: `${id}-hint` }, hint) : null,
    el("p", { class: "error", id: `${id}-error` }));
}

function mark(form, name, text) {
  const input = form.elements.namedItem(name);
  const place = input && form.querySelector(`#${CSS.escape(input.id)}-error`);
  if (!place) return false;
  place.textContent = text;
  input.toggleAttribute("aria-invalid", false);
  if (text) input.setAttribute("aria-invalid", "true");
  return true;
}

function clear(form) {
  for (const input of form.elements) if (input.name) mark(form, input.name, "");
}

// Lists all missing required fields at once, without a request.
function missing(form) {
  const empty = [...form.elements].filter((input) => input.required && !input.value.trim());
  for (const input of empty) mark(form, input.name, "Is required");
  empty[0]?.focus();
  return empty.length > 0;
}

// What is wrong with a field goes there; what is wrong with none of ours goes to the form.
function report(form, general, problem) {
  const left = [];
  for (const [name, detail] of problem.fields) {
    if (!mark(form, name, sentence(detail))) left.push(`${name} ${detail}`);
  }
  if (problem.reason === "EMAIL_TAKEN" && !problem.fields.size && mark(form, "email", sentence(problem.message))) left.length = 0;
  else if (!problem.fields.size) left.push(problem.message);
  general.textContent = left.map(sentence).join(". ");
  (form.querySelector('[aria-invalid="true"]') || form.querySelector("input"))?.focus();
}

/** Have `work(values)` done when the form is sent; what it rejects with is shown in the form. */
export function wire(form, work) {
  const general = el("p", { class: "error", role: "alert" });
  form.noValidate = true;
  const button = form.querySelector("button[type=submit]");
  button.before(general);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (form.ariaBusy === "true") return;
    clear(form);
    general.textContent = "";
    if (missing(form)) return;
    form.ariaBusy = "true";
    try {
      await work(Object.fromEntries(new FormData(form)));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      report(form, general, error);
    } finally {
      form.ariaBusy = "false";
    }
  });
  return form;
}
