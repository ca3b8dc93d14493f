"""PostgreSQL and NATS go away in the middle and come back: nothing is lost, nothing done or told twice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import pytest

import meshwright
from demo.inventory.v1 import inventory_pb2 as inventory_pb
from demo.order.v1 import order_pb2 as pb
from demo.payment.v1 import payment_pb2 as payment_pb
from integration.saga.saga_processes import SKU, Town, on_one, published, town
from support.demo.saga import ADA, order_request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from meshwright.calls.errors import ErrorDetails
    from support.servers.postgres import Cluster


@pytest.fixture
async def place(tmp_path: Path, own_postgres: Cluster) -> AsyncIterator[Town]:
    async with town(tmp_path, on_one(own_postgres.new_database())) as made:
        yield made


async def outcome(call) -> ErrorDetails:
    """How a call was refused; it must not take long to say so."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return meshwright.error_details(caught.value)


@pytest.mark.slow
async def test_postgresql_and_nats_restarted_in_the_middle_lose_and_double_nothing(
    place: Town, own_postgres: Cluster
) -> None:
    for number in range(4):
        await place.place("ab"[number % 2])
    await place.nats.kill()
    for number in range(4):
        order = await place.place("ab"[number % 2])
    done = await place.settled(order)
    assert done.state == pb.COMPLETED, "orders go on without the bus"

    for number in range(4):
        await place.place("ab"[number % 2])
    await asyncio.to_thread(own_postgres.stop)
    calls = (
        place.orders["a"].PlaceOrder(order_request("meanwhile", tea=1), timeout=20),
        place.orders["b"].GetOrder(pb.GetOrderRequest(id=order.id), timeout=20),
        place.inventory.GetStock(inventory_pb.GetStockRequest(sku=SKU), timeout=20),
        place.payment.GetAccount(payment_pb.GetAccountRequest(user_id=ADA), timeout=20),
    )
    for found in await asyncio.gather(*(outcome(call) for call in calls)):
        assert (found.code, found.reason) == ("UNAVAILABLE", "STORE_UNAVAILABLE")
    await asyncio.to_thread(own_postgres.start)
    await place.nats.start()

    for number in range(4):
        await place.place("ab"[number % 2])
    await place.redeliver()
    await place.check()
    await told_once(place)


async def told_once(place: Town) -> None:
    """Every event of every order is on NATS once, in its order; and so is every booking."""
    settled = [await place.settled(order) for order in place.placed]
    told = await published(place.nats, "order", sum(order.version for order in settled))
    for order in settled:
        history = await place.answered("GetHistory", pb.GetHistoryRequest(id=order.id))
        assert [event.name for event in told if event.subject == order.id] == [event.type for event in history.events]
    sequences = [event.sequence for event in told]
    assert sequences == sorted(set(sequences))
    charged = await published(place.nats, "payment", 1 + len(settled))
    assert [event.name for event in charged] == ["Deposited"] + ["Charged"] * len(settled)
    assert {event.data["key"] for event in charged[1:]} == {f"order/{order.id}" for order in settled}
