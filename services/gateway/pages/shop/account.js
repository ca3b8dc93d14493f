// The account of the signed-in user: name, money, sign-out.

import { call, newKey } from "./api.js";
import { money, roundMoney } from "./format.js";
import { Part, trouble } from "./parts.js";
import { popup } from "./popups.js";
import { signedIn, signOut, watchSession } from "./session.js";
import { byId, el, find, Problem, show } from "./shared/page.js";
import { loginButton } from "./welcome.js";

/** @import { Account } from "./resources.js" */

const GIFTS = [2000, 50000];
/** @type {Set<() => void>} */
const watchers = new Set();
/** @type {number | null} */
let cents = null;
/** @type {Part<Account>} */
let part;

/**
 * Calls `watcher` when the balance changes.
 * @param {() => void} watcher
 */
export function watchBalance(watcher) {
  watchers.add(watcher);
}

/** The balance in cents; null if it is unknown. */
export const balance = () => cents;

/** @param {Account} account */
function render(account) {
  cents = account.balance_cents;
  /** @param {number} gift */
  const button = (gift) =>
    el(
      "button",
      { type: "button", class: "plain", id: `gift-${gift}`, onclick: () => deposit(gift) },
      `Add ${roundMoney(gift)}`,
    );
  show(
    byId("purse"),
    el("p", {}, el("span", { class: "soft" }, "Balance "), el("strong", { id: "balance" }, money(cents))),
    GIFTS.map(button),
  );
  for (const watcher of watchers) watcher();
}

/** @param {number} amount */
async function deposit(amount) {
  try {
    render(await call("POST", "/api/v3/account/deposits", { body: { amount_cents: amount }, key: newKey() }));
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    byId("purse").querySelector(".trouble")?.remove();
    byId("purse").append(trouble(error));
  }
}

/** Reads the balance again: an order was paid for, or money came back. */
export function refreshBalance() {
  if (signedIn()) part.refresh();
}

/**
 * @param {string[]} logins Names of the other issuers that a user may be linked to.
 */
export function startAccount(logins) {
  const holder = byId("account");
  show(
    byId("links"),
    logins.map((login) => loginButton(login, "Sign in by")),
  );
  part = new Part(byId("purse"), (signal) => call("GET", "/api/v3/account", { signal }), render);
  const menu = popup(holder);
  byId("sign-out").addEventListener("click", () => {
    menu.close();
    signOut();
    byId("main").focus();
  });
  watchSession((session) => {
    holder.hidden = !session;
    cents = null;
    part.empty();
    if (!session) return;
    const name = session.profile?.name || "You";
    const [initial = ""] = name;
    find(holder, ".face").textContent = initial.toUpperCase();
    find(holder, ".label").textContent = name;
    find(holder, "button").setAttribute("aria-label", `Account of ${name}`);
    byId("account-title").textContent = name;
    byId("account-email").textContent = session.profile?.email ?? "";
    part.refresh();
  });
}
