// The chat. What is said is shown at once, and marked until the chat has stored it; what could not be taken says so.
//
// Each message has a mark of ours. Whatever happens to the connection, a message that has not come back is said again
// with the same mark, which the chat takes once. Messages that come back after a reconnect are told apart by their ids.

import { byId, el, plural, show, when } from "./dom.js";
import { newKey } from "./api.js";
import { Hall } from "./hall.js";
import { signedIn, watchSession } from "./session.js";
import { toast } from "./toasts.js";
import { settle, view, watchView, wide } from "./views.js";

const FIRST_ROOM = "hall";
const ROOM = /^[A-Za-z0-9_-]{1,64}$/;
const LONGEST = 2000;
const KEPT = 300;
let hall = null;
let room = FIRST_ROOM;
let people = [];
let total = 0;
let unread = 0;
let messages = new Set();

const log = () => byId("log");
const own = (message) => message.user_id === signedIn()?.subject;

function bubble(message, state = "") {
  const name = own(message) ? "You" : message.name || message.user_id;
  const status = { waiting: "sending …", refused: "not taken" }[state];
  return el("div", { class: `said${own(message) ? " own" : ""} ${state}`, "data-mark": message.client_id || "", "data-id": message.id || "" },
    el("span", { class: "who" }, el("span", {}, name), status || when(message.sent_at)), el("span", { class: "text" }, message.text));
}

function put(node, before = null) {
  const list = log();
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 60;
  list.insertBefore(node, before);
  while (list.children.length > KEPT) list.firstChild.remove();
  if (atEnd) list.scrollTop = list.scrollHeight;
}

const waitingNode = (mark) => mark && log().querySelector(`.waiting[data-mark="${CSS.escape(mark)}"]`);
// Ids ascend as text: what was left out, and comes late, goes where it belongs.
const after = (id) => [...log().children].find((node) => node.dataset.id > id || node.classList.contains("waiting"));

/** Something that was said; the same thing may come more than once. */
function heard(message) {
  if (message.room !== room || messages.has(message.id)) return;
  messages.add(message.id);
  if (own(message)) waitingNode(message.client_id)?.remove();
  put(bubble(message), after(message.id));
  if (!own(message) && !visible()) count(unread + 1);
}

/** It is stored; it will come back as any other message. */
function stored({ client_id }) {
  const status = waitingNode(client_id)?.querySelector(".who").lastChild;
  if (status) status.textContent = "sent";
}

function refused(mark, reason) {
  const before = waitingNode(mark);
  if (!before || !signedIn()) return;
  const message = { client_id: mark, user_id: signedIn().subject, text: before.querySelector(".text").textContent };
  const node = bubble(message, "refused");
  const again = () => { node.remove(); say(message.text); };
  node.append(el("span", { class: "small" }, `${reason} `, el("button", { type: "button", class: "quiet", onclick: again }, "Send again")));
  before.replaceWith(node);
}

function say(text) {
  const message = { client_id: newKey(), room, user_id: signedIn().subject, text, sent_at: new Date().toISOString() };
  put(bubble(message, "waiting"));
  log().scrollTop = log().scrollHeight;
  hall.say(message);
}

function present(list, count) {
  people = list;
  total = count;
  renderPeople();
}

function changed(person, there) {
  const before = people.some((item) => item.user_id === person.user_id);
  people = people.filter((item) => item.user_id !== person.user_id);
  if (there) people = [...people, person];
  total += Number(there) - Number(before);
  renderPeople();
}

function renderPeople() {
  byId("people-count").textContent = `${plural(total, "person", "people")} here`;
  show(byId("people"), people.map((person) => el("li", {}, person.user_id === signedIn()?.subject ? "You" : person.name || person.user_id)));
}

const visible = () => !document.hidden && (wide.matches || view() === "chat");

function count(number) {
  unread = number;
  const place = byId("unread");
  place.hidden = !unread;
  place.textContent = String(unread);
}

function enter(name) {
  const before = room;
  room = name;
  messages = new Set();
  people = [];
  show(log());
  log().setAttribute("aria-label", `Messages in ${room}`);
  byId("say-label").textContent = `Message to ${room}`;
  present([], 0);
  const given = hall.enter(room);
  if (given) toast("Not everything was sent", `${plural(given, "message")} to ${before} may not have arrived.`, "warn");
}

function renderFrame() {
  const roomInput = el("input", { id: "room", value: room, maxlength: 64, autocomplete: "off", spellcheck: "false" });
  const roomForm = el("form", { class: "room" }, el("label", { for: "room", class: "soft" }, "Room"), roomInput);
  roomForm.addEventListener("submit", (event) => { event.preventDefault(); move(roomInput); });
  roomInput.addEventListener("change", () => move(roomInput));
  const input = el("input", { id: "say", maxlength: LONGEST, autocomplete: "off", enterkeyhint: "send", placeholder: "Say something" });
  const composer = el("form", { class: "composer" }, el("label", { for: "say", id: "say-label", class: "hidden" }), input,
    el("button", { type: "submit", class: "primary" }, "Send"));
  composer.addEventListener("submit", (event) => {
    event.preventDefault();
    if (input.value.trim()) say(input.value.trim());
    input.value = "";
  });
  show(byId("talk"), el("header", {}, el("h2", { id: "talk-title" }, "Chat"), roomForm),
    el("details", { class: "people" }, el("summary", { id: "people-count" }), el("ul", { id: "people" })),
    el("p", { id: "talk-trouble", class: "trouble", role: "status", hidden: true }),
    el("div", { id: "log", class: "log", role: "log", tabindex: "0" }), composer);
}

function move(input) {
  const name = input.value.trim();
  if (name === room) return;
  const good = ROOM.test(name);
  input.toggleAttribute("aria-invalid", false);
  if (good) enter(name);
  else input.setAttribute("aria-invalid", "true");
}

function trouble(text) {
  byId("talk-trouble").hidden = !text;
  byId("talk-trouble").textContent = text;
}

/** `line`: the connection; see socket.js. */
export function startChat(line) {
  const gap = (text) => put(el("p", { class: "gap" }, text));
  hall = new Hall(line, { heard, refused, stored, present, changed, gap, trouble });
  watchView(() => {
    if (!visible() || !signedIn()) return;
    count(0);
    log().scrollTop = log().scrollHeight;
  });
  document.addEventListener("visibilitychange", () => { if (visible()) count(0); });
  watchSession((session) => {
    byId("talk").hidden = !session;
    count(0);
    if (!session) {
      hall.enter("");
      show(byId("talk"));
      return;
    }
    room = FIRST_ROOM;
    renderFrame();
    settle();
    enter(room);
  });
}
