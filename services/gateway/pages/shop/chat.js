// The chat. A message is shown at once, and marked until the chat has stored it; if it is refused, the reason is beside it.
//
// Each message has a client id. Whatever happens to the connection, a message that has not come back is sent again with the
// same id, which the chat takes once. Messages that come back after a reconnect are told apart by their ids.

import { newKey } from "./api.js";
import { when } from "./format.js";
import { RoomClient } from "./room.js";
import { signedIn, watchSession } from "./session.js";
import { byId, el, find, plural, show } from "./shared/page.js";
import { toast } from "./toasts.js";
import { settle, view, watchView, wide } from "./views.js";

/** @import { Messages } from "./connection.js" */
/** @import { Message, Outgoing, Person } from "./resources.js" */
/** @typedef {Outgoing & { id?: string, user_id: string, name?: string, sent_at?: string }} Shown */
/** @typedef {"" | "waiting" | "refused"} MessageState */

const FIRST_ROOM = "hall";
const ROOM = /^[A-Za-z0-9_-]{1,64}$/;
const LONGEST = 2000;
const KEPT = 300;
const STATUS = { "": "", waiting: "sending …", refused: "not sent" };
/** @type {RoomClient} */
let client;
let room = FIRST_ROOM;
/** @type {Person[]} */
let people = [];
let total = 0;
let unread = 0;
/** @type {Set<string>} */
let messages = new Set();
/** @type {(room: string, user?: string) => void} */
let ring = () => {};

const log = () => byId("log");
/** @param {string} user */
const isOwn = (user) => user === signedIn()?.subject;
/** @param {{ user_id: string, name?: string }} person */
const nameOf = (person) => (isOwn(person.user_id) ? "You" : person.name || person.user_id);

/**
 * @param {Shown} message
 * @param {MessageState} [state]
 */
function bubble(message, state = "") {
  const own = isOwn(message.user_id) ? " own" : "";
  const status = STATUS[state] || (message.sent_at ? when(message.sent_at) : "");
  return el(
    "div",
    { class: `said${own} ${state}`, "data-mark": message.client_id || "", "data-id": message.id ?? "" },
    el("span", { class: "who" }, el("span", {}, nameOf(message)), el("span", {}, status)),
    el("span", { class: "text" }, message.text),
  );
}

/**
 * @param {HTMLElement} node
 * @param {Element | null} [before]
 */
function put(node, before = null) {
  const list = log();
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 60;
  list.insertBefore(node, before);
  while (list.children.length > KEPT) list.firstChild?.remove();
  if (atEnd) list.scrollTop = list.scrollHeight;
}

/**
 * The message with that client id, if it is not stored yet.
 * @param {string} id
 */
const waitingNode = (id) => (id ? log().querySelector(`.waiting[data-mark="${CSS.escape(id)}"]`) : null);

/**
 * What comes after that id, which ascends as text: a message that was left out, and comes late, goes where it belongs.
 * @param {string} id
 */
const after = (id) =>
  [...log().children].find((node) => (node.getAttribute("data-id") ?? "") > id || node.matches(".waiting")) ?? null;

/** @param {Message} message */
function onMessage(message) {
  if (message.room !== room || messages.has(message.id)) return;
  messages.add(message.id);
  if (isOwn(message.user_id)) waitingNode(message.client_id)?.remove();
  put(bubble(message), after(message.id));
  if (!isOwn(message.user_id) && !visible()) count(unread + 1);
}

/** @param {string} id */
function onStored(id) {
  const status = waitingNode(id)?.querySelector(".who > :last-child");
  if (status) status.textContent = "sent";
}

/**
 * @param {string} id
 * @param {string} reason
 */
function onRefused(id, reason) {
  const before = waitingNode(id);
  const user = signedIn()?.subject;
  if (!before || !user) return;
  const text = find(before, ".text").textContent ?? "";
  const node = bubble({ client_id: id, room, user_id: user, text }, "refused");
  const again = () => {
    node.remove();
    say(text);
  };
  node.append(
    el(
      "span",
      { class: "small" },
      `${reason} `,
      el("button", { type: "button", class: "quiet", onclick: again }, "Send again"),
    ),
  );
  before.replaceWith(node);
}

/** @param {string} text */
function say(text) {
  const message = {
    client_id: newKey(),
    room,
    user_id: signedIn()?.subject ?? "",
    text,
    sent_at: new Date().toISOString(),
  };
  put(bubble(message, "waiting"));
  log().scrollTop = log().scrollHeight;
  client.say(message);
}

/**
 * @param {Person[]} list
 * @param {number} count
 */
function onPeople(list, count) {
  people = list;
  total = count;
  renderPeople();
}

/**
 * @param {Person} person
 * @param {boolean} present
 */
