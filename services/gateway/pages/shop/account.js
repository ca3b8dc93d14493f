// The one who is signed in: name, money, sign-out.

import { byId, el, money, roundMoney, show } from "./dom.js";
import { call, newKey, Problem } from "./api.js";
import { Part, trouble } from "./parts.js";
import { popup } from "./popups.js";
import { signedIn, signOut, watchSession } from "./session.js";
import { loginButton } from "./welcome.js";

const GIFTS = [2000, 50000];
const watchers = new Set();
let cents = null;

/** `watcher(cents)` is told the balance when it changes. */
export function watchBalance(watcher) { watchers.add(watcher); }
export const balance = () => cents;

function know(account) {
  cents = account.balance_cents;
  const button = (gift) => el("button", { type: "button", class: "plain", id: `gift-${gift}`, onclick: () => deposit(gift) }, `Add ${roundMoney(gift)}`);
  show(byId("purse"), el("p", {}, el("span", { class: "soft" }, "Balance "), el("strong", { id: "balance" }, money(cents))), GIFTS.map(button));
  for (const watcher of watchers) watcher(cents);
}

async function deposit(amount) {
  try {
    know(await call("POST", "/api/v3/account/deposits", { body: { amount_cents: amount }, key: newKey() }));
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    byId("purse").querySelector(".trouble")?.remove();
    byId("purse").append(trouble(error));
  }
}

let part = null;

/** Look again: an order was paid for, or money came back. */
export function refreshBalance() {
  if (signedIn()) part.refresh();
}

/** `logins`: names of the issuers elsewhere that a user may be linked to. */
export function startAccount(logins) {
  show(byId("links"), logins.map((login) => loginButton(login, "Sign in by")));
  part = new Part(byId("purse"), (signal) => call("GET", "/api/v3/account", { signal }), know);
  const menu = popup(byId("account"));
  byId("sign-out").addEventListener("click", () => { menu.close(); signOut(); byId("main").focus(); });
  watchSession((session) => {
    byId("account").hidden = !session;
    cents = null;
    part.empty();
    if (!session) return;
    const name = session.profile?.name || "You";
    byId("account").querySelector(".face").textContent = [...name][0].toUpperCase();
    byId("account").querySelector(".label").textContent = name;
    byId("account").querySelector("button").setAttribute("aria-label", `Account of ${name}`);
    byId("account-title").textContent = name;
    byId("account-email").textContent = session.profile?.email || "";
    part.refresh();
  });
}
