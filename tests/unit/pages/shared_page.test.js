// The script that all pages share, as far as it needs no document.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";
import {
  backoff,
  dateAndTime,
  duration,
  flatten,
  Problem,
  pause,
  plural,
  problemOf,
  reachable,
  readJson,
  request,
  sentence,
  words,
} from "../../../src/meshwright/pages/shared/page.js";

/**
 * The address of a server for as long as `work` runs.
 * @param {import("node:http").RequestListener} listener
 * @param {(address: string) => Promise<void>} work
 */
async function serving(listener, work) {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  const bound = server.address();
  try {
    await work(`http://127.0.0.1:${typeof bound === "object" ? bound?.port : ""}/`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

test("what stands for nothing is no child", () => {
  assert.deepEqual(flatten(["a", null, ["b", [undefined, false, true, 0]], ""]), ["a", "b", "0", ""]);
});

test("a problem has what the gateway's document says", async () => {
  const document = {
    title: "Bad Request",
    detail: "the request is invalid",
    reason: "INVALID",
    trace_id: "0af7",
    errors: [{ field: "email", detail: "is not an address" }],
  };
  const problem = await problemOf(Response.json(document, { status: 400 }));
  assert.equal(problem.message, "the request is invalid");
  assert.deepEqual([problem.status, problem.reason, problem.trace], [400, "INVALID", "0af7"]);
  assert.deepEqual([...problem.fields], [["email", "is not an address"]]);
  assert.equal(problem.away, false);
});

test("a problem has what Jaeger's errors say", async () => {
  const document = { data: null, errors: [{ code: 400, msg: "unable to parse param 'minDuration'" }] };
  const problem = await problemOf(Response.json(document, { status: 400 }));
  assert.equal(problem.message, "unable to parse param 'minDuration'");
  assert.equal(problem.fields.size, 0);
});

test("a response that is no document is a problem with the words of its status", async () => {
  for (const body of ["<html>", "null", "[1]", '"text"']) {
    const problem = await problemOf(new Response(body, { status: 503, statusText: "Service Unavailable" }));
    assert.equal(problem.message, "Service Unavailable");
    assert.equal(problem.away, true);
  }
  const silent = await problemOf(new Response("", { status: 418 }));
  assert.equal(silent.message, "The server answered 418 without a reason.");
});

test("JSON is read, and an error status rejects with its problem", async () => {
  await serving(
    (asked, response) => {
      response.statusCode = asked.url === "/good" ? 200 : 404;
      response.end(
        JSON.stringify(asked.url === "/good" ? { accept: asked.headers.accept } : { detail: "no such thing" }),
      );
    },
    async (address) => {
      assert.deepEqual(await readJson(`${address}good`), { accept: "application/json" });
      await assert.rejects(readJson(`${address}bad`), (error) => error instanceof Problem && error.status === 404);
    },
  );
});

test("a server that is not there is a problem that names it", async () => {
  let gone = "";
  await serving(
    () => {},
    async (address) => {
      gone = address;
    },
  );
  const expected = { status: 0, away: true, message: "The trace store does not answer. Check that it is running." };
  await assert.rejects(request(gone, { server: "The trace store" }), expected);
});

test("a server that is silent for too long is a problem", async () => {
  await serving(
    () => {},
    async (address) => {
      const message = "The gateway has not answered within 0.05 seconds.";
      await assert.rejects(request(address, { server: "The gateway", seconds: 0.05 }), { status: 0, message });
    },
  );
});

test("a request that is aborted rejects with the reason of its signal", async () => {
  await serving(
    () => {},
    async (address) => {
      const controller = new AbortController();
      const asked = request(address, { signal: controller.signal });
      controller.abort();
      await assert.rejects(asked, { name: "AbortError" });
    },
  );
});

test("a pause ends with its signal", async () => {
  const controller = new AbortController();
  const paused = pause(600_000, controller.signal);
  controller.abort();
  await paused;
  await pause(600_000, controller.signal);
  await pause(1);
});

test("attempts wait longer each time, up to a bound, and never the same", () => {
  for (const [attempt, most] of [500, 1000, 2000, 4000, 8000, 15000, 15000].entries()) {
    const ms = backoff(attempt);
    assert.ok(ms >= 0.6 * most && ms <= most, `${attempt}: ${ms}`);
  }
  assert.ok(backoff(9, 5000) <= 5000);
});

test("durations have about three digits", () => {
  const cases = [
    [0, "0 µs"],
    [999, "999 µs"],
    [1234, "1.23 ms"],
    [123_456, "123.5 ms"],
    [1_234_000, "1.23 s"],
    [59_000_000, "59 s"],
    [60_000_000, "1m"],
    [61_500_000, "1m 1s"],
    [3_600_000_000, "1h"],
    [90_000_000_000, "1d 1h"],
  ];
  assert.deepEqual(
    cases.map(([micros]) => duration(Number(micros))),
    cases.map(([, text]) => text),
  );
});

test("a time has its date only where that is not today", () => {
  const noon = new Date(2026, 10, 30, 12, 5, 9);
  assert.equal(dateAndTime(noon, noon), "12:05:09");
  assert.equal(dateAndTime(noon, new Date(2026, 11, 1)), "Nov 30, 2026, 12:05:09");
});

test("midnight is the hour 00", () => {
  const midnight = new Date(2026, 10, 30);
  assert.equal(dateAndTime(midnight, midnight), "00:00:00");
});

test("counts, sentences and words", () => {
  assert.deepEqual(
    [plural(1, "span"), plural(0, "span"), plural(1200, "person", "people")],
    ["1 span", "0 spans", "1,200 people"],
  );
  assert.deepEqual([sentence("stock is empty"), sentence("")], ["Stock is empty", ""]);
  assert.deepEqual(words("  Orders POST\tv2 "), ["orders", "post", "v2"]);
});

test("an address of the server's own machine is of use to browsers there alone", () => {
  assert.equal(reachable("http://127.0.0.1:16686", "shop.example"), "");
  assert.equal(reachable("http://[::1]:16686", "shop.example"), "");
  assert.equal(reachable("http://127.0.0.1:16686", "localhost"), "http://127.0.0.1:16686");
  assert.equal(reachable("http://traces.example", "shop.example"), "http://traces.example");
  assert.equal(reachable("", "shop.example"), "");
});
