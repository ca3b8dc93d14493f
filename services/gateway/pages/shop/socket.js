// The connection for chat and notifications (docs/reference/realtime.md), and what keeps it: it is opened again whenever it is lost,
// at once where the gateway says that it only stops this instance (1012), else a little later each time. Who uses it is
// told by `ready` each time that it is open and known, and goes on from where it was.
//
// A browser does not see the protocol's own pings: what has gone silent is found out by a ping of ours.

import { backoff } from "./dom.js";
import { renew, token, watchSession, watchToken } from "./session.js";

const GONE_QUIET = 25000;
const ANSWER_WITHIN = 10000;
const STOPPING = 1012;
const TOO_MUCH = 1008;
const NOT_GOOD = 4401;
const WAIT_AFTER_TOO_MUCH = 20;

export class Line {
  #socket = null; #person = null; #attempt = 0; #timers = new Map(); #used = "";
  #handlers = new Map(); #ready = new Set(); #states = new Set();
  state = "off";

  /** `handler(message)` for each message of the type. */
  on(type, handler) { this.#handlers.set(type, [...(this.#handlers.get(type) || []), handler]); }

  /** `begin()` each time that there is a connection on which the gateway knows us. */
  onReady(begin) { this.#ready.add(begin); }

  /** `told(state)`: off, connecting, live, lost. */
  onState(told) { this.#states.add(told); }

  /** False where there is no connection now: `ready` will come. */
  send(message) {
    if (this.state !== "live") return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  start() {
    watchSession((session) => this.#follow(session));
    watchToken((fresh) => { if (this.state === "live") this.#authenticate(fresh); });
    addEventListener("online", () => this.#hurry());
    addEventListener("pageshow", () => this.#hurry());
  }

  #follow(session) {
    if (session?.subject === this.#person) return;
    this.#person = session?.subject || null;
    this.#attempt = 0;
    this.#drop();
    if (this.#person) this.#connect();
    else this.#become("off");
  }

  #become(state) {
    this.state = state;
    for (const told of this.#states) told(state);
  }

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
    if (this.state === "lost" && this.#person) this.#connect();
  }

  #connect() {
    this.#drop();
    this.#become(this.#attempt ? "lost" : "connecting");
    const address = new URL("ws", document.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address);
    this.#socket = socket;
    socket.onopen = () => token().then((known) => this.#authenticate(known, socket), () => socket.close());
    socket.onmessage = (event) => { if (socket === this.#socket) this.#heard(JSON.parse(event.data)); };
    socket.onclose = (event) => { if (socket === this.#socket) this.#lost(event.code); };
  }

  #authenticate(known, socket = this.#socket) {
    if (!known || socket !== this.#socket) return;
    this.#used = known;
    socket.send(JSON.stringify({ type: "authenticate", token: known }));
  }

  #heard(message) {
    this.#watch();
    if (message.type === "welcome") {
      this.#attempt = 0;
      this.#become("live");
      for (const begin of this.#ready) begin();
    }
    for (const handler of this.#handlers.get(message.type) || []) handler(message);
  }

  #watch() {
    clearTimeout(this.#timers.get("answer"));
    this.#after("quiet", GONE_QUIET, () => {
      if (!this.send({ type: "ping" })) return;
      this.#after("answer", ANSWER_WITHIN, () => this.#lost(0));
    });
  }

  async #lost(code) {
    this.#drop();
    this.#become("lost");
    if (code === NOT_GOOD && !(await renew(this.#used).catch(() => "unknown yet"))) return;
    if (!this.#person) return;
    const seconds = code === TOO_MUCH ? WAIT_AFTER_TOO_MUCH : backoff(this.#attempt);
    const soon = code === STOPPING && this.#attempt === 0 ? 0.2 * Math.random() : seconds;
    this.#attempt += 1;
    this.#after("again", 1000 * soon, () => this.#connect());
  }
}
