// The goods on sale, and the basket.

import { balance, watchBalance } from "./account.js";
import { call, newKey } from "./api.js";
import { sumOf, titleOf } from "./basket.js";
import { money } from "./format.js";
import { wire } from "./forms.js";
import { placeOrder } from "./orders.js";
import { Part } from "./parts.js";
import { signedIn, watchSession } from "./session.js";
import { byId, el, show, svg } from "./shared/page.js";

/** @import { OrderItem, StockItem } from "./resources.js" */

/** @type {[skus: RegExp, paths: string[]][]} */
const PICTURES = [
  [/tea/i, ["M6 20c0-8 5-13 14-14 0 9-4 14-12 14", "M5 22c3-7 7-10 11-12"]],
  [/mug/i, ["M6 9h12v9a4 4 0 0 1-4 4h-4a4 4 0 0 1-4-4z", "M18 11h1.500a3 3 0 0 1 0 7H18", "M10 3v3M14 3v3"]],
  [/kettle|samovar/i, ["M7 22h12l-2-11h-8z", "M9 11a4 4 0 0 1 8 0", "M13 7V5", "M8 14l-4-2 1 5 3 2"]],
];
const BOX = ["M4 9l9-5 9 5v9l-9 5-9-5z", "M4 9l9 5 9-5", "M13 14v9"];
/** @type {Map<string, number>} The quantity of each SKU. */
const basket = new Map();
// Of the order that this basket will be: as long as it is the same basket it is the same order, however often it is sent.
let key = "";
/** @type {Map<string, StockItem>} By SKU. */
let stock = new Map();
/** @type {Part<StockItem[]>} */
let part;

/** @param {string} sku */
export const nameOf = (sku) => titleOf(sku, stock);

/** @param {StockItem} item */
function picture(item) {
  const [, paths] = PICTURES.find(([skus]) => skus.test(item.sku)) ?? [null, BOX];
  return el(
    "span",
    { class: "picture", "aria-hidden": "true" },
    svg(
      "svg",
      { viewBox: "0 0 26 26" },
      paths.map((d) => svg("path", { d })),
    ),
  );
}

/** @param {StockItem} item */
function row(item) {
  const title = item.title || item.sku;
  return el(
    "li",
    {},
    picture(item),
    el(
      "div",
      { class: "what" },
      el("h3", {}, title),
      el("p", { class: "soft small" }, item.available ? `${item.available} left` : "none left"),
    ),
    el("span", { class: "number" }, money(item.price_cents)),
    signedIn()
      ? el(
          "button",
          {
            type: "button",
            class: "plain",
            id: `add-${item.sku}`,
            "aria-label": `Add ${title} to the basket`,
            onclick: () => change(item.sku, (basket.get(item.sku) ?? 0) + 1),
          },
          "Add",
        )
      : null,
  );
}

/** @param {StockItem[]} found */
function render(found) {
  stock = new Map(found.map((item) => [item.sku, item]));
  show(
    byId("goods"),
    el("h2", {}, "Goods"),
    found.length ? el("ul", { class: "goods" }, found.map(row)) : el("p", { class: "empty" }, "Nothing is on sale."),
  );
  renderBasket();
}

/**
 * @param {string} sku
 * @param {number} quantity
 */
function change(sku, quantity) {
  if (quantity > 0) basket.set(sku, quantity);
  else basket.delete(sku);
  key = newKey();
  renderBasket();
}

/**
 * Takes a quantity from its field, or removes the line.
 * @param {string} sku
 * @param {string} text
 */
function enter(sku, text) {
  change(sku, Number.parseInt(text, 10));
  if (basket.has(sku)) byId(`quantity-${sku}`, HTMLInputElement).value = String(basket.get(sku));
  else byId("basket-title").focus();
}

/** @param {OrderItem} item */
function line({ sku, quantity }) {
  const id = `quantity-${sku}`;
  const input = el("input", {
    id,
    name: sku,
    type: "number",
    min: 1,
    max: 10000,
    value: quantity,
    inputmode: "numeric",
  });
  input.addEventListener("change", () => enter(sku, input.value));
  return el(
    "li",
    {},
    el("label", { for: id }, nameOf(sku)),
    input,
    el(
      "button",
      { type: "button", class: "quiet", "aria-label": `Remove ${nameOf(sku)}`, onclick: () => enter(sku, "0") },
      "Remove",
    ),
  );
}

const items = () => [...basket].map(([sku, quantity]) => ({ sku, quantity }));

function totals() {
  const { cents, pieces, warnings } = sumOf(items(), stock, balance());
  return [
    el("p", { class: "total" }, el("span", {}, pieces), el("strong", {}, money(cents))),
    warnings.map((text) => el("p", { class: "hint" }, text)),
  ];
}

// The same lines stay where they are, and what is being typed in them: a balance or a stock may come at any time.
function updateLines() {
  const lines = [...byId("basket").querySelectorAll("input")];
  const same =
    lines.length === basket.size &&
    lines.every((input) => basket.has(input.name) && input.labels?.[0]?.textContent === nameOf(input.name));
  if (!same) return false;
  for (const input of lines) if (input !== document.activeElement) input.value = String(basket.get(input.name));
  show(byId("basket-sum"), totals());
  return true;
}

function renderBasket() {
  const node = byId("basket");
  node.hidden = !signedIn();
  if (!signedIn()) return;
  const heading = el("h2", { id: "basket-title", tabindex: "-1" }, "Basket");
  if (!basket.size) {
    show(node, heading, el("p", { class: "empty" }, "Add something, and place an order."));
    return;
  }
  if (updateLines()) return;
  const form = el(
    "form",
    { "aria-label": "Basket" },
    el("ul", { class: "basket" }, items().map(line)),
    el("div", { id: "basket-sum" }, totals()),
    el("button", { type: "submit", class: "primary", id: "place" }, "Place order"),
  );
  show(node, heading, wire(form, order));
}

async function order() {
  const placed = await placeOrder(items(), key);
  // The button that was pressed is gone; a focus that has moved elsewhere by now stays there.
  const held = byId("basket").contains(document.activeElement);
  basket.clear();
  renderBasket();
  if (held) document.getElementById(`order-${placed.id}`)?.focus();
}

/** Reads the stock again: something was reserved, or came back. */
export function refreshGoods() {
  part.refresh();
}

export function startGoods() {
  part = new Part(byId("goods"), (signal) => call("GET", "/api/v3/stock", { signal }), render);
  watchBalance(renderBasket);
  watchSession(() => {
    basket.clear();
    renderBasket();
    part.refresh();
  });
}
