"""A service under test: really served, really called, without Consul, control plane or collector."""

from __future__ import annotations

import contextlib
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meshwright.client import ADDRESSES, MeshChannel, channel
from meshwright.config import ServiceConfig, load_config
from meshwright.server import Server
from meshwright.telemetry import Identity, Telemetry
from meshwright.telemetry.recording import SpanRecorder
from meshwright.telemetry.tracing import isolated_provider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence

    from meshwright.auth import Auth
    from meshwright.errors import ServiceError
    from meshwright.model import Address


@dataclass(frozen=True, slots=True)
class Served:
    """A service that is being served: `channel` calls it; `spans` and `telemetry.metrics` have what both sides saw."""

    server: Server
    channel: MeshChannel
    telemetry: Telemetry
    spans: SpanRecorder

    @property
    def address(self) -> Address:
        return self.server.address


@asynccontextmanager
async def served(
    add_to_server: Callable[[Any, Any], None],
    servicer: object,
    *,
    service: str = "service",
    version: str = "0.0.0",
    errors: Mapping[type[Exception], type[ServiceError]] | None = None,
    auth: Auth | None = None,
    **config: Any,
) -> AsyncIterator[Served]:
    """Serve `servicer` on a port of its own, with everything that `meshwright.Server` puts around it.

        async with served(rpc.add_CalculatorServicer_to_server, Calculator()) as calculator:
            result = await rpc.CalculatorStub(calculator.channel).Add(pb.Numbers(a=1, b=2))

    `errors` and `auth` as for `Server`; further keywords are fields of `ServiceConfig`. The environment is not read.
    """
    settings = {"register": False, "propagation": 0.0, "grace": 1.0, "instance": f"{service}-test"} | config
    chosen = load_config(ServiceConfig, {}, service=service, version=version, **settings)
    spans = SpanRecorder()
    telemetry = Telemetry(chosen, provider=isolated_provider(Identity.of(chosen), spans))
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(telemetry.close)
        server = await stack.enter_async_context(Server(chosen, errors=errors, auth=auth, telemetry=telemetry))
        server.add(add_to_server, servicer)
        await server.start()
        with resolving({service: [server.address]}):
            called = channel(service, chosen, telemetry=telemetry)
        await stack.enter_async_context(called)
        yield Served(server, called, telemetry, spans)


@contextmanager
def resolving(addresses: Mapping[str, Sequence[Address]]) -> Iterator[None]:
    """Channels made inside find services at those addresses, round robin; any other service at none.

    with resolving({"user": [Address("127.0.0.1", 20001)]}):
        app = build()   # calls meshwright.channel("user") or meshwright.sync.channel("user")
    """

    token = ADDRESSES.set(addresses)
    try:
        yield
    finally:
        ADDRESSES.reset(token)
