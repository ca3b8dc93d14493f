"""GET /api/v3/orders/{id}/watch: the saga as server-sent events."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from services.gateway.http import server_sent_events
from support.demo.gateway import Storefront, storefront
from support.demo.people import Person, reason, sign_up
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import httpx


@dataclass
class Event:
    id: str
    type: str
    data: dict[str, Any]


async def place(store: Storefront, person: Person, quantity: int = 2) -> dict[str, Any]:
    body = {"items": [{"sku": "TEA", "quantity": quantity}]}
    response = await store.demo.http.post("/api/v3/orders", json=body, headers=person.headers)
    assert response.status_code == 201, response.text
    return response.json()


@contextlib.asynccontextmanager
async def watching_order(
    store: Storefront, person: Person, order_id: str, **headers: str
) -> AsyncIterator[httpx.Response]:
    path = f"/api/v3/orders/{order_id}/watch"
    async with store.demo.http.stream("GET", path, headers=person.headers | headers, timeout=20) as response:
        yield response


async def events(response: httpx.Response) -> AsyncIterator[Event]:
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "event" in fields:
            yield Event(fields.get("id", ""), fields["event"], json.loads(fields["data"]))
            fields = {}


async def all_events(store: Storefront, person: Person, order_id: str, **headers: str) -> list[Event]:
    async with watching_order(store, person, order_id, **headers) as response:
        assert response.status_code == 200
        return [event async for event in events(response)]


@pytest.fixture
async def buyer(store: Storefront) -> Person:
    """A user with money."""
    person = await sign_up(store.demo)
    await store.shop.deposit("buyer", 5000, person.subject)
    return person


async def test_each_step_is_told_as_it_happens(store: Storefront, buyer: Person) -> None:
    gates = {call: store.gate(call) for call in ("Reserve", "Charge", "Ship")}
    order = await place(store, buyer)
    waiting = list(gates.values())
    running = []
    async with watching_order(store, buyer, order["id"]) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store"
        async for event in events(response):
            now = [step["name"] for step in event.data["steps"] if step["state"] == "running"]
            if now and now != running[-1:]:
                running += now
                waiting.pop(0).opened.set()
            assert event.id == str(event.data["version"])
    assert running == ["reserve_inventory", "charge_payment", "ship_items"]
    assert event.data["state"] == "completed"
    assert [step["state"] for step in event.data["steps"]] == ["done", "done", "done"]


async def test_a_client_that_comes_back_hears_of_what_it_has_not_seen(store: Storefront, buyer: Person) -> None:
    gate = store.gate("Ship")
    order = await place(store, buyer)
    async with watching_order(store, buyer, order["id"]) as response:
        async for event in events(response):
            if event.data["steps"][2]["state"] == "running":
                break
    seen = int(event.id)
    gate.opened.set()
    later = await all_events(store, buyer, order["id"], **{"Last-Event-ID": str(seen)})
    assert all(int(event.id) > seen for event in later)
    assert later[-1].data["state"] == "completed"
    async with watching_order(store, buyer, order["id"], **{"Last-Event-ID": later[-1].id}) as response:
        assert response.status_code == 204


async def test_a_rejected_order_is_watched_to_its_end(store: Storefront, buyer: Person) -> None:
    order = await place(store, buyer, quantity=11)
    last = (await all_events(store, buyer, order["id"]))[-1]
    assert (last.data["state"], last.data["steps"][0]["state"]) == ("rejected", "refused")
    assert last.data["reason"]


async def test_an_order_is_there_for_its_buyer_alone(store: Storefront, buyer: Person) -> None:
    order = await place(store, buyer)
    other = await sign_up(store.demo)
    for path in ("", "/history", "/watch"):
        where = f"/api/v3/orders/{order['id']}{path}"
        assert reason(await store.demo.http.get(where)) == (401, "TOKEN_MISSING")
        assert reason(await store.demo.http.get(where, headers=other.headers)) == (404, "ORDER_NOT_FOUND")
    mine = (await store.demo.http.get("/api/v3/orders", headers=buyer.headers)).json()
    theirs = (await store.demo.http.get("/api/v3/orders", headers=other.headers)).json()
    assert ([item["id"] for item in mine], theirs) == ([order["id"]], [])
    path = f"/api/v3/orders/{order['id']}/watch"
    wrong = await store.demo.http.get(path, headers=buyer.headers | {"Last-Event-ID": "x"})
    assert wrong.status_code == 422
    for nothing_seen in ("", str(2**63 - 1)):
        states = await all_events(store, buyer, order["id"], **{"Last-Event-ID": nothing_seen})
        assert states[-1].data["state"] in {"completed", "rejected"}


async def test_a_replica_that_stops_ends_the_watch_with_a_reason(store: Storefront, buyer: Person) -> None:
    gate = store.gate("Charge")
    order = await place(store, buyer)
    async with watching_order(store, buyer, order["id"]) as response:
        async for event in events(response):
            if event.type == "problem":
                break
            store.orders.stopping.set()
    assert (event.data["status"], event.data["reason"]) == (503, "STOPPING")
    gate.opened.set()


async def test_a_quiet_stream_is_kept_open_by_comments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_sent_events, "QUIET_SECONDS", 0.05)
    async with storefront(tmp_path) as store:
        person = await sign_up(store.demo)
        gate = store.gate("Reserve")
        order = await place(store, person)
        async with watching_order(store, person, order["id"]) as response:
            async for line in response.aiter_lines():
                if line == ": still here":
                    break
        gate.opened.set()


async def test_a_client_that_goes_away_ends_the_call_behind(store: Storefront, buyer: Person) -> None:
    gate = store.gate("Reserve")
    order = await place(store, buyer)
    async with watching_order(store, buyer, order["id"]) as response:
        assert (await anext(events(response))).type == "order"
    spans = store.orders.served.spans
    await eventually(lambda: [span for span in spans.spans if "WatchOrder" in span.name])
    gate.opened.set()