function onPresence(person, present) {
  const others = people.filter((item) => item.user_id !== person.user_id);
  total += Number(present) - (people.length - others.length);
  people = present ? [...others, person] : others;
  renderPeople();
}

function renderPeople() {
  byId("people-count").textContent = `${plural(total, "person", "people")} here`;
  show(byId("people"), people.map(personView));
  byId("call-all").hidden = people.length < 2;
}

/** @param {Person} person */
function personView(person) {
  const name = nameOf(person);
  if (isOwn(person.user_id)) return el("li", {}, name);
  const call = () => ring(room, person.user_id);
  return el(
    "li",
    {},
    name,
    " ",
    el("button", { type: "button", class: "quiet", "aria-label": `Call ${name}`, onclick: call }, "Call"),
  );
}

/**
 * The name of a user in the room; "Another" for one who is not in it.
 * @param {string} user
 */
export const nameOfUser = (user) => people.find((person) => person.user_id === user)?.name || "Another";

const visible = () => !document.hidden && (wide.matches || view() === "chat");

/** @param {number} number Of unread messages. */
function count(number) {
  unread = number;
  const place = byId("unread");
  place.hidden = !unread;
  place.textContent = String(unread);
}

/** @param {string} name */
function enter(name) {
  const before = room;
  room = name;
  messages = new Set();
  show(log());
  log().setAttribute("aria-label", `Messages in ${room}`);
  byId("say-label").textContent = `Message to ${room}`;
  onPeople([], 0);
  const given = client.enter(room);
  if (given)
    toast(
      "Not everything was sent",
      `${plural(given, "message")} to ${before} may not have arrived. Send again what is missing there.`,
      "warn",
    );
}

function renderFrame() {
  const roomInput = el("input", { id: "room", value: room, maxlength: 64, autocomplete: "off", spellcheck: "false" });
  const roomForm = el("form", { class: "room" }, el("label", { for: "room", class: "soft" }, "Room"), roomInput);
  roomForm.addEventListener("submit", (event) => {
    event.preventDefault();
    move(roomInput);
  });
  roomInput.addEventListener("change", () => move(roomInput));
  const input = el("input", {
    id: "say",
    maxlength: LONGEST,
    autocomplete: "off",
    enterkeyhint: "send",
    placeholder: "Say something",
  });
  const composer = el(
    "form",
    { class: "composer" },
    el("label", { for: "say", id: "say-label", class: "hidden" }),
    input,
    el("button", { type: "submit", class: "primary" }, "Send"),
  );
  composer.addEventListener("submit", (event) => {
    event.preventDefault();
    if (input.value.trim()) say(input.value.trim());
    input.value = "";
  });
  show(
    byId("talk"),
    el("header", {}, el("h2", { id: "talk-title" }, "Chat"), roomForm),
    el(
      "details",
      { class: "people" },
      el("summary", { id: "people-count" }),
      el("ul", { id: "people" }),
      el(
        "button",
        { type: "button", id: "call-all", class: "quiet", hidden: true, onclick: () => ring(room) },
        "Call all",
      ),
    ),
    el("p", { id: "talk-trouble", class: "trouble", role: "status", hidden: true }),
    el("div", { id: "log", class: "log", role: "log", tabindex: "0" }),
    composer,
  );
}

/** @param {HTMLInputElement} input */
function move(input) {
  const name = input.value.trim();
  if (name === room) return;
  const good = ROOM.test(name);
  if (good) input.removeAttribute("aria-invalid");
  else input.setAttribute("aria-invalid", "true");
  onTrouble(good ? "" : "A room's name has 1 to 64 letters, digits, - and _.");
  if (good) enter(name);
}

/** @param {string} text Empty: none. */
function onTrouble(text) {
  byId("talk-trouble").hidden = !text;
  byId("talk-trouble").textContent = text;
}

/**
 * @param {Messages} connection
 * @param {(room: string, user?: string) => void} onCall Rings a user, or everyone in the room.
 */
export function startChat(connection, onCall) {
  ring = onCall;
  const onGap = (/** @type {string} */ text) => put(el("p", { class: "gap" }, text));
  client = new RoomClient(connection, { onMessage, onRefused, onStored, onPeople, onPresence, onGap, onTrouble });
  watchView(() => {
    if (!visible() || !signedIn()) return;
    count(0);
    log().scrollTop = log().scrollHeight;
  });
  document.addEventListener("visibilitychange", () => {
    if (visible()) count(0);
  });
  watchSession((session) => {
    byId("talk").hidden = !session;
    count(0);
    if (!session) {
      client.enter("");
      show(byId("talk"));
      return;
    }
    room = FIRST_ROOM;
    renderFrame();
    settle();
    enter(room);
  });
}
