// A call over the connection (docs/reference/webrtc.md): ringing, answering, one peer for each other participant, and going on
// after a reconnect. It shows nothing: `listener.onChange` tells that something is different.

import { Peer } from "./peer.js";
import { figuresOf } from "./stats.js";

/** @import { Messages } from "../connection.js" */
/** @import { Refusal } from "../resources.js" */
/** @import { PeerSignal } from "./peer.js" */
/**
 * @typedef {object} Participant
 * @property {string} id
 * @property {string} user_id
 * @property {string} name
 * @property {boolean} present
 * @property {boolean} [polite]
 */
/**
 * @typedef {object} CallState
 * @property {string} call
 * @property {string} room
 * @property {string} state
 * @property {string} caller
 * @property {string} [callee]
 * @property {string} [participant]
 * @property {string} [token]
 * @property {Participant[]} participants
 * @property {string} [reason]
 * @property {number} [alive_seconds]
 */
/** @typedef {PeerSignal & { call: string, from: string }} IncomingSignal */
/**
 * @typedef {object} CallListener
 * @property {() => void} onChange
 * @property {(detail: string) => void} onRefused
 * @property {(peer: Peer, channel: RTCDataChannel) => void} onChannel
 */
/** @typedef {() => Promise<RTCConfiguration>} IceSource */

const REF = "call";
const OVER = new Set(["declined", "busy", "missed", "ended"]);
const ALIVE_SECONDS = 4;
/** Milliseconds between reports of a connection over which nothing has come yet. */
const MEDIA_AGAIN = 1000;

/**
 * What a call is to a user: "none", "calling", "rung", "joinable" (a call of the room that goes on), "in", "elsewhere"
 * (in another window) or "over".
 * @param {CallState | null} call
 * @param {string} participant This window's; empty: it takes no part.
 * @param {string} user
 */
export function roleIn(call, participant, user) {
  if (!call) return "none";
  if (OVER.has(call.state)) return "over";
  if (participant) return call.state === "ringing" ? "calling" : "in";
  if (call.participants.some((one) => one.user_id === user)) return "elsewhere";
  if (call.callee && call.callee !== user) return "none";
  return call.state === "ringing" ? "rung" : "joinable";
}

export class CallClient {
  #connection;
  #listener;
  #ice;
  #user;
  #token = "";
  /** @type {MediaStream} */
  #media = new MediaStream();
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #life;
  /** @type {Map<string, boolean>} By participant: whether it was present. */
  #present = new Map();
  /** @type {CallState | null} */
  call = null;
  participant = "";
  /** @type {Map<string, Peer>} By participant. */
  peers = new Map();

