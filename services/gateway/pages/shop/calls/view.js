// The call as it is seen: who rings, who takes part, the buttons, and what the connections measure.

import { el, plural, show } from "../shared/page.js";
import { bitRate, loss, way } from "./stats.js";

/** @import { CallClient } from "./call_client.js" */
/** @import { LocalMedia } from "./media.js" */
/** @import { Peer } from "./peer.js" */
/** @import { Figures } from "./stats.js" */
/** @import { Said } from "./talk.js" */
/** @typedef {{ figures: Figures, rate: { in: number, out: number } | undefined }} Measured */
/**
 * @typedef {object} CallActions
 * @property {(video: boolean) => void} accept
 * @property {() => void} decline
 * @property {() => void} hangUp
 * @property {() => void} dismiss
 * @property {() => void} microphone
 * @property {() => void} camera
 * @property {() => void} screen
 * @property {() => void} measure
 * @property {(text: string) => void} say
 */

/** @type {Record<string, string>} */
const ENDS = {
  declined: "declined the call",
  busy: "is in another call",
  no_answer: "did not answer",
  cancelled: "The call was cancelled",
  vanished: "The connection of the other end was lost",
  hung_up: "The call has ended",
  too_long: "The call has ended after its longest time",
  lost: "The gateway has lost the call",
};

/**
 * What became of a call, in words.
 * @param {string} state
 * @param {string} reason
 * @param {string} other The name of the other end; empty: a call of a room.
 */
export function ending(state, reason, other) {
  const words = ENDS[reason] ?? ENDS[state] ?? "The call has ended";
  const needsName = !/^[A-Z]/.test(words);
  if (needsName) return other ? `${other} ${words}.` : "There was no answer.";
  return `${words}.`;
}

/**
 * What is known of a connection, in words.
 * @param {Peer | undefined} peer
 * @param {boolean} present
 */
export function connectionWords(peer, present) {
  const state = peer?.connection.iceConnectionState ?? "new";
  if (state === "failed") {
    const tried = [...(peer?.tried ?? [])].sort().join(", ") || "none";
    return `no way was found; candidates tried: ${tried}. A TURN server may help.`;
  }
  if (state === "disconnected") return "the connection is interrupted …";
  if (state === "connected" || state === "completed") return present ? "" : "away from the gateway; the media go on";
  return "connecting …";
}

/**
 * @param {string} id
 * @param {string} label
 * @param {boolean} pressed
 * @param {() => void} action
 */
const toggle = (id, label, pressed, action) =>
  el("button", { type: "button", id, class: "plain", "aria-pressed": String(pressed), onclick: action }, label);

/**
 * A tile that plays a stream; made once for each stream, since one that is made anew begins anew.
 * @param {string} name
 * @param {boolean} muted
 */
export function tile(name, muted) {
  const video = el("video", { autoplay: true, playsinline: true, "aria-label": `Video of ${name}` });
  video.muted = muted;
  return el(
    "figure",
    { class: "tile" },
    video,
    el("figcaption", {}, el("span", {}, name), el("span", { class: "soft" })),
  );
}

/**
 * The buttons of a call that goes on.
 * @param {LocalMedia} media
 * @param {CallActions} actions
 * @param {boolean} measuring
 */
export function controls(media, actions, measuring) {
  const { microphone, camera, screen } = media.sending;
  return el(
    "div",
    { class: "call-controls" },
    toggle("call-microphone", microphone ? "Mute" : "Unmute", !microphone, actions.microphone),
    toggle("call-camera", camera ? "Camera off" : "Camera on", camera, actions.camera),
    toggle("call-screen", screen ? "Stop sharing" : "Share screen", screen, actions.screen),
    toggle("call-measure", "Figures", measuring, actions.measure),
    el("button", { type: "button", id: "call-end", class: "primary bad", onclick: actions.hangUp }, "Hang up"),
  );
}

/**
 * Who rings, with the buttons to answer.
 * @param {string} caller
 * @param {boolean} joining Whether it is a call of the room that goes on.
 * @param {CallActions} actions
 */
