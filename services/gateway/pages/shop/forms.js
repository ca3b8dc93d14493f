// Forms that say what is wrong beside the field that it is about.

import { el, find, Problem, sentence } from "./shared/page.js";

/** @import { Attributes } from "./shared/page.js" */

/**
 * A field with its label, hint and place for an error.
 * @param {string} name What problem documents call it.
 * @param {string} label
 * @param {Attributes & { prefix?: string }} [attributes] `prefix`: of its id, where two forms have fields of one name.
 * @param {string} [hint]
 */
export function field(name, label, { prefix = "", ...attributes } = {}, hint = "") {
  const id = `field-${prefix}${name}`;
  const about = [hint && `${id}-hint`, `${id}-error`].filter(Boolean).join(" ");
  return el(
    "div",
    { class: "field" },
    el("label", { for: id }, label),
    el("input", { id, name, "aria-describedby": about, ...attributes }),
    hint ? el("p", { class: "hint", id: `${id}-hint` }, hint) : null,
    el("p", { class: "error", id: `${id}-error` }),
  );
}

/** @param {HTMLFormElement} form */
const inputsOf = (form) => [...form.elements].filter((input) => input instanceof HTMLInputElement);

/**
 * Shows an error at the field of that name; none where `text` is empty. Returns whether there is such a field.
 * @param {HTMLFormElement} form
 * @param {string} name
 * @param {string} text
 */
function mark(form, name, text) {
  const input = inputsOf(form).find((item) => item.name === name);
  const place = input && form.querySelector(`#${CSS.escape(input.id)}-error`);
  if (!place) return false;
  place.textContent = text;
  if (text) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
  return true;
}

/**
 * Marks all missing required fields at once, without a request. Returns whether there are any.
 * @param {HTMLFormElement} form
 */
function missing(form) {
  const empty = inputsOf(form).filter((input) => input.required && !input.value.trim());
  for (const input of empty) mark(form, input.name, "Is required");
  empty[0]?.focus();
  return empty.length > 0;
}

/**
 * What a problem says of the form's fields, and the rest, which is about the form.
 * @param {Problem} problem
 * @param {string[]} names Of the form's fields.
 * @returns {{ fields: [name: string, text: string][], rest: string }}
 */
export function errorsOf(problem, names) {
  const wrong = [...problem.fields];
  if (!wrong.length && problem.reason === "EMAIL_TAKEN" && names.includes("email"))
    wrong.push(["email", problem.message]);
  const rest = wrong.length
    ? wrong.filter(([name]) => !names.includes(name)).map(([name, text]) => `${name} ${text}`)
    : [problem.message];
  return {
    fields: wrong.filter(([name]) => names.includes(name)).map(([name, text]) => [name, sentence(text)]),
    rest: rest.map(sentence).join(". "),
  };
}

/**
 * @param {HTMLFormElement} form
 * @param {Element} general The place of errors that are about no field.
 * @param {Problem} problem
 */
function report(form, general, problem) {
  const { fields, rest } = errorsOf(
    problem,
    inputsOf(form).map((input) => input.name),
  );
  for (const [name, text] of fields) mark(form, name, text);
  general.textContent = rest;
  const [first] = inputsOf(form);
  (inputsOf(form).find((input) => input.ariaInvalid === "true") ?? first)?.focus();
}

/**
 * Calls `work(values)` when the form is sent; a Problem with which it rejects is shown in the form.
 * @param {HTMLFormElement} form
 * @param {(values: Record<string, string>) => Promise<unknown>} work
 */
export function wire(form, work) {
  const general = el("p", { class: "error", role: "alert" });
  form.noValidate = true;
  find(form, "button[type=submit]").before(general);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (form.ariaBusy === "true") return;
    for (const input of inputsOf(form)) mark(form, input.name, "");
    general.textContent = "";
    if (missing(form)) return;
    form.ariaBusy = "true";
    try {
      const values = [...new FormData(form)].map(([name, value]) => [name, String(value)]);
      await work(Object.fromEntries(values));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      report(form, general, error);
    } finally {
      form.ariaBusy = "false";
    }
  });
  return form;
}
