// The page without a signed-in user: an introduction, sign-in and sign-up.

import { field, wire } from "./forms.js";
import { leaveFor, signIn, signUp, watchSession } from "./session.js";
import { byId, el, Problem, sentence, show } from "./shared/page.js";
import { toast } from "./toasts.js";

const FEATURES = [
  {
    title: "A shop",
    text: "Each order is a saga of three services. Watch it go step by step, and be undone where a step is refused.",
  },
  { title: "A chat", text: "Messages over a WebSocket that moves to another replica when one stops, and loses none." },
  { title: "An API in four versions", text: "The same user in each, one of them deprecated and saying so." },
];

function signInForm() {
  return wire(
    el(
      "form",
      { id: "sign-in-form", "aria-labelledby": "tab-in" },
      field("email", "E-mail", { prefix: "in-", type: "email", autocomplete: "username", required: true }),
      field("password", "Password", {
        prefix: "in-",
        type: "password",
        autocomplete: "current-password",
        required: true,
      }),
      el("button", { type: "submit", class: "primary" }, "Sign in"),
    ),
    ({ email = "", password = "" }) => signIn(email, password),
  );
}

function signUpForm() {
  return wire(
    el(
      "form",
      { id: "sign-up-form", "aria-labelledby": "tab-up" },
      field("name", "Name", { prefix: "up-", autocomplete: "name", required: true }),
      field("email", "E-mail", { prefix: "up-", type: "email", autocomplete: "username", required: true }),
      field(
        "password",
        "Password",
        { prefix: "up-", type: "password", autocomplete: "new-password", required: true },
        "10 characters or more",
      ),
      el("button", { type: "submit", class: "primary" }, "Create account"),
    ),
    ({ name = "", email = "", password = "" }) => signUp(name, email, password),
  );
}

/** @typedef {{ id: string, name: string, panel: HTMLElement }} Tab */

/**
 * Tabs as ARIA's authoring practices have them: arrows go from one to the next.
 * @param {Tab[]} items
 */
function tabs(items) {
  const buttons = items.map(({ id, name, panel }) =>
    el("button", { type: "button", role: "tab", id, "aria-controls": panel.id }, name),
  );
  /** @param {number} chosen */
  const choose = (chosen) => {
    for (const [at, button] of buttons.entries()) {
      button.setAttribute("aria-selected", String(at === chosen));
      button.tabIndex = at === chosen ? 0 : -1;
    }
    for (const [at, { panel }] of items.entries()) panel.hidden = at !== chosen;
  };
  for (const [at, button] of buttons.entries()) {
    button.addEventListener("click", () => choose(at));
    button.addEventListener("keydown", (event) => {
      const step = new Map([
        ["ArrowRight", 1],
        ["ArrowLeft", -1],
      ]).get(event.key);
      if (!step) return;
      const next = (at + step + buttons.length) % buttons.length;
      choose(next);
      buttons[next]?.focus();
    });
  }
  choose(0);
  return el("div", { class: "tabs", role: "tablist", "aria-label": "Sign in or create an account" }, buttons);
}

/**
 * A button that signs in at another issuer.
 * @param {string} login The issuer's name.
 * @param {string} words Before the name.
 */
export function loginButton(login, words) {
  const go = () =>
    leaveFor(login).catch((error) => {
      if (!(error instanceof Problem)) throw error;
      toast("The sign-in has failed", sentence(error.message), "bad");
    });
  return el("button", { type: "button", class: "plain", onclick: go }, `${words} ${login}`);
}

/** @param {string[]} logins */
function otherLogins(logins) {
  if (!logins.length) return null;
  return el(
    "div",
    { class: "elsewhere" },
    el("span", { class: "soft" }, "or"),
    logins.map((login) => loginButton(login, "Continue with")),
  );
}

/** @param {string[]} logins */
function render(logins) {
  const items = [
    {
      id: "tab-in",
      name: "Sign in",
      panel: el("div", { id: "panel-in", role: "tabpanel", "aria-labelledby": "tab-in" }, signInForm()),
    },
    {
      id: "tab-up",
      name: "Create account",
      panel: el("div", { id: "panel-up", role: "tabpanel", "aria-labelledby": "tab-up" }, signUpForm()),
    },
  ];
  show(
    byId("welcome"),
    el(
      "div",
      { class: "pitch" },
      el("h1", { id: "welcome-title" }, "A small shop on a mesh"),
      el(
        "p",
        { class: "lead" },
        "Everything here goes through one gateway to services that know nothing of each other’s addresses.",
      ),
      el(
        "ul",
        {},
        FEATURES.map(({ title, text }) => el("li", {}, el("strong", {}, title), el("span", { class: "soft" }, text))),
      ),
    ),
    el(
      "div",
      { class: "card door" },
      tabs(items),
      items.map(({ panel }) => panel),
      otherLogins(logins),
    ),
  );
}

/**
 * @param {string[]} logins Names of the other issuers for signing in.
 */
export function startWelcome(logins) {
  watchSession((session) => {
    const node = byId("welcome");
    const held = node.contains(document.activeElement);
    document.body.classList.toggle("out", !session);
    node.hidden = Boolean(session);
    if (session) show(node);
    else render(logins);
    // The field that had the focus is gone; the focus goes to where the content begins.
    if (session && held) byId("main").focus();
  });
}
