"""The user service's history: each event once, true to the rows, known for any day, with other writers on the table."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from google.protobuf import timestamp_pb2

from demo.user.v1 import user_pb2 as pb
from demo.user.v1 import user_pb2_grpc as rpc
from demo.user.v2 import user_pb2 as pb2
from demo.user.v2 import user_pb2_grpc as rpc2
from meshwright.testing import served
from services.common.event_sourcing.event_store import folded
from services.common.messaging import event_consumer
from services.common.messaging.bus import BusConfig, open_bus
from services.common.messaging.events import Event, encode, subject_of
from services.common.messaging.outbox_publisher import OutboxPublisher
from services.common.runtime.tasks import background_task
from services.common.storage.database import open_database
from services.user import domain, event_log
from services.user.adapters import DatabaseUsers, prepare_database
from services.user.app import UserBook
from services.user.events import TYPES, BalanceUpdated, UserCreated, events_between, evolve
from services.user.payment_consumer import consume_payments
from services.user.server import ERRORS, UserProfileService, UserService, timestamp
from services.user.tables import snapshots
from support.demo.people import NOW, changed, user
from support.demo.views import refusal
from support.servers.nats import NatsServer, events_after, nats_server
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pytest

    from services.common.messaging.event_metrics import EventLog


async def test_a_user_is_known_as_it_was_at_any_time(users: DatabaseUsers) -> None:
    ada = user(1)
    await users.add(ada, "ada")
    second = await changed(users, ada, 10, name="Ada King")
    third = await changed(users, second, 20, email="countess@example.org", active=False)
    for seconds, state in ((0.002, ada), (9, ada), (10, second), (19, second), (20, third), (99, third)):
        assert (await users.at(ada.id, NOW + timedelta(seconds=seconds)))[0] == state
    assert await users.at(ada.id, NOW) == (None, 0)
    assert await users.remove(ada.id, "grace")
    assert (await users.at(ada.id, NOW + timedelta(seconds=20)))[0] == third
    assert (await users.at(ada.id, datetime.now(UTC)))[0] is None


async def test_who_changed_what_and_when_outlives_the_user(users: DatabaseUsers) -> None:
    ada = user(1)
    await users.add(ada, "ada")
    await changed(users, ada, 10, name="Ada King", phone="+4930123456")
    await users.remove(ada.id, "root")
    told = [(one.version, type(one.event).__name__, one.actor) for one in await users.history(ada.id)]
    assert told == [
        (1, "UserCreated", "ada"),
        (2, "NameChanged", "grace"),
        (3, "PhoneChanged", "grace"),
        (4, "UserDeleted", "root"),
    ]


async def test_of_changes_at_once_only_those_that_were_written_happened(users: DatabaseUsers) -> None:
    ada = user(1)
    await users.add(ada)
    wanted = [domain.changed(ada, domain.Changes(name=f"Ada {letter}"), now=NOW) for letter in "abcdefgh"]
    await asyncio.gather(*(users.replace(ada, one) for one in wanted))
    history = await users.history(ada.id)
    assert [one.version for one in history] == [1, 2]
    assert folded(evolve, history, ada.id) == await users.get(ada.id)


async def test_snapshots_change_nothing_but_what_is_read(users: DatabaseUsers, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[object] = []
    decode = TYPES.event_of

    def counted(kind: str, data: Mapping[str, Any]) -> object:
        read.append(kind)
        return decode(kind, data)

    ada = user(1)
    await users.add(ada)
    for number in range(230):
        fact = BalanceUpdated(number, number + 1, "deposit", f"payment/{number}")
        assert await users.record_balance(number + 1, ada.id, fact, NOW + timedelta(minutes=number + 1))
    monkeypatch.setattr(TYPES, "event_of", counted)
    for minute in (0, 1, 98, 99, 100, 150, 199, 230):
        read.clear()
        state, version = await users.at(ada.id, NOW + timedelta(minutes=minute, seconds=30))
        assert len(read) <= event_log.SNAPSHOT_EVERY
        assert (state, version) == (replace(ada, balance_cents=minute), minute + 1)
    assert await users.get(ada.id) == replace(ada, balance_cents=230)


async def test_a_payment_counts_once_however_often_it_is_told(users: DatabaseUsers) -> None:
    ada = user(1)
    await users.add(ada)
    fact = BalanceUpdated(0, 500, "deposit", "payment/9")
    told = [users.record_balance(9, ada.id, fact, NOW) for _ in range(6)]
    assert sorted(await asyncio.gather(*told)) == [False] * 5 + [True]
    assert await users.record_balance(8, ada.id, fact, NOW) is False
    assert await users.record_balance(10, user(2).id, fact, NOW) is False, "nobody has that id"
    assert await users.place("payment") == 10
    assert len(await users.history(ada.id)) == 2


async def test_a_payment_that_is_told_late_lets_no_snapshot_know_the_future(users: DatabaseUsers) -> None:
    ada = user(1)
    await users.add(ada)
    for second in range(1, 99):
        ada = await changed(users, ada, second, name=f"Ada {second}")
    late = BalanceUpdated(0, 500, "deposit", "payment/1")
    assert await users.record_balance(1, ada.id, late, NOW + timedelta(seconds=20))
    state, version = await users.at(ada.id, NOW + timedelta(seconds=30))
    assert state is not None
    assert (state.name, version) == ("Ada 30", 31)
    assert await users.at(ada.id, NOW + timedelta(seconds=98)) == (replace(ada, balance_cents=500), 100)


async def test_a_snapshot_of_a_later_release_is_read_without_what_it_added(users: DatabaseUsers, database: str) -> None:
    ada = user(1)
    await users.add(ada)
    for number in range(99):
        fact = BalanceUpdated(number, number + 1, "deposit", f"payment/{number}")
        assert await users.record_balance(number + 1, ada.id, fact, NOW + timedelta(minutes=number + 1))
    engine = open_database("X", database)
    async with engine.execution_options(writes=True).begin() as connection:
        (row,) = await connection.execute(sa.select(snapshots))
        later = json.dumps({**json.loads(row.state), "pronouns": "she"})
        await connection.execute(sa.update(snapshots).values(state=later))
    await engine.dispose()
    assert await users.at(ada.id, NOW + timedelta(days=1)) == (replace(ada, balance_cents=99), 100)


async def told_on(server: NatsServer, count: int) -> list[Event]:
    async with open_bus(BusConfig((server.url,)), "reader") as bus:
        found = []
        async for _, event in events_after(bus, "user", 0):
            found.append(event)
            if len(found) == count:
                return found
    raise AssertionError("the stream ended")


async def test_payments_whose_log_was_lost_and_then_their_stream_are_followed_anew(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The library makes its consumer anew long before the consumer looks, and takes the old stream's numbers for it.
    monkeypatch.setattr(event_consumer, "HEARTBEAT_SECONDS", 0.2)
    monkeypatch.setattr(event_consumer, "QUIET_SECONDS", 2.0)
    monkeypatch.setattr(event_consumer, "SETTLED_SECONDS", 0.3)
    engine = open_database("X", database)
    await prepare_database(engine)
    users = DatabaseUsers(engine)
    ada = user(1)
    await users.add(ada)

    def deposit(number: int, day: int) -> Event:
        data = {"balance_after_cents": 100 * day, "amount_cents": 100}
        return Event("payment", number, "demo.payment.Deposited.v1", ada.id, NOW + timedelta(days=day), data)

    async with (
        nats_server(tmp_path / "nats") as server,
        open_bus(BusConfig((server.url,)), "user") as bus,
    ):

        async def tell(*told: Event) -> None:
            await bus.ensure_stream("EVENTS_PAYMENT", "events.payment.>")
            for event in told:
                await bus.publish("EVENTS_PAYMENT", subject_of(event), encode(event))

        async def until_balance(cents: int) -> None:
            async def there() -> bool:
                found = await users.get(ada.id)
                return found is not None and found.balance_cents == cents

            await eventually(there, 15)

        async with background_task(consume_payments(bus, users, lambda: None), "following"):
            old = [deposit(number, number) for number in range(1, 6)]
            await tell(*old, deposit(1, 6))
            await until_balance(600)
            await server.lose()
            await eventually(lambda: bus.connected, 15)
            await tell(deposit(1, 6), deposit(2, 7))
            await until_balance(700)
    state, version = await users.at(ada.id, NOW + timedelta(days=30))
    assert state is not None
    assert (state.balance_cents, version) == (700, 1 + 7), "each of them once"
    await engine.dispose()


async def test_two_replicas_tell_each_fact_once_and_in_the_order_of_each_user(database: str, tmp_path: Path) -> None:
    engines = [open_database("X", database) for _ in range(2)]
    await prepare_database(engines[0])
    stores = [DatabaseUsers(engine) for engine in engines]
    async with (
        nats_server(tmp_path / "nats") as server,
        open_bus(BusConfig((server.url,)), "one") as one,
        open_bus(BusConfig((server.url,)), "two") as two,
        OutboxPublisher(one, "user", stores[0].log).running(),
        OutboxPublisher(two, "user", stores[1].log).running(),
    ):

        async def life(number: int) -> None:
            ada = user(number)
            store = stores[number % 2]
            await store.add(ada)
            await changed(store, ada, number, name="Ada King")

        await asyncio.gather(*(life(number) for number in range(30)))
        events = await asyncio.wait_for(told_on(server, 60), 30)
    assert [event.sequence for event in events] == sorted({event.sequence for event in events})
    for number in range(30):
        mine = [event.name for event in events if event.subject == user(number).id]
        assert mine == ["UserCreated", "NameChanged"]
    for engine in engines:
        await engine.dispose()


class Payments:
    """A log of payment events."""

    def __init__(self, *events: Event) -> None:
        self.events = events

    async def after(self, sequence: int, limit: int) -> Sequence[Event]:
        return [event for event in self.events if event.sequence > sequence][:limit]


async def test_balances_follow_the_payment_service(users: DatabaseUsers, tmp_path: Path) -> None:
    ada = user(1)
    await users.add(ada)
    data = {"user_id": ada.id, "amount_cents": 500, "balance_after_cents": 500, "key": "k"}
    log: EventLog = Payments(
        Event("payment", 1, "demo.payment.Deposited.v1", ada.id, NOW, data),
        Event("payment", 4, "demo.payment.Charged.v1", ada.id, NOW, data | {"balance_after_cents": 0}),
        Event("payment", 5, "demo.payment.Deposited.v1", user(9).id, NOW, data),
    )
    async with (
        nats_server(tmp_path / "nats") as server,
        open_bus(BusConfig((server.url,)), "user") as bus,
        background_task(consume_payments(bus, users, lambda: None), "following"),
    ):
        await OutboxPublisher(bus, "payment", log).publish_all()

        async def followed() -> bool:
            return await users.place("payment") == 3

        await eventually(followed)
    balances = [one.event for one in await users.history(ada.id) if isinstance(one.event, BalanceUpdated)]
    assert [(fact.old_balance_cents, fact.new_balance_cents, fact.reason) for fact in balances] == [
        (0, 500, "deposit"),
        (500, 0, "charge"),
    ]


async def test_the_service_tells_history_states_and_where_a_write_is_found(users: DatabaseUsers) -> None:
    counter = iter(range(1, 99))
    book = UserBook(users, None, entropy=lambda size: next(counter).to_bytes(size))  # type: ignore[arg-type]
    async with (
        served(rpc.add_UserServiceServicer_to_server, UserService(book), errors=ERRORS) as one,
        served(rpc2.add_UserServiceServicer_to_server, UserProfileService(book), errors=ERRORS) as two,
    ):
        stub, stub2 = rpc.UserServiceStub(one.channel), rpc2.UserServiceStub(two.channel)
        call = stub.CreateUser(pb.CreateUserRequest(name="Ada", email="ada@example.org"))
        ada = await call
        assert dict(await call.trailing_metadata())["demo-position"] == "user/1"
        call = stub.UpdateUser(pb.UpdateUserRequest(id=ada.id, email="king@example.org"))
        king = await call
        assert dict(await call.trailing_metadata())["demo-position"] == "user/2"
        assert "demo-position" not in dict(await stub.GetUser(pb.GetUserRequest(id=ada.id)).trailing_metadata())
        then = await stub2.GetUserAt(pb2.GetUserAtRequest(id=ada.id, time=ada.created_at))
        assert (then.profile.email, then.version) == ("ada@example.org", 1)
        now = await stub2.GetUserAt(pb2.GetUserAtRequest(id=ada.id, time=king.updated_at))
        assert (now.profile.email, now.version) == ("king@example.org", 2)
        history = await stub2.GetUserHistory(pb2.GetUserHistoryRequest(id=ada.id))
        assert [(event.type, event.actor) for event in history.events] == [
            ("UserCreated", "anonymous"),
            ("EmailChanged", "anonymous"),
        ]
        assert '"new_email":"king@example.org"' in history.events[1].data


async def test_a_long_history_is_told_in_parts_and_odd_questions_are_refused(users: DatabaseUsers) -> None:
    ada = user(1)
    await users.add(ada)
    for number in range(7):
        ada = await changed(users, ada, number + 1, name=f"Ada {number}")
    await users.remove(ada.id)
    service = UserProfileService(UserBook(users, None, entropy=bytes))  # type: ignore[arg-type]
    async with served(rpc2.add_UserServiceServicer_to_server, service, errors=ERRORS) as one:
        stub = rpc2.UserServiceStub(one.channel)

        async def told(**asked: int) -> list[int]:
            answer = await stub.GetUserHistory(pb2.GetUserHistoryRequest(id=ada.id, **asked))
            return [event.version for event in answer.events]

        assert await told() == list(range(1, 10))
        assert await told(limit=4) == [1, 2, 3, 4]
        assert await told(after=7, limit=4) == [8, 9]
        assert await told(after=9) == []
        before = pb2.GetUserAtRequest(id=ada.id, time=timestamp(ada.created_at - timedelta(microseconds=1)))
        never = pb2.GetUserAtRequest(id=ada.id, time=timestamp_pb2.Timestamp(seconds=2**60))
        for call, wanted in (
            (told(after=-1, limit=1001), ("INVALID_ARGUMENT", {"after", "limit"})),
            (stub.GetUserHistory(pb2.GetUserHistoryRequest(id=user(2).id, after=5)), ("NOT_FOUND", set())),
            (stub.GetUserHistory(pb2.GetUserHistoryRequest(id="nobody")), ("NOT_FOUND", set())),
            (stub.GetUserAt(pb2.GetUserAtRequest(id=ada.id)), ("INVALID_ARGUMENT", {"time"})),
            (stub.GetUserAt(never), ("INVALID_ARGUMENT", {"time"})),
            (stub.GetUserAt(before), ("NOT_FOUND", set())),
        ):
            found = await refusal(call)
            assert (found.code, set(found.fields)) == wanted


def test_a_user_of_before_is_created_as_it_is_and_with_its_own_version() -> None:
    late = replace(user(1), updated_at=NOW + timedelta(days=1), avatar="https://example.org/a.png", active=False)
    (fact,) = events_between(None, late)
    assert isinstance(fact, UserCreated)
