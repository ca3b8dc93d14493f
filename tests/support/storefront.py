"""The gateway with the whole shop behind it: what the page at `/` is made for, on real sockets in one process."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import meshwright
from meshwright.testing import resolving
from services.gateway.api.orders.client import ShopClient
from support import saga
from support.demo import Demo, demo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import grpc

    from support.sagaproxy import Forward

STEPS = {"Reserve": "inventory", "Charge": "payment", "Ship": "inventory"}
"""The calls of the saga's steps, and whom they go to."""


@dataclass
class Gate:
    """A step of the saga that waits until the test lets it through."""

    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, forward: Forward) -> bytes:
        await self.opened.wait()
        return await forward()


@dataclass
class Storefront:
    """What is running."""

    demo: Demo
    shop: saga.Shop
    orders: saga.Replica

    def gate(self, call: str) -> Gate:
        """The next call of that name, as `Charge`, waits there."""
        gate = Gate()
        self.shop.proxies[STEPS[call]].once(call, gate)
        return gate


@contextlib.asynccontextmanager
async def storefront(
    folder: Path, policy: saga.Policy = saga.QUICK, views: grpc.aio.Channel | None = None, **more: Any
) -> AsyncIterator[Storefront]:
    """Ten of each item on sale, one replica of each service; `views`: a read side. `more`: fields of `Demo`."""
    async with contextlib.AsyncExitStack() as stack:
        made = await stack.enter_async_context(saga.shop(lambda name: f"sqlite:///{folder}/{name}.db", policy))
        orders = await made.replica("one")
        with resolving({}):
            nobody = await stack.enter_async_context(meshwright.channel("userview"))
        participants = [made.proxied[name].channel for name in ("inventory", "payment")]
        channels = [orders.served.channel, *participants, views or nobody]
        running = await stack.enter_async_context(demo(folder, shop=ShopClient(*channels), **more))
        yield Storefront(running, made, orders)
