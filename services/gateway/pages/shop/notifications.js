// Notifications: live while the page is open, and what came meanwhile when it is opened again. The id of the last one
// that was seen is kept for each person, and what is after it comes first.

import { byId, el, show, when } from "./dom.js";
import { refreshBalance } from "./account.js";
import { refreshGoods } from "./goods.js";
import { refreshOrders } from "./orders.js";
import { popup } from "./popups.js";
import { signedIn, watchSession } from "./session.js";
import { toast } from "./toasts.js";

const MOST = 50;
const KINDS = { SUCCESS: "good", ERROR: "bad", WARNING: "warn" };
const ORDERS = { completed: "good", rejected: "bad", "needs-attention": "warn" };
const AGAIN = 2000;
let items = [];
let unread = 0;
let panel = null;

const place = () => `meshwright.news.${signedIn().subject}`;

function kept() {
  try {
    const found = JSON.parse(localStorage.getItem(place()));
    return Array.isArray(found) ? found : [];
  } catch {
    return [];
  }
}

function row(item) {
  return el("li", {}, el("strong", {}, el("span", {}, item.title), when(item.created_at)), el("span", { class: "soft" }, item.message));
}

function render() {
  show(byId("news-body"), items.length ? el("ol", { class: "news" }, items.map(row)) : el("p", { class: "empty" }, "Nothing yet. Place an order, and you will hear of it."));
  const count = byId("news").querySelector(".count");
  count.hidden = !unread;
  count.textContent = String(unread);
  byId("news").querySelector("button").setAttribute("aria-label", unread ? `Notifications, ${unread} new` : "Notifications");
}

// One that came; the same one may come more than once.
function notified(item) {
  if (!signedIn() || items.some((known) => known.id === item.id)) return;
  items = [item, ...items].sort((one, other) => (one.id < other.id ? 1 : -1)).slice(0, MOST);
  localStorage.setItem(place(), JSON.stringify(items));
  if (!panel.open) unread += 1;
  render();
  toast(item.title, item.message, KINDS[item.kind] || ORDERS[item.data?.status] || "");
  if (item.kind === "ORDER_UPDATE") { refreshOrders(); refreshBalance(); refreshGoods(); }
}

function subscribe(line, after = items[0]?.id || "") {
  line.send({ type: "subscribe", ref: "news", ...(after ? { resume_after: after } : {}) });
}

function refused(line, error) {
  if (error.ref !== "news") return;
  if (error.reason === "NOTIFICATION_TOO_OLD") subscribe(line, "");
  else setTimeout(() => subscribe(line), AGAIN);
}

/** `line`: the connection; see socket.js. */
export function startNotifications(line) {
  line.onReady(() => subscribe(line));
  line.on("notification", notified);
  line.on("error", (error) => refused(line, error));
  panel = popup(byId("news"), () => { unread = 0; render(); });
  watchSession((session) => {
    byId("news").hidden = !session;
    items = session ? kept() : [];
    unread = 0;
    render();
  });
}
