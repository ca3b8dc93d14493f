// Calls in the page, as far as they need no browser: whose turn it is, what is measured, what is said of the end.

import assert from "node:assert/strict";
import { test } from "node:test";
import { roleIn } from "../../../services/gateway/pages/shop/calls/call_client.js";
import { why } from "../../../services/gateway/pages/shop/calls/media.js";
import { bitRate, figuresOf, loss, rates, way } from "../../../services/gateway/pages/shop/calls/stats.js";
import { messageOf, textOf } from "../../../services/gateway/pages/shop/calls/talk.js";
import { ending } from "../../../services/gateway/pages/shop/calls/view.js";

const ADA = { id: "a", user_id: "ada", name: "Ada", present: true };
const CALL = { call: "1", room: "hall", state: "ringing", caller: "ada", callee: "grace", participants: [ADA] };

test("a ringing call is another thing to each who hears of it", () => {
  assert.equal(roleIn(null, "", "ada"), "none");
  assert.equal(roleIn(CALL, "a", "ada"), "calling");
  assert.equal(roleIn(CALL, "", "ada"), "elsewhere");
  assert.equal(roleIn(CALL, "", "grace"), "rung");
  assert.equal(roleIn(CALL, "", "joan"), "none");
  assert.equal(roleIn({ ...CALL, callee: undefined }, "", "joan"), "rung");
});

test("a call that goes on can be joined only where it is of the whole room", () => {
  const going = { ...CALL, state: "accepted" };
  assert.equal(roleIn(going, "a", "ada"), "in");
  assert.equal(roleIn(going, "", "joan"), "none");
  assert.equal(roleIn({ ...going, callee: undefined }, "", "joan"), "joinable");
});

test("whatever ends a call, it is over", () => {
  for (const state of ["declined", "busy", "missed", "ended"])
    assert.equal(roleIn({ ...CALL, state }, "a", "ada"), "over");
});

test("what became of a call is a sentence", () => {
  assert.equal(ending("declined", "", "Grace"), "Grace declined the call.");
  assert.equal(ending("busy", "in_another_call", "Grace"), "Grace is in another call.");
  assert.equal(ending("missed", "no_answer", ""), "There was no answer.");
  assert.equal(ending("ended", "hung_up", "Grace"), "The call has ended.");
  assert.equal(ending("ended", "unheard of", "Grace"), "The call has ended.");
});

const REPORT = [
  { id: "t", type: "transport", timestamp: 2000, selectedCandidatePairId: "p" },
  { id: "old", type: "candidate-pair", timestamp: 2000, state: "succeeded", nominated: true, localCandidateId: "r" },
  {
    ...{ id: "p", type: "candidate-pair", timestamp: 2000, localCandidateId: "l", remoteCandidateId: "r" },
    ...{ currentRoundTripTime: 0.02, bytesReceived: 3000, bytesSent: 1000 },
  },
  { id: "l", type: "local-candidate", timestamp: 2000, candidateType: "host", protocol: "udp" },
  { id: "r", type: "remote-candidate", timestamp: 2000, candidateType: "srflx" },
  {
    ...{ id: "a", type: "inbound-rtp", timestamp: 2000, kind: "audio", jitter: 0.004 },
    ...{ packetsReceived: 90, packetsLost: 10, codecId: "c" },
  },
  { id: "c", type: "codec", timestamp: 2000, mimeType: "audio/opus" },
];

test("figures are those of the pair that is in use", () => {
  const figures = figuresOf(REPORT);
  assert.deepEqual([figures.local, figures.remote, figures.protocol, figures.rtt], ["host", "srflx", "udp", 0.02]);
  assert.deepEqual([figures.codecs, figures.jitter, loss(figures)], [["opus"], 0.004, 0.1]);
  assert.equal(way(figures), "direct, through routers");
  const before = { ...figures, at: 1000, bytesIn: 2000, bytesOut: 1000 };
  assert.deepEqual(rates(before, figures), { in: 8000, out: 0 });
  assert.equal(rates(undefined, figures), undefined);
});

test("without a connection there are no figures, and no error", () => {
  const figures = figuresOf([]);
  assert.equal(way(figures), "no connection yet");
  assert.equal(loss(figures), 0);
});

test("bit rates are given in units that fit", () => {
  assert.equal(bitRate(2_345_678), "2.3 Mbit/s");
  assert.equal(bitRate(64_000), "64 kbit/s");
});

test("a text goes over the channel and comes out, and nothing else does", () => {
  assert.equal(textOf(messageOf("Grüße")), "Grüße");
  for (const data of [
    "",
    "{",
    "null",
    '"text"',
    '{"kind":"text"}',
    '{"kind":"text","text":1}',
    new ArrayBuffer(3),
    undefined,
  ])
    assert.equal(textOf(data), "");
  assert.equal(textOf(JSON.stringify({ kind: "text", text: "x".repeat(5000) })).length, 2000);
});

test("why there is no camera is said in words", () => {
  assert.equal(why(new DOMException("", "NotFoundError")), "there is none");
  assert.equal(why(new Error("strange")), "strange");
  assert.equal(why(null), "it does not answer");
});
