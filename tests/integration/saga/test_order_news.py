"""Watches hear of what other replicas do, and end when their own stops."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import grpc

from demo.order.v1 import order_pb2 as pb
from services.common.messaging.bus import BusConfig, open_bus
from services.common.messaging.events import Event, encode, subject_of
from services.order.adapters import order_changes
from support.demo.saga import lost_request, order_request, refusal, shop
from support.servers.nats import NatsServer, nats_server
from support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

NEWS = Event("order", 1, "demo.order.OrderCompleted.v1", "an order", datetime(2026, 1, 1, tzinfo=UTC))


async def told(server: NatsServer, heard: list[str], count: int) -> None:
    """Tell of the order until it was heard of so often."""
    async with open_bus(BusConfig((server.url,)), "another replica") as other:

        async def tell() -> bool:
            await other.connection.publish("events.order.Garbage", b"{")
            await other.connection.publish(subject_of(NEWS), encode(NEWS))
            await other.connection.flush()
            return len(heard) >= count

        await eventually(tell, 20, every=0.1)


async def test_news_of_other_replicas_are_heard_whenever_nats_is_there(tmp_path: Path) -> None:
    server, heard = NatsServer(tmp_path / "nats"), []
    async with open_bus(BusConfig((server.url,)), "order") as bus, order_changes(bus, heard.append):
        try:
            await server.start()
            await told(server, heard, 1)
            await server.kill()
            await eventually(lambda: not bus.connected)
            await server.start()
            await told(server, heard, len(heard) + 1)
        finally:
            await server.close()
    assert set(heard) == {"an order"}


async def test_news_end_with_those_who_listen(tmp_path: Path) -> None:
    heard: list[str] = []
    async with nats_server(tmp_path / "nats") as server, open_bus(BusConfig((server.url,)), "order") as bus:
        async with order_changes(bus, heard.append):
            await told(server, heard, 1)
        count = len(heard)
        await bus.connection.publish(subject_of(NEWS), encode(NEWS))
        await bus.connection.flush()
        assert len(heard) == count


async def test_a_watch_ends_with_its_replica_and_goes_on_at_another(tmp_path: Path) -> None:
    async with shop(lambda name: f"sqlite:///{tmp_path}/{name}.db") as market:
        market.proxies["payment"].always("Charge", lost_request)
        market.proxies["payment"].always("Refund", lost_request)
        stopped, other = await market.replica("a"), await market.replica("b")
        placed = await stopped.stub.PlaceOrder(order_request("k", tea=1))
        watch = stopped.stub.WatchOrder(pb.WatchOrderRequest(id=placed.id), timeout=30)
        last = await watch.read()
        stopped.stopping.set()

        async def rest() -> None:
            while (change := await watch.read()) is not grpc.aio.EOF:
                seen.append(change)

        seen: list[pb.Order] = [last]
        found = await refusal(rest())
        assert (found.code, found.reason) == (grpc.StatusCode.UNAVAILABLE.name, "STOPPING")
        further = [change async for change in other.stub.WatchOrder(pb.WatchOrderRequest(id=placed.id), timeout=30)]
        assert further[0].version >= seen[-1].version
        assert further[-1].state == pb.NEEDS_ATTENTION
