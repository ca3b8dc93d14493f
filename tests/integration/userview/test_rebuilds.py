"""Making the views anew while the old ones answer, through crashes, and by whichever replica is there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import sqlalchemy as sa
from opentelemetry.trace import SpanKind

from demo.userview.v1 import userview_pb2 as pb
from demo.userview.v1 import userview_pb2_grpc as rpc
from meshwright.auth import Auth
from meshwright.config import ServiceConfig, load_config
from meshwright.telemetry import Telemetry
from meshwright.testing import Issuer, SpanRecorder
from services.common.messaging import event_consumer
from services.common.messaging.event_consumer import EventBatch
from services.common.storage.database import open_database
from services.userview import adapters
from services.userview.server import PUBLIC
from services.userview.tables import CURRENT, places, views
from support.demo.realtime import process
from support.demo.views import Replica, Teller, refusal, replica
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pytest

    from services.common.messaging.events import Event
    from support.servers.nats import NatsServer
    from support.servers.postgres import Cluster

TRACE = "0af7651916cd43dd8448eb211c80319c"


async def test_what_fills_a_view_is_in_the_traces_of_its_events_and_a_rebuild_in_none(
    nats: NatsServer, database: str, teller: Teller
) -> None:
    spans = SpanRecorder()
    telemetry = Telemetry(load_config(ServiceConfig, {}, service="userview", version="1.0.0"), exporter=spans)
    teller.headers = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "Demo-Event-Sequence": "2"}
    async with replica(nats, database, telemetry=telemetry) as side:
        await teller.created("u1", "Ada")
        await teller.tell("order", "StepStarted", "o1")
        await side.caught_up(teller)
        await eventually(lambda: spans.spans)
        (span,) = spans.spans
        assert (span.name, span.kind) == ("process events.user.UserCreated", SpanKind.CONSUMER)
        assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, "b7ad6b7169203331")
        assert span.attributes["messaging.message.id"] == "user/2"
        await side.stub.Rebuild(pb.RebuildRequest())
        await _rebuilt(side.stub, 2)
    assert len(spans.spans) == 1
    await telemetry.close()


async def test_views_that_were_lost_begin_at_the_first_event(nats: NatsServer, database: str, teller: Teller) -> None:
    async with replica(nats, database) as side:
        for number in range(5):
            await teller.created(f"u{number}", f"User {number}")
        await side.caught_up(teller)
        engine = open_database("X", database)
        async with engine.execution_options(writes=True).begin() as connection:
            await connection.execute(sa.delete(views))
            await connection.execute(sa.update(places).values(place=0, position=0))
        await engine.dispose()
        await teller.created("u5", "User 5")
        await side.caught_up(teller)
        assert await side.listed() == [f"u{number}" for number in range(6)]


async def test_views_of_a_stream_that_was_lost_with_its_log_are_made_anew(
    nats: NatsServer, database: str, teller: Teller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_consumer, "QUIET_SECONDS", 0.5)
    monkeypatch.setattr(event_consumer, "SETTLED_SECONDS", 0.3)
    async with replica(nats, database) as one, replica(nats, database) as two:
        for number in range(5):
            await teller.created(f"u{number}", f"User {number}")
        order = await teller.completed("u0")
        await one.caught_up(teller)
        await nats.lose()
        await teller.tell_again(order)
        teller.sequences["user"] = 0
        last = await teller.created("u0", "Ada")

        async def shown() -> bool:
            return await one.listed() == ["u0"] and await two.listed() == ["u0"]

        await eventually(shown, 20)
        view = await two.view("u0", user=last.sequence)
        assert (view.name, view.total_orders) == ("Ada", 1)
        await one.seen(await teller.created("u1", "Bob"))
        assert await two.listed() == ["u0", "u1"]


async def test_a_rebuild_repairs_the_views_while_the_old_ones_answer(
    nats: NatsServer, database: str, teller: Teller
) -> None:
    async with replica(nats, database) as side:
        for number in range(30):
            await teller.created(f"u{number:02}", f"User {number}")
        await teller.completed("u00")
        await side.caught_up(teller)
        await _spoil(database)
        answers: set[tuple[int, int]] = set()
        done = asyncio.Event()

        async def look() -> tuple[int, int]:
            views = (await side.stub.ListUserViews(pb.ListUserViewsRequest(limit=100))).users
            return len(views), views[0].total_orders

        async def read() -> None:
            while not done.is_set():
                answers.add(await look())

        assert await look() == (30, 99)
        reading = asyncio.create_task(read())
        begun = await side.stub.Rebuild(pb.RebuildRequest())
        assert (begun.rebuilding, begun.generation) == (True, 1)
        await _rebuilt(side.stub, 2)
        done.set()
        await reading
        assert answers <= {(30, 99), (30, 1)}
        assert await look() == (30, 1)
        await side.seen(await teller.completed("u00"))
        assert (await side.view("u00")).total_orders == 2
        assert await side.found("user 7") == ["u07"]
        await eventually(lambda: _rows(database, 30), 15)


async def test_readers_never_go_back_in_time_while_events_come_and_views_are_made_anew(
    nats: NatsServer, database: str, teller: Teller
) -> None:
    """Two replicas fill; after each order its position is asked for at one of them, and the other never shows less."""
    async with replica(nats, database) as one, replica(nats, database) as two:
        await one.seen(await teller.created("ada", "Ada"))
        await one.stub.Rebuild(pb.RebuildRequest())
        generations, number = {1}, 0
        while len(generations) < 4:
            number += 1
            last = await teller.completed("ada")
            side, other = (one, two) if number % 2 else (two, one)
            assert (await side.view("ada", order=last.sequence)).total_orders == number
            assert (await other.view("ada")).total_orders == number
            lag = await side.lag()
            if not lag.rebuilding and lag.generation not in generations:
                await side.stub.Rebuild(pb.RebuildRequest())
            generations.add(lag.generation)


async def test_one_rebuild_at_a_time_and_any_replica_carries_it_on(
    nats: NatsServer, database: str, teller: Teller
) -> None:
    await teller.created("ada", "Ada")
    async with replica(nats, database, following=False) as side:
        await side.stub.Rebuild(pb.RebuildRequest())
        again = await refusal(side.stub.Rebuild(pb.RebuildRequest()))
        assert (again.code, again.reason) == ("FAILED_PRECONDITION", "REBUILD_RUNNING")
        async with replica(nats, database) as other:
            # No view had seen anything yet, and so the new ones may answer before they have either.
            await _rebuilt(side.stub, 2)
            await other.caught_up(teller)
        assert await side.listed() == ["ada"]


async def test_replicas_that_sweep_and_fill_at_once_leave_nothing_of_what_is_past(
    nats: NatsServer, database: str, teller: Teller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapters, "SWEEP", 3)
    async with replica(nats, database, following=False) as one, replica(nats, database, following=False) as two:
        told = [(number + 1, await teller.created(f"u{number:02}", f"User {number}")) for number in range(60)]
        assert await one.views.apply(1, "user", EventBatch(told[:40], 0))
        await one.views.begin_rebuild()
        assert not await one.views.switch()
        assert await one.views.apply(2, "user", EventBatch(told[:40], 0))
        assert await two.views.switch()

        async def come_late(side: Replica, events: Sequence[tuple[int, Event]]) -> None:
            for event in events:
                await side.views.apply(1, "user", EventBatch([event], 0))

        # As many at a time as a replica has consumers: more would wait for a connection, and at last give up.
        late = [come_late((one, two)[first % 2], told[40 + first :: 4]) for first in range(4)]
        await asyncio.gather(one.views.sweep(), *late, two.views.sweep())
        await one.views.sweep()
        assert await one.views.generations() == {2: CURRENT}
        assert await _rows(database, 40)


async def test_a_switch_and_a_consumer_that_hears_of_a_payment_do_not_wait_for_each_other(
    nats: NatsServer, postgres: Cluster, teller: Teller
) -> None:
    """PostgreSQL would notice after a second and take back the work of one of them."""
    database = postgres.new_database()
    engine = open_database("X", database)
    async with replica(nats, database, following=False) as side:
        await side.views.begin_rebuild()
        moved = "UPDATE places SET position = 9 WHERE generation = 1 AND source = "
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"

        async def waited_for() -> bool:
            async with engine.connect() as looking:
                return bool(await looking.scalar(sa.text(waits)))

        async with engine.begin() as consumer:
            await consumer.execute(sa.text(f"{moved} 'user'"))
            switching = asyncio.create_task(side.views.switch())
            await eventually(waited_for)
            await consumer.execute(sa.text(f"{moved} 'payment'"))
        assert await switching
        assert not await side.views.switch()
    await engine.dispose()


async def test_a_sweep_and_consumers_that_come_too_late_do_not_wait_for_each_other(
    nats: NatsServer, postgres: Cluster, teller: Teller
) -> None:
    """Rows lie in a table as they were changed last, and transactions that lock several in that order collide."""
    database = postgres.new_database()
    engine = open_database("X", database)
    places_of_1 = "UPDATE places SET position = 9 WHERE generation = 1 AND source = "
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with replica(nats, database, following=False) as side:
        await side.views.begin_rebuild()
        assert await side.views.switch()
        async with engine.begin() as consumer:
            await consumer.execute(sa.text(f"{places_of_1} 'user'"))  # is the last row now
        async with engine.begin() as keeper:
            await keeper.execute(sa.text("ANALYZE places"))  # as the server does by itself: few rows need no index

        async def waited_for() -> bool:
            async with engine.connect() as looking:
                return bool(await looking.scalar(sa.text(waiting)))

        async with engine.begin() as consumer:
            await consumer.execute(sa.text(f"{places_of_1} 'user'"))
            sweeping = asyncio.create_task(side.views.sweep())
            await eventually(waited_for)
            await consumer.execute(sa.text(f"{places_of_1} 'payment'"))
            await consumer.execute(sa.text(f"{places_of_1} 'order'"))
        await sweeping
        assert await side.views.generations() == {2: CURRENT}
    await engine.dispose()


async def test_where_callers_are_verified_a_rebuild_is_an_admins(
    nats: NatsServer, database: str, teller: Teller
) -> None:
    issuer = Issuer()
    async with replica(nats, database, following=False, auth=Auth(issuer.verifier(), PUBLIC)) as side:
        assert await side.listed() == []
        for metadata, reason in ((None, "TOKEN_MISSING"), (issuer.metadata("eve"), "NOT_ALLOWED")):
            found = await refusal(side.stub.Rebuild(pb.RebuildRequest(), metadata=metadata))
            assert found.reason == reason
        assert (await side.stub.Rebuild(pb.RebuildRequest(), metadata=issuer.metadata("r", roles=["admin"]))).rebuilding


async def test_a_rebuild_outlives_a_kill(nats: NatsServer, database: str, teller: Teller, tmp_path: Path) -> None:
    for number in range(400):
        last = await teller.created(f"u{number:03}", f"User {number}")
    environ = {"USERVIEW_DATABASE_URL": database, "MESHWRIGHT_SERVICE": "userview"}
    async with process("userview", nats, tmp_path, **environ) as (child, channel):
        stub = rpc.UserViewServiceStub(channel)
        wanted = [pb.Position(source="user", position=last.sequence)]
        await stub.GetUserView(pb.GetUserViewRequest(id="u000", at_least=wanted), timeout=20, wait_for_ready=True)
        await stub.Rebuild(pb.RebuildRequest(), timeout=10)
        await child.kill()
    async with process("userview", nats, tmp_path, **environ) as (_, channel):
        stub = rpc.UserViewServiceStub(channel)
        await _rebuilt(stub, 2)
        views = (await stub.ListUserViews(pb.ListUserViewsRequest(limit=500), timeout=10)).users
        assert len(views) == 400


async def _rebuilt(stub: rpc.UserViewServiceStub, generation: int) -> None:
    async def done() -> bool:
        lag = await stub.GetLag(pb.GetLagRequest(), timeout=10, wait_for_ready=True)
        return (lag.generation, lag.rebuilding) == (generation, False)

    await eventually(done, 30)


async def _spoil(database: str) -> None:
    """A mistake of a past release, say."""
    engine = open_database("X", database)
    async with engine.execution_options(writes=True).begin() as connection:
        await connection.execute(sa.text("UPDATE views SET total_orders = 99 WHERE id = 'u00'"))
    await engine.dispose()


async def _rows(database: str, count: int) -> bool:
    """Whether there are that many rows, and so none of a generation that is past."""
    engine = open_database("X", database)
    async with engine.connect() as connection:
        found = await connection.scalar(sa.text("SELECT count(*) FROM views"))
    await engine.dispose()
    return found == count
