// The connection for chat and notifications (docs/reference/realtime.md). It is opened again whenever it is lost: at once if
// the gateway says that only this instance stops (1012), else a little later each time. Its users are told by `onReady`
// each time that it is authenticated, and go on from where they were.
//
// A browser does not see the protocol's own pings: a silent connection is found by a ping of ours.

import { renew, token, watchSession, watchToken } from "./session.js";
import { backoff } from "./shared/page.js";

/** @import { ServerMessages } from "./resources.js" */
/** @import { Session } from "./session_store.js" */
/** @typedef {"off" | "connecting" | "live" | "lost"} ConnectionState */
/** @typedef {Pick<Connection, "on" | "onReady" | "send">} Messages What users of the connection need. */

const QUIET = 25000;
const ANSWER_WITHIN = 10000;
const STOPPING = 1012;
const TOO_MUCH = 1008;
const UNAUTHENTICATED = 4401;
const WAIT_AFTER_TOO_MUCH = 20000;

/**
 * Milliseconds until a connection that was closed with that code is opened again.
 * @param {number} code 0: it was silent.
 * @param {number} attempt From 0.
 */
export function reconnectAfter(code, attempt) {
  if (code === TOO_MUCH) return WAIT_AFTER_TOO_MUCH;
  return code === STOPPING && attempt === 0 ? 200 * Math.random() : backoff(attempt);
}

export class Connection {
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {string | null} The user's id. */
  #user = null;
  #attempt = 0;
  /** @type {Map<string, ReturnType<typeof setTimeout>>} */
  #timers = new Map();
  #used = "";
  /** @type {Map<string, ((message: any) => void)[]>} */
  #handlers = new Map();
  /** @type {Set<() => void>} */
  #ready = new Set();
  /** @type {Set<(state: ConnectionState) => void>} */
  #states = new Set();
  /** @type {ConnectionState} */
  state = "off";

  /**
   * Calls `handler` with each message of the type.
   * @template {keyof ServerMessages} Type
   * @param {Type} type
   * @param {(message: ServerMessages[Type]) => void} handler
   */
  on(type, handler) {
    this.#handlers.set(type, [...(this.#handlers.get(type) ?? []), handler]);
  }

  /**
   * Calls `begin` each time that a connection is authenticated.
   * @param {() => void} begin
   */
  onReady(begin) {
    this.#ready.add(begin);
  }

  /**
   * Calls `listener` with each new state.
   * @param {(state: ConnectionState) => void} listener
   */
  onState(listener) {
    this.#states.add(listener);
  }

  /**
   * Sends a message. Returns false where there is no connection now: `onReady` follows.
   * @param {{ type: string } & Record<string, unknown>} message
   */
  send(message) {
    if (this.state !== "live") return false;
    this.#socket?.send(JSON.stringify(message));
    return true;
  }

  start() {
    watchSession((session) => this.#follow(session));
    watchToken((fresh) => {
      if (this.state === "live" && this.#socket) this.#authenticate(fresh, this.#socket);
    });
    addEventListener("online", () => this.#hurry());
    addEventListener("pageshow", () => this.#hurry());
  }

  /** @param {Session | null} session */
  #follow(session) {
    const user = session?.subject ?? null;
    if (user === this.#user) return;
    this.#user = user;
    this.#attempt = 0;
    this.#drop();
    if (user) this.#connect();
    else this.#become("off");
  }

  /** @param {ConnectionState} state */
  #become(state) {
    this.state = state;
    for (const listener of this.#states) listener(state);
  }

  /**
   * @param {string} name
   * @param {number} ms
   * @param {() => void} work
   */
  #after(name, ms, work) {
    clearTimeout(this.#timers.get(name));
    this.#timers.set(name, setTimeout(work, ms));
  }

  #drop() {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(1000);
  }

  #hurry() {
    if (this.state === "lost" && this.#user) this.#connect();
  }

  #connect() {
    this.#drop();
    this.#become(this.#attempt ? "lost" : "connecting");
    const address = new URL("ws", document.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address);
    this.#socket = socket;
    socket.onopen = () =>
      token().then(
        (known) => this.#authenticate(known, socket),
        () => socket.close(),
      );
    socket.onmessage = (event) => {
      if (socket === this.#socket) this.#receive(JSON.parse(event.data));
    };
    socket.onclose = (event) => {
      if (socket === this.#socket) this.#lose(event.code);
    };
  }

  /**
   * @param {string | null} known
   * @param {WebSocket} socket
   */
  #authenticate(known, socket) {
    if (!known || socket !== this.#socket) return;
    this.#used = known;
    socket.send(JSON.stringify({ type: "authenticate", token: known }));
  }

  /** @param {{ type: string }} message */
  #receive(message) {
    this.#watch();
    if (message.type === "welcome") {
      this.#attempt = 0;
      this.#become("live");
      for (const begin of this.#ready) begin();
    }
    for (const handler of this.#handlers.get(message.type) ?? []) handler(message);
  }

  #watch() {
    clearTimeout(this.#timers.get("answer"));
    this.#after("quiet", QUIET, () => {
      if (!this.send({ type: "ping" })) return;
      this.#after("answer", ANSWER_WITHIN, () => this.#lose(0));
    });
  }

  /** @param {number} code Of the WebSocket's end; 0: it was silent. */
  async #lose(code) {
    this.#drop();
    this.#become("lost");
    if (code === UNAUTHENTICATED && !(await renew(this.#used).catch(() => "unknown yet"))) return;
    if (!this.#user) return;
    this.#after("again", reconnectAfter(code, this.#attempt), () => this.#connect());
    this.#attempt += 1;
  }
}
