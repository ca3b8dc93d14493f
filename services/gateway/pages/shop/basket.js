// A basket: how much of what, and what is to be said of it.

import { plural } from "./shared/page.js";

/** @import { OrderItem, StockItem } from "./resources.js" */

/**
 * @typedef {object} Sum
 * @property {number} cents
 * @property {string} pieces In words.
 * @property {string[]} warnings Nothing is forbidden: they say what will happen to such an order.
 */

/**
 * @param {OrderItem[]} items
 * @param {Map<string, StockItem>} stock By SKU.
 * @param {number | null} balance In cents; null if it is unknown.
 * @returns {Sum}
 */
export function sumOf(items, stock, balance) {
  const cents = items.reduce((sum, { sku, quantity }) => sum + quantity * (stock.get(sku)?.price_cents ?? 0), 0);
  const pieces = plural(
    items.reduce((sum, { quantity }) => sum + quantity, 0),
    "piece",
  );
  const short = items.filter(({ sku, quantity }) => quantity > (stock.get(sku)?.available ?? 0));
  if (short.length) {
    const names = short.map(({ sku }) => titleOf(sku, stock)).join(", ");
    return { cents, pieces, warnings: [`There is not enough of: ${names}. The order will be rejected.`] };
  }
  const poor = balance !== null && cents > balance;
  return {
    cents,
    pieces,
    warnings: poor
      ? ["This costs more than your balance: the payment will be declined, and the reserved goods released."]
      : [],
  };
}

/**
 * The title of an item; its SKU where it has none.
 * @param {string} sku
 * @param {Map<string, StockItem>} stock
 */
export const titleOf = (sku, stock) => stock.get(sku)?.title || sku;
