// What there is to buy, and the basket.

import { byId, el, money, plural, show, svg } from "./dom.js";
import { call, newKey } from "./api.js";
import { balance, watchBalance } from "./account.js";
import { Part } from "./parts.js";
import { placeOrder } from "./orders.js";
import { signedIn, watchSession } from "./session.js";
import { wire } from "./forms.js";

const PICTURES = [
  [/tea/i, ["M6 20c0-8 5-13 14-14 0 9-4 14-12 14", "M5 22c3-7 7-10 11-12"]],
  [/mug/i, ["M6 9h12v9a4 4 0 0 1-4 4h-4a4 4 0 0 1-4-4z", "M18 11h1.500a3 3 0 0 1 0 7H18", "M10 3v3M14 3v3"]],
  [/kettle|samovar/i, ["M7 22h12l-2-11h-8z", "M9 11a4 4 0 0 1 8 0", "M13 7V5", "M8 14l-4-2 1 5 3 2"]],
];
const BOX = ["M4 9l9-5 9 5v9l-9 5-9-5z", "M4 9l9 5 9-5", "M13 14v9"];
const basket = new Map();
// Of the order that this basket will be: as long as it is the same basket it is the same order, however often it is sent.
let key = "";
let stock = new Map();
let part = null;

export const nameOf = (sku) => stock.get(sku)?.title || sku;

function picture(item) {
  const found = PICTURES.find(([words]) => words.test(item.sku));
  return el("span", { class: "picture", "aria-hidden": "true" },
    svg("svg", { viewBox: "0 0 26 26" }, (found ? found[1] : BOX).map((d) => svg("path", { d }))));
}

function left(item) {
  return item.available ? `${item.available} left` : "none left";
}

function row(item) {
  return el("li", {}, picture(item),
    el("div", { class: "what" }, el("h3", {}, item.title || item.sku), el("p", { class: "soft small" }, left(item))),
    el("span", { class: "number" }, money(item.price_cents)),
    signedIn() ? el("button", { type: "button", class: "plain", id: `add-${item.sku}`, "aria-label": `Add ${item.title || item.sku} to the basket`,
      onclick: () => add(item.sku) }, "Add") : null);
}

function render(found) {
  stock = new Map(found.map((item) => [item.sku, item]));
  show(byId("goods"), el("h2", {}, "Goods"), found.length ? el("ul", { class: "goods" }, found.map(row)) : el("p", { class: "empty" }, "Nothing is on sale."));
  renderBasket();
}

function add(sku) {
  basket.set(sku, (basket.get(sku) || 0) + 1);
  key = newKey();
  renderBasket();
}

function change(sku, text) {
  const quantity = Number.parseInt(text, 10);
  if (quantity > 0) basket.set(sku, quantity);
  else basket.delete(sku);
  key = newKey();
  renderBasket();
  if (basket.has(sku)) byId(`quantity-${sku}`).value = quantity;
  else byId("basket-title").focus();
}

function line([sku, quantity]) {
  const id = `quantity-${sku}`;
  return el("li", {}, el("label", { for: id }, nameOf(sku)),
    el("input", { id, name: sku, type: "number", min: 1, max: 10000, value: quantity, inputmode: "numeric", onchange: (event) => change(sku, event.target.value) }),
    el("button", { type: "button", class: "quiet", "aria-label": `Remove ${nameOf(sku)}`, onclick: () => change(sku, "0") }, "Remove"));
}

// Nothing is forbidden here: what happens to such an order is what is to be seen.
function warnings(total) {
  const short = [...basket].filter(([sku, quantity]) => quantity > (stock.get(sku)?.available ?? 0)).map(([sku]) => nameOf(sku));
  const found = [];
  if (short.length) found.push(`There is not enough of: ${short.join(", ")}. Such an order is refused.`);
  else if (balance() !== null && total > balance()) found.push("That is more than you have: the payment will be declined, and the goods released.");
  return found.map((text) => el("p", { class: "hint" }, text));
}

function totals() {
  const total = [...basket].reduce((cents, [sku, quantity]) => cents + quantity * (stock.get(sku)?.price_cents || 0), 0);
  const pieces = [...basket.values()].reduce((all, quantity) => all + quantity, 0);
  return [el("p", { class: "total" }, el("span", {}, plural(pieces, "piece")), el("strong", {}, money(total))), ...warnings(total)];
}

// The same lines stay where they are, and what is being typed in them: a balance or a stock may come at any time.
function updateLines() {
  const lines = [...byId("basket").querySelectorAll("input")];
  const same = (input) => basket.has(input.name) && input.labels[0].textContent === nameOf(input.name);
  if (lines.length !== basket.size || !lines.every(same)) return false;
  for (const input of lines) if (input !== document.activeElement) input.value = basket.get(input.name);
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
  const form = el("form", { "aria-label": "Basket" }, el("ul", { class: "basket" }, [...basket].map(line)), el("div", { id: "basket-sum" }, totals()),
    el("button", { type: "submit", class: "primary", id: "place" }, "Place order"));
  show(node, heading, wire(form, order));
}

async function order() {
  const placed = await placeOrder([...basket].map(([sku, quantity]) => ({ sku, quantity })), key);
  // The button that was pressed is gone; who is somewhere else by now stays there.
  const held = byId("basket").contains(document.activeElement);
  basket.clear();
  renderBasket();
  if (held) byId(`order-${placed.id}`)?.focus();
}

/** Look again: something was reserved, or came back. */
export function refreshGoods() { part.refresh(); }

export function startGoods() {
  part = new Part(byId("goods"), (signal) => call("GET", "/api/v3/stock", { signal }), render);
  watchBalance(renderBasket);
  watchSession(() => { basket.clear(); renderBasket(); part.refresh(); });
}
