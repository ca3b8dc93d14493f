// A room of the chat over a connection: what is sent, and what comes back, in any order.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { RoomClient } from "../../../services/gateway/pages/shop/room.js";

/** @typedef {Record<string, any>} Anything */

/** The server's side: takes down what is sent, and brings messages. */
class Wire {
  /** @type {Anything[]} */
  sent = [];
  /** @type {Map<string, (message: any) => void>} */
  #handlers = new Map();
  /** @type {() => void} */
  #begin = () => {};

  /**
   * @param {string} type
   * @param {(message: any) => void} handler
   */
  on(type, handler) {
    this.#handlers.set(type, handler);
  }

  /** @param {() => void} begin */
  onReady(begin) {
    this.#begin = begin;
  }

  /** @param {Anything} message */
  send(message) {
    this.sent.push(message);
    return true;
  }

  connect() {
    this.sent = [];
    this.#begin();
  }

  /**
   * @param {string} type
   * @param {Anything} message
   */
  bring(type, message) {
    this.#handlers.get(type)?.(message);
  }
}

/** @type {Wire} */
let wire;
/** @type {unknown[][]} */
let told;
/** @type {RoomClient} */
let client;

beforeEach(() => {
  wire = new Wire();
  told = [];
  const tell =
    (/** @type {string} */ name) =>
    (/** @type {unknown[]} */ ...values) =>
      void told.push([name, ...values]);
  client = new RoomClient(wire, {
    onMessage: (message) => told.push(["message", message.id]),
    onStored: tell("stored"),
    onRefused: tell("refused"),
    onPeople: (people, total) => told.push(["people", people.length, total]),
    onPresence: (person, present) => told.push(["presence", person.user_id, present]),
    onGap: tell("gap"),
    onTrouble: tell("trouble"),
  });
  client.enter("hall");
  wire.bring("joined", { room: "hall", people: [{ user_id: "a", name: "Ada" }], total: 1 });
});

/**
 * @param {string} id
 * @param {string} [client_id]
 */
const message = (id, client_id = "") => ({
  room: "hall",
  id,
  client_id,
  user_id: "a",
  name: "",
  text: "",
  sent_at: "",
});
const ours = { room: "hall", client_id: "c1", text: "hello" };
const SAY = { type: "say", room: "hall", text: "hello", client_id: "c1" };

test("joining brings the history and the people", () => {
  assert.deepEqual(wire.sent, [{ type: "join", room: "hall", name: "", ref: "join hall", history: 50 }]);
  assert.deepEqual(told, [
    ["trouble", ""],
    ["people", 1, 1],
  ]);
});

test("a new connection goes on after the last message", () => {
  wire.bring("message", message("05"));
  wire.bring("message", message("03"));
  wire.connect();
  assert.deepEqual(wire.sent, [{ type: "join", room: "hall", name: "", ref: "join hall", resume_after: "05" }]);
});

test("what is not known to be stored is sent again after joining", () => {
  client.say(ours);
  wire.connect();
  wire.bring("joined", { room: "hall", people: [], total: 0 });
  assert.deepEqual(wire.sent.at(-1), SAY);
});

test("what is stored, or has come back, is not sent again", () => {
  client.say(ours);
  wire.bring("said", { room: "hall", client_id: "c1" });
  client.say({ ...ours, client_id: "c2" });
  wire.bring("message", message("06", "c2"));
  wire.connect();
  wire.bring("joined", { room: "hall", people: [], total: 0 });
  assert.equal(wire.sent.length, 1);
  assert.deepEqual(told.slice(2, 4), [
    ["stored", "c1"],
    ["message", "06"],
  ]);
});

test("a message that is refused for good is given back with the reason", () => {
  client.say(ours);
  wire.bring("error", { client_id: "c1", code: "INVALID_ARGUMENT", detail: "text is too long" });
  assert.deepEqual(told.at(-1), ["refused", "c1", "text is too long"]);
  assert.equal(client.enter("other"), 0);
});

test("a message that is refused for a while is sent again", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  client.say(ours);
  wire.sent = [];
  wire.bring("error", { client_id: "c1", code: "UNAVAILABLE", detail: "" });
  assert.deepEqual(wire.sent, []);
  context.mock.timers.tick(1500);
  assert.deepEqual(wire.sent, [SAY]);
});

test("another room is entered, and the old one left with what was not stored", () => {
  client.say(ours);
  wire.sent = [];
  assert.equal(client.enter("kitchen"), 1);
  assert.deepEqual(
    wire.sent.map((item) => [item.type, item.room]),
    [
      ["leave", "hall"],
      ["join", "kitchen"],
    ],
  );
  wire.bring("message", message("09"));
  assert.ok(!told.some(([name]) => name === "message"), "a message of the old room");
});

test("after too long an absence the room begins anew, and says that something is missing", () => {
  wire.bring("message", message("05"));
  wire.connect();
  wire.bring("error", { ref: "join hall", code: "FAILED_PRECONDITION", reason: "MESSAGE_TOO_OLD", detail: "" });
  assert.equal(told.at(-1)?.[0], "gap");
  assert.equal(wire.sent.at(-1)?.history, 50);
});

test("a room that cannot be joined now is tried again", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  wire.connect();
  wire.bring("error", { ref: "join hall", code: "UNAVAILABLE", detail: "chat is unavailable" });
  assert.deepEqual(told.at(-1), ["trouble", "chat is unavailable"]);
  context.mock.timers.tick(1500);
  assert.equal(wire.sent.length, 2);
});
