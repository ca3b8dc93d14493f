// A room of the chat over the line: joining, going on after what was seen last, and saying each thing once.

import { call, Problem } from "./api.js";
import { signedIn } from "./session.js";

const HISTORY = 50;
const AGAIN = 1500;
const PASSING = new Set(["UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "ABORTED"]);

export class Hall {
  #line; #told; #room = ""; #last = ""; #waiting = new Map(); #timer = 0;

  /** `told` has heard, refused, stored, present, changed, gap, trouble. */
  constructor(line, told) {
    this.#line = line;
    this.#told = told;
    line.onReady(() => this.#begin());
    line.on("joined", (message) => this.#own(message, () => this.#joined(message)));
    line.on("message", (message) => this.#own(message, () => this.#heard(message)));
    line.on("said", (message) => this.#own(message, () => { this.#waiting.delete(message.client_id); told.stored(message); }));
    line.on("presence", (message) => this.#own(message, () => told.changed(message, message.present)));
    line.on("interrupted", (message) => this.#own(message, () => told.trouble("The chat is away for a moment; what you write is kept.")));
    line.on("missed", (message) => this.#own(message, () => this.#fetch(message)));
    line.on("error", (message) => this.#refused(message));
  }

  /** Be in this room, and in no other. Returns how many messages to the one before are given up, not known to be stored. */
  enter(room) {
    const given = this.#waiting.size;
    clearTimeout(this.#timer);
    if (this.#room && this.#room !== room) this.#line.send({ type: "leave", room: this.#room });
    this.#room = room;
    this.#last = "";
    this.#waiting.clear();
    if (room) this.#begin();
    return given;
  }

  /** `message` has text and client_id. It is said as often as it takes until it is known to be stored. */
  say(message) {
    this.#waiting.set(message.client_id, message);
    this.#say(message);
  }

  #say({ text, client_id }) { this.#line.send({ type: "say", room: this.#room, text, client_id }); }

  #own(message, work) { if (message.room === this.#room) work(); }

  #begin() {
    if (!this.#room) return;
    const since = this.#last ? { resume_after: this.#last } : { history: HISTORY };
    this.#line.send({ type: "join", room: this.#room, name: signedIn().profile?.name || "", ref: `join ${this.#room}`, ...since });
  }

  #joined(message) {
    this.#told.trouble("");
    this.#told.present(message.people, message.total);
    for (const waiting of this.#waiting.values()) this.#say(waiting);
  }

  #heard(message) {
    if (message.id > this.#last) this.#last = message.id;
    this.#waiting.delete(message.client_id);
    this.#told.heard(message);
  }

  #later(work) {
    const room = this.#room;
    this.#timer = setTimeout(() => { if (room === this.#room) work(); }, AGAIN);
  }

  #refused(error) {
    const waiting = this.#waiting.get(error.client_id);
    if (waiting && PASSING.has(error.code)) this.#later(() => { if (this.#waiting.has(error.client_id)) this.#say(waiting); });
    else if (waiting) {
      this.#waiting.delete(error.client_id);
      this.#told.refused(error.client_id, error.detail);
    } else if (error.ref === `join ${this.#room}`) this.#notJoined(error);
  }

  #notJoined(error) {
    if (error.reason === "MESSAGE_TOO_OLD") {
      this.#last = "";
      this.#told.gap("You were away for long: something may be missing here.");
      this.#begin();
      return;
    }
    this.#told.trouble(error.detail);
    if (PASSING.has(error.code)) this.#later(() => this.#begin());
  }

  // We read too slowly, and the chat left something out: it is all in the history.
  async #fetch({ first, last }) {
    const room = this.#room;
    let since = this.#last < first ? this.#last : "";
    try {
      for (let more = true; more && room === this.#room;) {
        const query = new URLSearchParams({ room, since });
        const page = await call("GET", `/api/v3/messages?${query}`);
        for (const message of page.messages) this.#own(message, () => this.#told.heard(message));
        more = page.messages.length > 0 && page.messages.at(-1).id < last;
        since = page.next;
      }
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#told.gap(`Something that was said here could not be read: ${error.message}`);
    }
  }
}
