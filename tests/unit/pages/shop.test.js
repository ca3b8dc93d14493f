// The shop: its figures, words and streams, without a browser.

import assert from "node:assert/strict";
import { test } from "node:test";
import { sumOf } from "../../../services/gateway/pages/shop/basket.js";
import { ceiling, placesOf } from "../../../services/gateway/pages/shop/chart.js";
import { reconnectAfter } from "../../../services/gateway/pages/shop/connection.js";
import { milliseconds, money, roundMoney } from "../../../services/gateway/pages/shop/format.js";
import { errorsOf } from "../../../services/gateway/pages/shop/forms.js";
import { lookOf, withNotification } from "../../../services/gateway/pages/shop/notifications.js";
import { happened, isResting, verdict } from "../../../services/gateway/pages/shop/saga.js";
import { eventsOf } from "../../../services/gateway/pages/shop/sse.js";
import { endingOf } from "../../../services/gateway/pages/shop/versions.js";
import { Problem } from "../../../src/meshwright/pages/shared/page.js";

test("money is in euros, durations in whole milliseconds", () => {
  assert.deepEqual([money(123456), money(0), roundMoney(50000)], ["€1,234.56", "€0.00", "€500"]);
  assert.deepEqual([milliseconds(0.2), milliseconds(3.6), milliseconds(1250)], ["0 ms", "4 ms", "1.25 s"]);
});

const STOCK = new Map([
  ["TEA", { sku: "TEA", title: "Green tea", price_cents: 450, available: 10 }],
  ["MUG", { sku: "MUG", title: "", price_cents: 900, available: 1 }],
]);

test("a basket is summed", () => {
  const items = [
    { sku: "TEA", quantity: 2 },
    { sku: "MUG", quantity: 1 },
  ];
  assert.deepEqual(sumOf(items, STOCK, 5000), { cents: 1800, pieces: "3 pieces", warnings: [] });
  assert.deepEqual(sumOf(items, STOCK, null).warnings, []);
});

test("a basket says what will happen to its order", () => {
  const [short] = sumOf(
    [
      { sku: "MUG", quantity: 2 },
      { sku: "GONE", quantity: 1 },
    ],
    STOCK,
    0,
  ).warnings;
  assert.equal(short, "There is not enough of: MUG, GONE. The order will be rejected.");
  const [poor] = sumOf([{ sku: "TEA", quantity: 1 }], STOCK, 449).warnings;
  assert.match(poor ?? "", /more than your balance/);
  assert.deepEqual(sumOf([{ sku: "TEA", quantity: 1 }], STOCK, 450).warnings, []);
});

test("the top of a chart is a round number that is no less", () => {
  assert.deepEqual([0, 0.3, 1, 1.2, 4, 7, 99, 500].map(ceiling), [1, 0.5, 1, 2, 5, 10, 100, 500]);
});

test("the last point of a chart is at its right edge, and the top at the upper one", () => {
  const points = [
    { at: 1000, value: 0 },
    { at: 2000, value: 5 },
  ];
  assert.deepEqual(placesOf(points, 2000, 5, 256), [
    { x: "148.0", y: "128.0" },
    { x: "248.0", y: "10.0" },
  ]);
});

test("an instance that stops is left at once, an overload after a while", () => {
  assert.ok(reconnectAfter(1012, 0) <= 200);
  assert.ok(reconnectAfter(1012, 1) >= 600);
  assert.equal(reconnectAfter(1008, 0), 20000);
  assert.ok(reconnectAfter(0, 0) >= 300 && reconnectAfter(0, 0) <= 500);
});

test("errors go to the fields that they are about, the rest to the form", () => {
  const problem = new Problem(400, {
    errors: [
      { field: "email", detail: "is not an address" },
      { field: "tenant", detail: "is unknown" },
    ],
  });
  assert.deepEqual(errorsOf(problem, ["name", "email"]), {
    fields: [["email", "Is not an address"]],
    rest: "Tenant is unknown",
  });
});

test("a problem about no field is the form's, but a taken address is the field's", () => {
  const away = new Problem(503, { detail: "the user service is unavailable" });
  assert.deepEqual(errorsOf(away, ["email"]), { fields: [], rest: "The user service is unavailable" });
  const taken = new Problem(409, { detail: "this address has an account", reason: "EMAIL_TAKEN" });
  assert.deepEqual(errorsOf(taken, ["email"]), { fields: [["email", "This address has an account"]], rest: "" });
  assert.deepEqual(errorsOf(taken, ["password"]), { fields: [], rest: "This address has an account" });
});

