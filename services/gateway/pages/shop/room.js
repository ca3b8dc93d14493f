// A room of the chat over the connection: joining, going on after what was seen last, and sending each message once.

import { call } from "./api.js";
import { signedIn } from "./session.js";
import { Problem } from "./shared/page.js";

/** @import { Messages } from "./connection.js" */
/** @import { Message, Outgoing, Person, Refusal, ServerMessages } from "./resources.js" */
/**
 * @typedef {object} RoomListener What happens in the room.
 * @property {(message: Message) => void} onMessage The same message may come more than once.
 * @property {(id: string) => void} onStored A message of ours, by its client id, is stored; it comes back as any other.
 * @property {(id: string, reason: string) => void} onRefused
 * @property {(people: Person[], total: number) => void} onPeople
 * @property {(person: Person, present: boolean) => void} onPresence
 * @property {(text: string) => void} onGap Something may be missing at this place.
 * @property {(text: string) => void} onTrouble Empty: it is over.
 */

const HISTORY = 50;
const RETRY = 1500;
const TRANSIENT = new Set(["UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "ABORTED"]);

export class RoomClient {
  #connection;
  #listener;
  #room = "";
  #last = "";
  /** @type {Map<string, Outgoing>} By client id: what is not known to be stored. */
  #waiting = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {Messages} connection
   * @param {RoomListener} listener
   */
  constructor(connection, listener) {
    this.#connection = connection;
    this.#listener = listener;
    connection.onReady(() => this.#join());
    connection.on("joined", (message) => this.#own(message, () => this.#joined(message)));
    connection.on("message", (message) => this.#own(message, () => this.#receive(message)));
    connection.on("said", (message) => this.#own(message, () => this.#stored(message.client_id)));
    connection.on("presence", (message) => this.#own(message, () => listener.onPresence(message, message.present)));
    connection.on("interrupted", (message) =>
      this.#own(message, () => listener.onTrouble("The chat is unavailable; your messages are sent when it is back.")),
    );
    connection.on("missed", (message) => this.#own(message, () => this.#fetch(message)));
    connection.on("error", (message) => this.#refused(message));
  }

  /**
   * Enters this room, and leaves the one before. Returns how many messages to that are given up, not known to be stored.
   * @param {string} room Empty: none.
   */
  enter(room) {
    const given = this.#waiting.size;
    clearTimeout(this.#timer);
    if (this.#room && this.#room !== room) this.#connection.send({ type: "leave", room: this.#room });
    this.#room = room;
    this.#last = "";
    this.#waiting.clear();
    if (room) this.#join();
    return given;
  }

  /**
   * Sends a message as often as it takes until it is known to be stored; the chat takes each client id once.
   * @param {Outgoing} message
   */
  say(message) {
    this.#waiting.set(message.client_id, message);
    this.#send(message);
  }

  /** @param {Outgoing} message */
  #send({ text, client_id }) {
    this.#connection.send({ type: "say", room: this.#room, text, client_id });
  }

  /**
   * @param {{ room: string }} message
   * @param {() => void} work
   */
  #own(message, work) {
    if (message.room === this.#room) work();
  }

  #join() {
    if (!this.#room) return;
    const since = this.#last ? { resume_after: this.#last } : { history: HISTORY };
    const name = signedIn()?.profile?.name ?? "";
    this.#connection.send({ type: "join", room: this.#room, name, ref: `join ${this.#room}`, ...since });
  }

  /** @param {ServerMessages["joined"]} message */
  #joined(message) {
    this.#listener.onTrouble("");
    this.#listener.onPeople(message.people, message.total);
    for (const waiting of this.#waiting.values()) this.#send(waiting);
  }

  /** @param {Message} message */
  #receive(message) {
    if (message.id > this.#last) this.#last = message.id;
    this.#waiting.delete(message.client_id);
    this.#listener.onMessage(message);
  }

  /** @param {string} id */
  #stored(id) {
    this.#waiting.delete(id);
    this.#listener.onStored(id);
  }

  /** @param {() => void} work */
  #later(work) {
    const room = this.#room;
    this.#timer = setTimeout(() => {
      if (room === this.#room) work();
    }, RETRY);
  }

  /** @param {Refusal} error */
  #refused(error) {
    const id = error.client_id ?? "";
    const waiting = this.#waiting.get(id);
    if (waiting && TRANSIENT.has(error.code)) {
      this.#later(() => {
        if (this.#waiting.has(id)) this.#send(waiting);
      });
    } else if (waiting) {
      this.#waiting.delete(id);
      this.#listener.onRefused(id, error.detail);
    } else if (error.ref === `join ${this.#room}`) {
      this.#notJoined(error);
    }
  }

  /** @param {Refusal} error */
  #notJoined(error) {
    if (error.reason === "MESSAGE_TOO_OLD") {
      this.#last = "";
      this.#listener.onGap("Older messages are missing here: you were away for too long.");
      this.#join();
      return;
    }
    this.#listener.onTrouble(error.detail);
    if (TRANSIENT.has(error.code)) this.#later(() => this.#join());
  }

  /**
   * Reads from the history what the chat has left out because this client read too slowly.
   * @param {ServerMessages["missed"]} range
   */
  async #fetch({ first, last }) {
    const room = this.#room;
    let since = this.#last < first ? this.#last : "";
    try {
      for (let more = true; more && room === this.#room; ) {
        const query = new URLSearchParams({ room, since });
        /** @type {{ messages: Message[], next: string }} */
        const page = await call("GET", `/api/v3/messages?${query}`);
        for (const message of page.messages) this.#own(message, () => this.#listener.onMessage(message));
        const newest = page.messages.at(-1);
        more = newest !== undefined && newest.id < last;
        since = page.next;
      }
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#listener.onGap(`Messages are missing here: ${error.message}`);
    }
  }
}
