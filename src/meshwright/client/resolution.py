"""Addresses from Consul, for a team without a control plane: the healthy instances, round robin.

gRPC takes a list of addresses with a channel and never another, so a change of the list means a new channel. That is
cheap: gRPC shares connections between channels of one process, so the new one finds those of the instances that stayed
open. Calls in flight end on the old one. An empty list is not acted on: that is rather Consul having lost its state
than all instances being gone, and if they are, calls fail by themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
from typing import TYPE_CHECKING, Any

from meshwright.client.connection import open_known
from meshwright.client.mesh_channel import MeshChannel
from meshwright.consul import Consul, watch
from meshwright.model import Address, ServiceName

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from typing import Self

    import grpc

    from meshwright.calls.client.methods import ClientCalls
    from meshwright.config import ConsulConfig
    from meshwright.consul import Blocking, Indexed
    from meshwright.model import Instance

log = logging.getLogger(__name__)

FIRST_ANSWER = 2.0
"""Seconds that opening the channel waits for Consul."""


class ConsulChannel(MeshChannel):
    """A channel that follows Consul. Opened by `async with` it knows its addresses from the first call on."""

    def __init__(
        self,
        calls: ClientCalls,
        consul: ConsulConfig,
        options: Iterable[tuple[str, Any]],
        on_close: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(calls, lambda: open_known(calls.target, (), ()), on_close)
        self._service = ServiceName(calls.target)
        self._config = consul
        self._options = tuple(options)
        self._watch_task: asyncio.Task[None] | None = None
        self._answered = asyncio.Event()

    def connection(self) -> grpc.aio.Channel:
        inner = super().connection()
        if self._watch_task is None:
            self._watch_task = asyncio.get_running_loop().create_task(
                self._follow(), name=f"addresses of {self._service}"
            )
        return inner

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_ANSWER):
                await self._answered.wait()
        return self

    async def close(self, grace: float | None = None) -> None:
        """End the channel and its watch; calls in flight get `grace` seconds."""
        if self._watch_task is not None:
            self._watch_task.cancel()
            await asyncio.gather(self._watch_task, return_exceptions=True)
        await super().close(grace)

    async def _follow(self) -> None:
        def found(addresses: tuple[Address, ...]) -> None:
            self.replace(open_known(self._service, addresses, self._options))

        await follow(self._service, self._config, found, self._answered.set)


async def follow(
    service: ServiceName,
    config: ConsulConfig,
    found: Callable[[tuple[Address, ...]], None],
    answered: Callable[[], None],
) -> None:
    """Call `found` with the addresses of the healthy instances, whenever they are others and there are some, for ever;
    `answered` at each answer of Consul, after it."""
    known: tuple[Address, ...] = ()

    def report(error: Exception | None) -> None:
        if error is None:
            log.info("Consul answers again: following %s", service)
        else:
            log.warning("the addresses of %s stay as they are: %s", service, error)

    async with Consul(config) as consul:

        async def fetch(blocking: Blocking) -> Indexed[tuple[Instance, ...]]:
            return await consul.instances(service, passing=True, blocking=blocking)

        async for answer in watch(fetch, report=report):
            addresses = await _numeric(instance.address for instance in answer.value)
            if addresses and addresses != known:
                known = addresses
                found(addresses)
            answered()


async def _numeric(addresses: Iterable[Address]) -> tuple[Address, ...]:
    """The addresses, with host names looked up; what cannot be looked up is left out."""
    found: set[Address] = set()
    for address in addresses:
        try:
            ipaddress.ip_address(address.host)
            found.add(address)
        except ValueError:
            found.update(await _look_up(address))
    return tuple(sorted(found))


async def _look_up(address: Address) -> list[Address]:
    try:
        answers = await asyncio.get_running_loop().getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError as error:
        log.warning("%s cannot be looked up: %s", address.host, error)
        return []
    return [Address(str(answer[4][0]), address.port) for answer in answers[:1]]