/** @param {Partial<import("../../../services/gateway/pages/shop/resources.js").Notification>} some */
const notification = (some) => ({ id: "1", kind: "", title: "", message: "", created_at: "", ...some });

test("the newest notifications are kept, whichever comes when", () => {
  const known = ["5", "3"].map((id) => notification({ id }));
  assert.equal(
    withNotification(known, notification({ id: "4" }))
      .map((item) => item.id)
      .join(),
    "5,4,3",
  );
  const many = Array.from({ length: 50 }, (_, at) => notification({ id: String(100 + at) }));
  const kept = withNotification(many, notification({ id: "099" }));
  assert.equal(kept.length, 50);
  assert.ok(!kept.some((item) => item.id === "099"));
});

test("a notification looks like its kind, or like what came of the order", () => {
  assert.equal(lookOf(notification({ kind: "ERROR" })), "bad");
  assert.equal(lookOf(notification({ kind: "ORDER_UPDATE", data: { status: "completed" } })), "good");
  assert.equal(lookOf(notification({ kind: "ORDER_UPDATE" })), "");
});

/** @param {string} state */
const order = (state) => ({
  id: "o",
  state,
  version: 1,
  reason: "payment declined",
  total_cents: 450,
  placed_at: "2026-11-30T12:00:00Z",
  updated_at: "2026-11-30T12:00:00.334Z",
  items: [],
  steps: [],
});

test("an order says how it stands", () => {
  assert.equal(verdict(order("completed")), "Reserved, paid and shipped in 334 ms: €4.50.");
  assert.match(verdict(order("rejected")), /^Rejected after 334 ms: payment declined\./);
  assert.match(verdict(order("needs_attention")), /needs attention: payment declined/);
  assert.deepEqual(["completed", "rejected", "needs_attention", "pending", undefined].map(isResting), [
    true,
    true,
    true,
    false,
    false,
  ]);
});

test("an event says what happened, and an unknown one its type", () => {
  /**
   * @param {string} type
   * @param {object} data
   */
  const said = (type, data) => happened({ type, data: JSON.stringify(data), occurred_at: "" });
  assert.equal(said("StepStarted", { step: "charge_payment", attempt: 2 }), "Charge started, attempt 2");
  assert.equal(said("StepCompleted", { step: "reserve_inventory", total_cents: 450 }), "Reserve was done (€4.50)");
  assert.equal(said("StepStarted", { step: "wrap_gifts", attempt: 1 }), "Wrap gifts started");
  assert.equal(said("SomethingNew", {}), "SomethingNew");
});

/** @param {...string} parts As they come over the wire. */
async function events(...parts) {
  const found = [];
  const body = new ReadableStream({
    start(controller) {
      for (const part of parts) controller.enqueue(new TextEncoder().encode(part));
      controller.close();
    },
  });
  for await (const event of eventsOf(body)) found.push(event);
  return found;
}

test("events are read wherever the stream is cut", async () => {
  const text = "id: 7\nevent: order\ndata: {\ndata: }\n\n: keep-alive\n\ndata:é\r\n\r\n";
  const expected = [
    { id: "7", type: "order", data: "{\n}" },
    { id: "7", type: "message", data: "é" },
  ];
  assert.deepEqual(await events(text), expected);
  for (let at = 1; at < text.length; at++) {
    if (text[at - 1] === "\r") continue;
    assert.deepEqual(await events(text.slice(0, at), text.slice(at)), expected, `cut at ${at}`);
  }
});

test("an event without data, or without its end, is none", async () => {
  assert.deepEqual(await events("event: order\n\n", "data: half"), []);
});

test("headers say when a version ends, and what comes after it", () => {
  const headers = new Headers({
    Deprecation: "@1767225600",
    Sunset: "Sat, 01 Jan 2028 12:00:00 GMT",
    Link: '</api/v2>; rel="successor-version"',
  });
  assert.deepEqual(endingOf(headers), {
    text: "This version is deprecated since Jan 1, 2026, and answers until Jan 1, 2028.",
    deprecated: true,
    next: "/api/v2",
  });
  const sunset = endingOf(new Headers({ Sunset: "Sat, 01 Jan 2028 12:00:00 GMT" }));
  assert.deepEqual(sunset, { text: "This version answers until Jan 1, 2028.", deprecated: false, next: "" });
  assert.equal(endingOf(new Headers()), null);
});
