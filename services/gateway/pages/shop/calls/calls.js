// Calls in the page: from the button beside a name to hanging up. What can be decided without a page is in its neighbours.

import { call } from "../api.js";
import { signedIn, watchSession } from "../session.js";
import { byId, el, find, Problem, show } from "../shared/page.js";
import { toast } from "../toasts.js";
import { CallClient } from "./call_client.js";
import { LocalMedia } from "./media.js";
import { figuresOf, rates } from "./stats.js";
import { messageOf, textOf } from "./talk.js";
import * as views from "./view.js";

/** @import { Messages } from "../connection.js" */
/** @import { Peer } from "./peer.js" */
/** @import { Said } from "./talk.js" */
/** @import { CallActions, Measured } from "./view.js" */

const EVERY = 1000;
const OVER_FOR = 6000;

class CallView {
  #client;
  #media = new LocalMedia(() => this.#mediaChanged());
  #nameOf;
  /** @type {Map<string, HTMLElement>} By participant; "" is this window. */
  #tiles = new Map();
  /** @type {Map<string, Measured>} By participant. */
  #measured = new Map();
  /** @type {Said[]} */
  #said = [];
  /** @type {Map<string, string[]>} By participant: texts for whom there is no connection yet. */
  #unsent = new Map();
  /** @type {ReturnType<typeof views.talkView> | null} */
  #talk = null;
  #measuring = false;
  #opening = false;
  #before = "none";
  #refusal = "";
  /** @type {CallActions} */
  #actions;

