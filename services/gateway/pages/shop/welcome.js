// The page without a signed-in user: an introduction, sign-in and sign-up.

import { byId, el, sentence, show } from "./dom.js";
import { field, wire } from "./forms.js";
import { Problem } from "./api.js";
import { leaveFor, signIn, signUp, watchSession } from "./session.js";
import { toast } from "./toasts.js";

const SHOWN = [
  ["A shop", "Each order is a saga of three services. Watch it go step by step, and be undone where a step is refused."],
  ["A hall to talk in", "Chat over a WebSocket that finds another replica when one goes, without losing a word."],
  ["An API with a past", "The same user in four versions, one of them on its way out, and telling so."],
];

function signInForm() {
  return wire(el("form", { id: "sign-in-form", "aria-labelledby": "tab-in" },
    field("email", "E-mail", { prefix: "in-", type: "email", autocomplete: "username", required: true }),
    field("password", "Password", { prefix: "in-", type: "password", autocomplete: "current-password", required: true }),
    el("button", { type: "submit", class: "primary" }, "Sign in")), ({ email, password }) => signIn(email, password));
}

function signUpForm() {
  return wire(el("form", { id: "sign-up-form", "aria-labelledby": "tab-up" },
    field("name", "Name", { prefix: "up-", autocomplete: "name", required: true }),
    field("email", "E-mail", { prefix: "up-", type: "email", autocomplete: "username", required: true }),
    field("password", "Password", { prefix: "up-", type: "password", autocomplete: "new-password", required: true }, "10 characters or more"),
    el("button", { type: "submit", class: "primary" }, "Create account")), ({ name, email, password }) => signUp(name, email, password));
}

// Tabs as ARIA's authoring practices have them: arrows go from one to the other.
function tabs(names, panels) {
  const buttons = names.map(([id, text], at) => el("button", { type: "button", role: "tab", id, "aria-controls": panels[at].id }, text));
  const choose = (chosen) => buttons.forEach((button, at) => {
    button.setAttribute("aria-selected", String(at === chosen));
    button.tabIndex = at === chosen ? 0 : -1;
    panels[at].hidden = at !== chosen;
  });
  buttons.forEach((button, at) => {
    button.addEventListener("click", () => choose(at));
    button.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowRight" && event.key !== "ArrowLeft") return;
      choose(1 - at);
      buttons[1 - at].focus();
    });
  });
  choose(0);
  return el("div", { class: "tabs", role: "tablist", "aria-label": "Ways in" }, buttons);
}

/** A way in by another issuer; `words` before its name. */
export function loginButton(login, words) {
  const go = () => leaveFor(login).catch((error) => {
    if (!(error instanceof Problem)) throw error;
    toast("That sign-in cannot begin", sentence(error.message), "bad");
  });
  return el("button", { type: "button", class: "plain", onclick: go }, `${words} ${login}`);
}

function elsewhere(logins) {
  if (!logins.length) return null;
  return el("div", { class: "elsewhere" }, el("span", { class: "soft" }, "or"), logins.map((login) => loginButton(login, "Continue with")));
}

function render(logins) {
  const panels = [["panel-in", "tab-in", signInForm()], ["panel-up", "tab-up", signUpForm()]]
    .map(([id, tab, form]) => el("div", { id, role: "tabpanel", "aria-labelledby": tab }, form));
  show(byId("welcome"),
    el("div", { class: "pitch" },
      el("h1", { id: "welcome-title" }, "A small shop on a mesh"),
      el("p", { class: "lead" }, "Everything here goes through one gateway to services that know nothing of each other’s addresses."),
      el("ul", {}, SHOWN.map(([title, text]) => el("li", {}, el("strong", {}, title), el("span", { class: "soft" }, text))))),
    el("div", { class: "card door" }, tabs([["tab-in", "Sign in"], ["tab-up", "Create account"]], panels), panels, elsewhere(logins)));
}

/** `logins`: names of the issuers elsewhere that people may sign in at. */
export function startWelcome(logins) {
  watchSession((session) => {
    document.body.classList.toggle("out", !session);
    byId("welcome").hidden = Boolean(session);
    const held = byId("welcome").contains(document.activeElement);
    if (session) show(byId("welcome"));
    else render(logins);
    // The field that had the focus is gone; what there is now begins with the content.
    if (session && held) byId("main").focus();
  });
}