  /**
   * @param {Messages} connection
   * @param {IceSource} ice
   * @param {() => string} user The id of the signed-in user.
   * @param {CallListener} listener
   */
  constructor(connection, ice, user, listener) {
    this.#connection = connection;
    this.#ice = ice;
    this.#user = user;
    this.#listener = listener;
    connection.onReady(() => this.#resume());
    connection.on("call", (call) => this.#see(call));
    connection.on("signal", (signal) => this.#take(signal));
    connection.on("error", (error) => this.#refused(error));
  }

  get role() {
    return roleIn(this.call, this.participant, this.#user());
  }

  /** The other participants. */
  get others() {
    return this.call?.participants.filter((one) => one.id !== this.participant) ?? [];
  }

  /**
   * Rings.
   * @param {string} room
   * @param {string} [to] A user's id; none: everyone in the room.
   */
  ring(room, to) {
    this.#say({ kind: "ring", room, ...(to ? { to } : {}), ref: REF });
  }

  /** Takes part in the call that is there. */
  accept() {
    if (this.call) this.#say({ kind: "accept", call: this.call.call, ref: REF });
  }

  decline() {
    if (this.call) this.#say({ kind: "decline", call: this.call.call });
    this.#end();
  }

  hangUp() {
    if (this.call && this.participant) this.#say({ kind: "hang_up", call: this.call.call });
    this.#end();
  }

  /** Forgets a call that is over. */
  dismiss() {
    if (this.role === "over" || this.role === "elsewhere") this.#end();
  }

  /**
   * Sends these tracks to everyone in the call, now and to who joins.
   * @param {MediaStream} media
   */
  async send(media) {
    this.#media = media;
    await Promise.all([...this.peers.values()].map((peer) => peer.sendTracks(media)));
  }

  /** @param {Record<string, unknown>} message */
  #say(message) {
    this.#connection.send({ type: "signal", ...message });
  }

  /** @param {CallState} call The whole state: only the latest counts. */
  #see(call) {
    const own = call.call === this.call?.call;
    if (!own && this.participant) return;
    if (!own && OVER.has(call.state)) return;
    this.call = { ...call };
    if (call.participant) this.participant = call.participant;
    if (call.token) this.#begin(call.token, call.alive_seconds ?? ALIVE_SECONDS);
    if (this.participant && !OVER.has(call.state) && !call.participants.some((one) => one.id === this.participant))
      return this.#end();
    if (OVER.has(call.state)) this.#leave();
    else if (this.participant && call.state === "accepted") this.#meet();
    return this.#listener.onChange();
  }

  /**
   * @param {string} token
   * @param {number} seconds
   */
  #begin(token, seconds) {
    this.#token = token;
    clearInterval(this.#life);
    this.#life = setInterval(() => this.#connection.send({ type: "ping" }), seconds * 1000);
  }

  /** One peer for each other participant; who was away and is back hears again what may have been lost. */
  #meet() {
    for (const other of this.others) {
      const peer = this.peers.get(other.id);
      if (!peer) this.#add(other);
      else if (other.present && this.#present.get(other.id) === false) peer.resume();
      this.#present.set(other.id, other.present);
    }
    for (const [id, peer] of this.peers) {
      if (this.others.some((other) => other.id === id)) continue;
      peer.close();
      this.peers.delete(id);
    }
  }

  /** @param {Participant} other */
  #add(other) {
    const call = this.call?.call ?? "";
    const peer = new Peer(other.id, Boolean(other.polite), this.#ice(), this.#media, {
      send: (signal) => this.#say({ call, to: other.id, ...signal }),
      onChange: () => this.#listener.onChange(),
      onIce: () => this.#report(peer),
      onChannel: (channel) => this.#listener.onChannel(peer, channel),
    });
    this.peers.set(other.id, peer);
  }

  /** @param {IncomingSignal} signal */
  #take(signal) {
    if (signal.call !== this.call?.call) return;
    this.peers.get(signal.from)?.receive(signal);
  }

  /** @param {Peer} peer */
  async #report(peer) {
    const state = peer.connection.iceConnectionState;
    if (state === "new" || state === "closed") return;
    const figures = figuresOf((await peer.connection.getStats()).values());
    const tried = [...peer.tried];
    const { local, remote, protocol, rtt } = figures;
    const found = local && remote ? { local, remote, protocol, rtt, media: figures.received > 0 } : {};
    if (this.peers.get(peer.id) !== peer) return;
    this.#say({ kind: "report", call: this.call?.call, peer: peer.id, state, tried, ...found });
    if (local && remote && !figures.received) setTimeout(() => this.#report(peer), MEDIA_AGAIN);
  }

  #resume() {
    if (!this.call || !this.participant) return;
    this.#say({
      kind: "resume",
      call: this.call.call,
      participant: this.participant,
      token: this.#token,
      ref: `${REF} resume`,
    });
    for (const peer of this.peers.values()) peer.resume();
  }

  /** @param {Refusal} error */
  #refused(error) {
    if (error.ref === `${REF} resume` || (error.ref === REF && error.reason === "CALL_OVER")) this.#end();
    if (error.ref === REF || error.ref === `${REF} resume`) this.#listener.onRefused(error.detail);
  }

  /** No media and no signals any more; what became of the call is still known. */
  #leave() {
    clearInterval(this.#life);
    for (const peer of this.peers.values()) peer.close();
    this.peers.clear();
    this.#present.clear();
    this.participant = "";
    this.#token = "";
  }

  #end() {
    this.#leave();
    this.call = null;
    this.#listener.onChange();
  }
}