export const ringing = (caller, joining, actions) =>
  el(
    "div",
    { class: "call-ring" },
    el("p", { role: "alert" }, joining ? "There is a call in this room." : `${caller} is calling.`),
    el(
      "div",
      { class: "call-controls" },
      el(
        "button",
        { type: "button", id: "call-accept", class: "primary", onclick: () => actions.accept(true) },
        joining ? "Join" : "Accept",
      ),
      el(
        "button",
        { type: "button", id: "call-accept-audio", class: "plain", onclick: () => actions.accept(false) },
        "Without camera",
      ),
      el(
        "button",
        { type: "button", id: "call-decline", class: "plain", onclick: actions.decline },
        joining ? "Not now" : "Decline",
      ),
    ),
  );

/** @param {number | undefined} seconds */
const ms = (seconds) => (seconds === undefined ? "–" : `${Math.round(seconds * 1000)} ms`);

/**
 * What is measured of each connection.
 * @param {readonly [name: string, measured: Measured | undefined][]} rows
 */
export function figuresView(rows) {
  return el(
    "div",
    { class: "call-figures", id: "call-figures" },
    ...rows.map(([name, measured]) => oneConnection(name, measured)),
    el(
      "p",
      { class: "soft small" },
      "Bytes of this call that passed the server: 0. What it has carried is the signalling: who rings, descriptions and candidates.",
    ),
  );
}

/**
 * @param {string} name
 * @param {Measured | undefined} measured
 */
function oneConnection(name, measured) {
  if (!measured) return el("p", { class: "soft" }, `${name}: nothing is measured yet.`);
  const { figures, rate } = measured;
  /** @type {[string, string][]} */
  const facts = [
    ["Way", way(figures)],
    [
      "Candidates",
      `${figures.local || "–"} / ${figures.remote || "–"}${figures.protocol ? `, ${figures.protocol}` : ""}`,
    ],
    ["Round trip", ms(figures.rtt)],
    ["Jitter", ms(figures.jitter)],
    ["Loss", `${(100 * loss(figures)).toFixed(1)} %`],
    ["Bit rate", rate ? `${bitRate(rate.in)} in, ${bitRate(rate.out)} out` : "–"],
    ["Codecs", figures.codecs.join(", ") || "–"],
    ["Picture", figures.size || "–"],
  ];
  return el(
    "section",
    { "aria-label": `Connection to ${name}` },
    el("h3", {}, name),
    el("dl", {}, ...facts.map(([term, fact]) => el("div", {}, el("dt", {}, term), el("dd", {}, fact)))),
  );
}

/**
 * @param {readonly Said[]} said
 * @param {CallActions} actions
 */
export function talkView(said, actions) {
  const input = el("input", {
    id: "call-say",
    maxlength: 2000,
    autocomplete: "off",
    placeholder: "Straight to the others",
  });
  const form = el(
    "form",
    { class: "composer" },
    el("label", { for: "call-say", class: "hidden" }, "Message to those in the call"),
    input,
    el("button", { type: "submit", class: "plain" }, "Send"),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (input.value.trim()) actions.say(input.value.trim());
    input.value = "";
  });
  const list = el("ol", { id: "call-log", class: "call-log", "aria-label": "Messages in the call", tabindex: "0" });
  /** @param {readonly Said[]} now */
  const update = (now) => {
    show(
      list,
      now.map(({ from, text }) => el("li", {}, el("strong", {}, from), ` ${text}`)),
    );
    list.scrollTop = list.scrollHeight;
  };
  update(said);
  return { node: el("div", { class: "call-talk" }, list, form), update };
}

/**
 * The title of a call.
 * @param {CallClient} client
 * @param {(id: string) => string} nameOf By a user's id.
 */
export function title(client, nameOf) {
  const { call, role, others } = client;
  if (!call) return "";
  if (role === "calling")
    return call.callee ? `Calling ${nameOf(call.callee)} …` : `Calling everyone in ${call.room} …`;
  if (role === "in") return `In a call with ${plural(others.length, "other")}`;
  if (role === "elsewhere") return "In a call in another window";
  return "Call";
}
