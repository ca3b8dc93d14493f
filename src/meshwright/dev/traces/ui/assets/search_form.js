// The form of the search: what is asked for, as fields and as a query.

import { operations, services } from "./api.js";
import { askForErrors, asksForErrors, readTags, tagsOf } from "./format.js";
import { el } from "./shared/page.js";

const LOOKBACKS = [
  ["5m", "5 minutes"],
  ["15m", "15 minutes"],
  ["1h", "hour"],
  ["6h", "6 hours"],
  ["24h", "day"],
  ["48h", "2 days"],
];
const LIMITS = [20, 50, 100, 200, 500];
/** What is searched for. */
export class SearchForm {
  #service;
  #operation;
  #tags;
  #shortest;
  #longest;
  #lookback;
  #limit;
  #errorsOnly = el("input", { type: "checkbox", name: "errors" });
  #problem = el("p", { class: "field-problem", role: "alert" });

  /**
   * @param {URLSearchParams} parameters What the fields begin with.
   * @param {() => void} submit Called when something else is asked for.
   */
  constructor(parameters, submit) {
    /** @param {string} name */
    const wanted = (name) => parameters.get(name) ?? "";
    this.#service = el("select", { name: "service", "data-find": true }, el("option", { value: "" }, "Any service"));
    this.#operation = el("select", { name: "operation" }, el("option", { value: "" }, "Any operation"));
    this.#tags = el("input", {
      name: "tags",
      type: "text",
      spellcheck: "false",
      autocomplete: "off",
      "aria-describedby": "tags-hint",
      placeholder: "error=true rpc.method=Add",
      value: tagsOf(wanted("tags")),
    });
    this.#shortest = el("input", {
      name: "minDuration",
      type: "text",
      placeholder: "1.2ms",
      value: wanted("minDuration"),
      autocomplete: "off",
    });
    this.#longest = el("input", {
      name: "maxDuration",
      type: "text",
      placeholder: "1m30s",
      value: wanted("maxDuration"),
      autocomplete: "off",
    });
    this.#lookback = el(
      "select",
      { name: "lookback" },
      LOOKBACKS.map(([value, label]) =>
        el("option", { value, selected: value === (wanted("lookback") || "1h") }, `Last ${label}`),
      ),
    );
    this.#limit = el(
      "select",
      { name: "limit" },
      LIMITS.map((value) =>
        el("option", { value, selected: String(value) === (wanted("limit") || "20") }, `${value} traces`),
      ),
    );
    this.element = this.#layout(submit);
    ensure(this.#service, wanted("service"));
    ensure(this.#operation, wanted("operation"));
    this.#errorsOnly.checked = asksForErrors(this.#tags.value);
    this.#listen(submit);
  }

  /** @param {() => void} submit */
  #layout(submit) {
    const onsubmit = (/** @type {Event} */ event) => {
      event.preventDefault();
      submit();
    };
    return el(
      "form",
      { class: "form", onsubmit },
      field("Service", this.#service),
      field("Operation", this.#operation),
      field(
        "Tags",
        this.#tags,
        el("span", { class: "hint", id: "tags-hint" }, "key=value, several separated by spaces"),
      ),
      el("div", { class: "pair" }, field("At least", this.#shortest), field("At most", this.#longest)),
      el("div", { class: "pair" }, field("Started in the", this.#lookback), field("Show", this.#limit)),
      el("label", { class: "check" }, this.#errorsOnly, "Only traces with errors"),
      this.#problem,
      el("button", { class: "primary", type: "submit" }, "Find traces"),
    );
  }

  /** @param {() => void} submit */
  #listen(submit) {
    this.#service.addEventListener("change", () => {
      this.#operation.value = "";
      submit();
    });
    for (const control of [this.#operation, this.#lookback, this.#limit]) control.addEventListener("change", submit);
    this.#errorsOnly.addEventListener("change", () => {
      this.#tags.value = askForErrors(this.#tags.value, this.#errorsOnly.checked);
      submit();
    });
    this.#tags.addEventListener("input", () => {
      this.#errorsOnly.checked = asksForErrors(this.#tags.value);
    });
  }

  narrowed() {
    return [this.#service, this.#operation, this.#tags, this.#shortest, this.#longest].some((control) => control.value);
  }

  /** Reads which services and operations there are to choose from. Rejects with a Problem. */
  async refresh() {
    options(this.#service, "Any service", await services());
    options(this.#operation, "Any operation", this.#service.value ? await operations(this.#service.value) : []);
  }

  /** The query; null, with the reason shown, where the tags are none. */
  query() {
    const read = readTags(this.#tags.value);
    this.#problem.textContent = read ? "" : "Tags are key=value; put values with spaces into double quotes.";
    this.#tags.setAttribute("aria-invalid", String(!read));
    if (!read) return null;
    const query = new URLSearchParams();
    for (const control of [
      this.#service,
      this.#operation,
      this.#shortest,
      this.#longest,
      this.#lookback,
      this.#limit,
    ]) {
      if (control.value.trim()) query.set(control.name, control.value.trim());
    }
    if (Object.keys(read).length) query.set("tags", JSON.stringify(read));
    return query;
  }
}

/**
 * @param {string} label
 * @param {HTMLInputElement | HTMLSelectElement} control
 * @param {...Node} more
 */
function field(label, control, ...more) {
  control.id = `field-${control.name}`;
  return el("div", { class: "field" }, el("label", { class: "label", for: control.id }, label), control, ...more);
}

/**
 * Fills a select without losing what is chosen in it.
 * @param {HTMLSelectElement} select
 * @param {string} any
 * @param {string[]} names
 */
function options(select, any, names) {
  const now = [...select.options].slice(1).map((option) => option.value);
  const chosen = select.value;
  const wanted = chosen && !names.includes(chosen) ? [...names, chosen] : names;
  if (now.length === wanted.length && now.every((value, index) => value === wanted[index])) return;
  select.replaceChildren(
    el("option", { value: "" }, any),
    ...wanted.map((name) => el("option", { value: name }, name)),
  );
  select.value = chosen;
}

/**
 * @param {HTMLSelectElement} select
 * @param {string} value
 */
function ensure(select, value) {
  if (!value) return;
  select.append(el("option", { value }, value));
  select.value = value;
}
