"""The read side in one process: a replica on a database, fed from a real NATS, served on a real socket."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from nats.errors import Error as NatsError

import meshwright
from demo.userview.v1 import userview_pb2 as pb
from demo.userview.v1 import userview_pb2_grpc as rpc
from meshwright.testing import served
from services.common.messaging.bus import Bus, BusConfig, open_bus
from services.common.messaging.events import Event, encode, stream_of, subject_of
from services.common.runtime.errors import BusUnavailableError
from services.common.runtime.tasks import background_task
from services.common.storage.database import open_database
from services.userview.adapters import DatabaseViews, StreamSources
from services.userview.app import ChangeNotifier, ReadSide
from services.userview.server import ERRORS, UserViewService
from services.userview.view_consumers import ViewConsumers
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    from meshwright.auth import Auth
    from meshwright.calls.errors import ErrorDetails
    from support.servers.nats import NatsServer


NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Teller:
    """Tells events as the services do; sequences have gaps."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.headers: dict[str, str] = {}
        """Of messages, such as a trace context."""
        self.sequences = {"user": 0, "order": 0}

    async def tell(self, source: str, name: str, subject: str, /, **data: Any) -> Event:
        self.sequences[source] += 2
        number = self.sequences[source]
        at = NOW + timedelta(seconds=number)
        event = Event(source, number, f"demo.{source}.{name}.v1", subject, at, {"actor": "test", **data})
        await self.publish(event)
        return event

    async def publish(self, event: Event) -> None:
        await self.bus.ensure_stream(stream_of(event.source), f"events.{event.source}.>")
        await self.bus.streams.publish(subject_of(event), encode(event), headers=self.headers or None)

    async def tell_again(self, event: Event) -> None:
        """As a publisher does once the server is back."""

        async def told() -> bool:
            with contextlib.suppress(BusUnavailableError, NatsError):
                await self.publish(event)
                return True
            return False

        await eventually(told, 15)

    async def created(self, user_id: str, name: str, email: str = "") -> Event:
        address = email or f"{user_id}@example.org"
        return await self.tell("user", "UserCreated", user_id, name=name, email=address, phone="+491")

    async def balance(self, user_id: str, cents: int, payment: int) -> Event:
        data = {"old_balance_cents": 0, "new_balance_cents": cents, "reason": "deposit", "key": f"payment/{payment}"}
        return await self.tell("user", "BalanceUpdated", user_id, **data)

    async def completed(self, user_id: str) -> Event:
        return await self.tell("order", "OrderCompleted", "o1", user_id=user_id, total_cents=100)


@dataclass
class Replica:
    """A replica, and who calls it."""

    views: DatabaseViews
    channel: grpc.aio.Channel

    @property
    def stub(self) -> rpc.UserViewServiceStub:
        return rpc.UserViewServiceStub(self.channel)

    async def view(self, user_id: str, timeout: float = 10, **at_least: int) -> pb.UserView:
        request = pb.GetUserViewRequest(id=user_id, at_least=positions(at_least))
        return await self.stub.GetUserView(request, timeout=timeout)

    async def found(self, query: str, limit: int = 0) -> list[str]:
        answer = await self.stub.SearchUsers(pb.SearchUsersRequest(query=query, limit=limit), timeout=10)
        return [user.id for user in answer.users]

    async def listed(self, after: str = "", limit: int = 0) -> list[str]:
        answer = await self.stub.ListUserViews(pb.ListUserViewsRequest(after=after, limit=limit), timeout=10)
        return [user.id for user in answer.users]

    async def lag(self) -> pb.Lag:
        return await self.stub.GetLag(pb.GetLagRequest(), timeout=10)

    async def seen(self, event: Event) -> None:
        """Wait until the views have seen the event."""

        async def there() -> bool:
            return (await self.views.progress()).positions[event.source] >= event.sequence

        await eventually(there, 15)

    async def caught_up(self, teller: Teller) -> None:
        """Wait until the views have seen all that was told: each source is followed by itself."""

        async def there() -> bool:
            positions = (await self.views.progress()).positions
            return all(positions[source] >= told for source, told in teller.sequences.items())

        await eventually(there, 15)


async def refusal(call: Awaitable[object]) -> ErrorDetails:
    """How the call was refused."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return meshwright.error_details(caught.value)


def positions(by_source: dict[str, int]) -> list[pb.Position]:
    return [pb.Position(source=source, position=position) for source, position in by_source.items()]


@contextlib.asynccontextmanager
async def telling(nats: NatsServer) -> AsyncIterator[Teller]:
    async with open_bus(BusConfig((nats.url,)), "teller") as bus:
        yield Teller(bus)


@contextlib.asynccontextmanager
async def replica(
    nats: NatsServer,
    database: str,
    *,
    following: bool = True,
    auth: Auth | None = None,
    telemetry: meshwright.Telemetry | None = None,
) -> AsyncIterator[Replica]:
    """One replica; without `following` it only answers."""
    engine = open_database("X", database)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(engine.dispose)
        bus = await stack.enter_async_context(open_bus(BusConfig((nats.url,)), "userview", telemetry))
        views = DatabaseViews(engine)
        await views.prepare()
        signal = ChangeNotifier()
        consumers = ViewConsumers(bus, views, signal)
        if following:
            await stack.enter_async_context(background_task(consumers.run(), "filling the views"))
        side = ReadSide(views, StreamSources(bus), signal, now=lambda: datetime.now(UTC), rebuild_begun=consumers.wake)
        add = rpc.add_UserViewServiceServicer_to_server
        serving = served(add, UserViewService(side), service="userview", errors=ERRORS, auth=auth)
        made = await stack.enter_async_context(serving)
        yield Replica(views, made.channel)