  /**
   * @param {Messages} connection
   * @param {(user: string) => string} nameOf
   */
  constructor(connection, nameOf) {
    this.#nameOf = nameOf;
    this.#client = new CallClient(
      connection,
      () => this.#ice(),
      () => signedIn()?.subject ?? "",
      {
        onChange: () => this.#render(),
        onRefused: (detail) => this.#refused(detail),
        onChannel: (peer, channel) => this.#listen(peer, channel),
      },
    );
    this.#actions = {
      accept: (video) => this.#answer(video),
      decline: () => this.#client.decline(),
      hangUp: () => this.#client.hangUp(),
      dismiss: () => this.#client.dismiss(),
      microphone: () => this.#media.toggleMicrophone(),
      camera: () => this.#media.toggleCamera(),
      screen: () => this.#media.toggleScreen(),
      measure: () => this.#toggleFigures(),
      say: (text) => this.#say(text),
    };
    setInterval(() => this.#measure(), EVERY);
    addEventListener("pagehide", () => this.#client.hangUp());
    watchSession((session) => {
      if (!session) this.#client.hangUp();
    });
  }

  /**
   * Rings a user, or everyone in a room, with camera and microphone.
   * @param {string} room
   * @param {string} [user]
   */
  async ring(room, user) {
    if (this.#opening || ["calling", "in"].includes(this.#client.role)) return;
    await this.#open(true);
    this.#client.ring(room, user);
  }

  /** @param {boolean} video */
  async #answer(video) {
    if (this.#opening) return;
    await this.#open(video);
    this.#client.accept();
  }

  /** @param {boolean} video */
  async #open(video) {
    this.#opening = true;
    this.#refusal = "";
    try {
      await this.#media.open(video);
    } finally {
      this.#opening = false;
    }
  }

  async #ice() {
    try {
      /** @type {{ iceServers: RTCIceServer[] }} */
      const { iceServers } = await call("GET", "/api/v3/ice");
      return { iceServers };
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      return {}; // within one network a call needs no server
    }
  }

  /** @param {string} detail */
  #refused(detail) {
    this.#refusal = detail;
    if (!["calling", "in"].includes(this.#client.role)) this.#media.close();
    toast("No call", detail, "warn");
    this.#render();
  }

  #mediaChanged() {
    this.#client.send(this.#media.stream);
    this.#render();
  }

  // What passes the data channels.

  /**
   * @param {Peer} peer
   * @param {RTCDataChannel} channel
   */
  #listen(peer, channel) {
    channel.addEventListener("message", ({ data }) => {
      const text = textOf(data);
      if (!text) return;
      const from = this.#client.others.find((one) => one.id === peer.id);
      this.#hear({ from: from?.name || "Another", text });
    });
    for (const text of this.#unsent.get(peer.id) ?? []) channel.send(messageOf(text));
    this.#unsent.delete(peer.id);
    this.#render();
  }

  /** @param {string} text */
  #say(text) {
    for (const [id, peer] of this.#client.peers) {
      if (peer.channel?.readyState === "open") peer.channel.send(messageOf(text));
      else this.#unsent.set(id, [...(this.#unsent.get(id) ?? []), text]);
    }
    this.#hear({ from: "You", text });
  }

  /** @param {Said} said */
  #hear(said) {
    this.#said = [...this.#said, said].slice(-200);
    this.#talk?.update(this.#said);
  }

  // What is measured.

  #toggleFigures() {
    this.#measuring = !this.#measuring;
    this.#render();
  }

  async #measure() {
    for (const [id, peer] of this.#client.peers) {
      if (peer.connection.connectionState !== "connected") continue;
      const figures = figuresOf((await peer.connection.getStats()).values());
      this.#measured.set(id, { figures, rate: rates(this.#measured.get(id)?.figures, figures) });
    }
    if (this.#measuring && this.#client.role === "in") this.#renderFigures();
  }

  #renderFigures() {
    const rows = this.#client.others.map(
      (one) => /** @type {[string, Measured | undefined]} */ ([one.name || "Another", this.#measured.get(one.id)]),
    );
    show(byId("call-measured"), this.#measuring ? views.figuresView(rows) : null);
  }

  // What is shown.

  #render() {
    const { role } = this.#client;
    const began = role !== this.#before;
    this.#before = role;
    const panel = byId("call");
    panel.hidden = role === "none" || role === "elsewhere";
    if (role === "in" || role === "calling") this.#renderCall(began && role === "in");
    else if (role === "rung" || role === "joinable") this.#renderRing(role === "joinable");
    else if (role === "over" && began) this.#renderEnd();
    if (began && ["none", "over", "elsewhere"].includes(role)) this.#clear();
  }

  #clear() {
    if (!this.#opening) this.#media.close();
    this.#tiles.clear();
    this.#measured.clear();
    this.#unsent.clear();
    this.#said = [];
    this.#talk = null;
    this.#measuring = false;
  }

  /** @param {boolean} joining */
  #renderRing(joining) {
    const caller = this.#nameOf(this.#client.call?.caller ?? "");
    show(byId("call"), el("h2", { id: "call-title" }, "Call"), views.ringing(caller, joining, this.#actions));
  }

  #renderEnd() {
    const { call: over } = this.#client;
    if (!over) return;
    const user = signedIn()?.subject;
    const other = over.callee ? this.#nameOf(over.caller === user ? over.callee : over.caller) : "";
    show(
      byId("call"),
      el("h2", { id: "call-title" }, "Call"),
      el("p", { role: "status" }, views.ending(over.state, over.reason ?? "", other)),
      el("button", { type: "button", class: "plain", onclick: this.#actions.dismiss }, "Close"),
    );
    setTimeout(() => {
      if (this.#client.call === over) this.#client.dismiss();
    }, OVER_FOR);
  }

  /** @param {boolean} anew */
  #renderCall(anew) {
    const panel = byId("call");
    if (anew || !panel.querySelector(".tiles")) {
      this.#talk = views.talkView(this.#said, this.#actions);
      this.#tiles.clear();
      show(
        panel,
        el("h2", { id: "call-title" }),
        el("p", { id: "call-trouble", class: "trouble", role: "status", hidden: true }),
        el("div", { class: "tiles", id: "call-tiles" }),
        el("div", { id: "call-buttons" }),
        el("div", { id: "call-measured" }),
        this.#talk.node,
      );
    }
    byId("call-title").textContent = views.title(this.#client, this.#nameOf);
    const trouble = [this.#refusal, ...this.#media.problems].filter(Boolean).join(" ");
    byId("call-trouble").hidden = !trouble;
    byId("call-trouble").textContent = trouble;
    show(byId("call-buttons"), views.controls(this.#media, this.#actions, this.#measuring));
    find(panel, ".call-talk").hidden = this.#client.role !== "in";
    this.#renderTiles();
    this.#renderFigures();
  }

  #renderTiles() {
    const { others, peers } = this.#client;
    const shown = new Set(["", ...others.map((one) => one.id)]);
    for (const [id, node] of this.#tiles) {
      if (shown.has(id)) continue;
      node.remove();
      this.#tiles.delete(id);
    }
    const own = this.#tile("", "You", this.#media.stream);
    own.classList.add("own");
    own.classList.toggle("screen", this.#media.sending.screen);
    own.classList.toggle("blank", !this.#media.stream.getVideoTracks().length);
    for (const one of others) {
      const peer = peers.get(one.id);
      const node = this.#tile(one.id, one.name || "Another", peer?.stream ?? null);
      node.classList.toggle("blank", !peer?.hasPicture);
      find(node, "figcaption .soft").textContent = views.connectionWords(peer, one.present);
    }
  }

  /**
   * @param {string} id
   * @param {string} name
   * @param {MediaStream | null} stream
   */
  #tile(id, name, stream) {
    const node = this.#tiles.get(id) ?? views.tile(name, id === "");
    if (!this.#tiles.has(id)) {
      this.#tiles.set(id, node);
      byId("call-tiles").append(node);
    }
    const video = find(node, "video", HTMLVideoElement);
    if (video.srcObject !== stream) video.srcObject = stream;
    return node;
  }
}

/**
 * @param {Messages} connection
 * @param {(user: string) => string} nameOf The name of a user in the room.
 */
export const startCalls = (connection, nameOf) => new CallView(connection, nameOf);
