// Notifications: live while the page is open, and those that were missed when it is opened again. The newest are kept for
// each user, so that the gateway is asked only for what came after.

import { refreshBalance } from "./account.js";
import { when } from "./format.js";
import { refreshGoods } from "./goods.js";
import { refreshOrders } from "./orders.js";
import { popup } from "./popups.js";
import { signedIn, watchSession } from "./session.js";
import { byId, el, find, show } from "./shared/page.js";
import { toast } from "./toasts.js";

/** @import { Messages } from "./connection.js" */
/** @import { Notification, Refusal } from "./resources.js" */

const MOST = 50;
const KINDS = new Map([
  ["SUCCESS", "good"],
  ["ERROR", "bad"],
  ["WARNING", "warn"],
]);
const ORDERS = new Map([
  ["completed", "good"],
  ["rejected", "bad"],
  ["needs-attention", "warn"],
]);
const RETRY = 2000;
/** @type {Notification[]} Newest first. */
let items = [];
let unread = 0;
/** @type {ReturnType<typeof popup>} */
let panel;

const place = () => `meshwright.news.${signedIn()?.subject}`;

/** @returns {Notification[]} */
function kept() {
  try {
    const found = JSON.parse(localStorage.getItem(place()) ?? "[]");
    return Array.isArray(found) ? found : [];
  } catch {
    return [];
  }
}

/**
 * The newest notifications, with one more among them.
 * @param {Notification[]} known
 * @param {Notification} item
 */
export const withNotification = (known, item) =>
  [item, ...known].sort((one, other) => (one.id < other.id ? 1 : -1)).slice(0, MOST);

/**
 * The look of a notification: "good", "bad", "warn", or none.
 * @param {Notification} item
 */
export const lookOf = (item) => KINDS.get(item.kind) ?? ORDERS.get(item.data?.status ?? "") ?? "";

/** @param {Notification} item */
function row(item) {
  return el(
    "li",
    {},
    el("strong", {}, el("span", {}, item.title), when(item.created_at)),
    el("span", { class: "soft" }, item.message),
  );
}

function render() {
  show(
    byId("news-body"),
    items.length
      ? el("ol", { class: "news" }, items.map(row))
      : el("p", { class: "empty" }, "None yet. Orders send notifications."),
  );
  const holder = byId("news");
  const count = find(holder, ".count");
  count.hidden = !unread;
  count.textContent = String(unread);
  find(holder, "button").setAttribute("aria-label", unread ? `Notifications, ${unread} new` : "Notifications");
}

/** @param {Notification} item The same one may come more than once. */
function onNotification(item) {
  if (!signedIn() || items.some((known) => known.id === item.id)) return;
  items = withNotification(items, item);
  localStorage.setItem(place(), JSON.stringify(items));
  if (!panel.open) unread += 1;
  render();
  toast(item.title, item.message, lookOf(item));
  if (item.kind === "ORDER_UPDATE") {
    refreshOrders();
    refreshBalance();
    refreshGoods();
  }
}

/**
 * @param {Messages} connection
 * @param {string} [after] The id of the last one that is known.
 */
function subscribe(connection, after = items[0]?.id ?? "") {
  connection.send({ type: "subscribe", ref: "news", ...(after ? { resume_after: after } : {}) });
}

/**
 * @param {Messages} connection
 * @param {Refusal} error
 */
function onRefused(connection, error) {
  if (error.ref !== "news") return;
  if (error.reason === "NOTIFICATION_TOO_OLD") subscribe(connection, "");
  else setTimeout(() => subscribe(connection), RETRY);
}

/** @param {Messages} connection */
export function startNotifications(connection) {
  connection.onReady(() => subscribe(connection));
  connection.on("notification", onNotification);
  connection.on("error", (error) => onRefused(connection, error));
  panel = popup(byId("news"), () => {
    unread = 0;
    render();
  });
  watchSession((session) => {
    byId("news").hidden = !session;
    items = session ? kept() : [];
    unread = 0;
    render();
  });
}
