"""What a write answered is what a read waits for, through the services as they are: user, payment and the read side."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from demo.payment.v1 import payment_pb2 as payment_pb
from demo.payment.v1 import payment_pb2_grpc as payment_rpc
from demo.user.v1 import user_pb2 as user_pb
from demo.user.v1 import user_pb2_grpc as user_rpc
from demo.userview.v1 import userview_pb2 as pb
from meshwright.testing import served
from services.common.messaging.bus import BusConfig, open_bus
from services.common.messaging.outbox_publisher import OutboxPublisher
from services.common.runtime.tasks import background_task
from services.common.storage.database import open_database
from services.payment.adapters import DatabaseStore
from services.payment.app import Cashier
from services.payment.server import PaymentService
from services.user.adapters import DatabaseUsers, prepare_database
from services.user.app import UserBook
from services.user.payment_consumer import consume_payments
from services.user.server import UserService
from support.demo.views import replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import grpc

    from support.servers.nats import NatsServer


@contextlib.asynccontextmanager
async def writers(
    nats: NatsServer, folder: Path
) -> AsyncIterator[tuple[user_rpc.UserServiceStub, payment_rpc.PaymentServiceStub]]:
    """The two services, each on a database of its own, with their publishers."""
    async with contextlib.AsyncExitStack() as stack:
        bus = await stack.enter_async_context(open_bus(BusConfig((nats.url,)), "writers"))
        engines = [open_database("X", f"sqlite:///{folder}/{name}.db") for name in ("user", "payment")]
        for engine in engines:
            stack.push_async_callback(engine.dispose)
        await prepare_database(engines[0])
        users, store = DatabaseUsers(engines[0]), DatabaseStore(engines[1])
        await store.prepare()
        publishers = OutboxPublisher(bus, "user", users.log), OutboxPublisher(bus, "payment", store.events)
        for publisher in publishers:
            await stack.enter_async_context(publisher.running())
        await stack.enter_async_context(background_task(consume_payments(bus, users, publishers[0].wake), "following"))
        book = UserBook(users, None, entropy=os.urandom, on_change=publishers[0].wake)  # type: ignore[arg-type]
        cashier = Cashier(store, on_change=publishers[1].wake)
        user = await stack.enter_async_context(served(user_rpc.add_UserServiceServicer_to_server, UserService(book)))
        payment = await stack.enter_async_context(
            served(payment_rpc.add_PaymentServiceServicer_to_server, PaymentService(cashier))
        )
        yield user_rpc.UserServiceStub(user.channel), payment_rpc.PaymentServiceStub(payment.channel)


async def position(call: grpc.aio.UnaryUnaryCall) -> pb.Position:
    """Where the call says that its write will be found."""
    await call
    source, _, number = dict(await call.trailing_metadata())["demo-position"].partition("/")
    return pb.Position(source=source, position=int(number))


async def test_a_write_is_read_with_the_position_that_it_answered(
    nats: NatsServer, database: str, tmp_path: Path
) -> None:
    async with writers(nats, tmp_path) as (users, payments), replica(nats, database) as side:

        async def view(user_id: str, *at_least: pb.Position) -> pb.UserView:
            return await side.stub.GetUserView(pb.GetUserViewRequest(id=user_id, at_least=at_least), timeout=20)

        call = users.CreateUser(user_pb.CreateUserRequest(name="Ada", email="ada@example.org"))
        written = await position(call)
        ada = (await call).id
        assert (await view(ada, written)).name == "Ada"
        for number in range(1, 6):
            paid = await position(
                payments.Deposit(payment_pb.DepositRequest(key=f"k{number}", user_id=ada, amount_cents=100))
            )
            named = await position(users.UpdateUser(user_pb.UpdateUserRequest(id=ada, name=f"Ada {number}")))
            found = await view(ada, paid, named)
            assert (found.balance_cents, found.name) == (100 * number, f"Ada {number}")
        gone = await position(users.DeleteUser(user_pb.DeleteUserRequest(id=ada)))
        assert (await view(ada, gone)).status == "deleted"
