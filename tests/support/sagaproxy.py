"""A gRPC proxy that loses, doubles and repeats calls where a test wants it; neither side knows."""

from __future__ import annotations

import contextlib
from collections import defaultdict, deque
from typing import TYPE_CHECKING

import grpc

from meshwright.model import Address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Forward = Callable[[], Awaitable[bytes]]
    Fault = Callable[[Forward], Awaitable[bytes]]


class LostError(Exception):
    """The caller cannot know what became of its call. (No UNAVAILABLE, with which its channel would try again.)"""


class Proxy(grpc.GenericRpcHandler):
    """Forwards unary calls as bytes. `calls` are the methods that came by, in their order."""

    def __init__(self, target: Address) -> None:
        self.calls: list[str] = []
        self.address = Address("127.0.0.1", 0)
        self._target = target
        self._faults: dict[str, deque[Fault]] = defaultdict(deque)
        self._always: dict[str, Fault] = {}
        self._delivered: list[tuple[str, bytes]] = []

    def once(self, method: str, *faults: Fault) -> None:
        """What happens to the next calls of the method, as `Charge`, one after the other; then they pass."""
        self._faults[method].extend(faults)

    def always(self, method: str, fault: Fault | None) -> None:
        """What happens to every call of the method until told otherwise."""
        self._always.pop(method, None)
        if fault is not None:
            self._always[method] = fault

    async def redeliver(self) -> None:
        """Every request that ever arrived arrives again, the last one first; nobody waits for the answers."""
        for method, request in reversed(list(self._delivered)):
            with contextlib.suppress(grpc.aio.AioRpcError):
                await self._channel.unary_unary(method)(request, timeout=5)

    def service(self, handler_call_details):
        method = handler_call_details.method

        async def handle(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
            return await self._handle(method, request, context)

        return grpc.unary_unary_rpc_method_handler(handle)

    async def _handle(self, method: str, request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        name = method.rpartition("/")[2]
        self.calls.append(name)
        metadata = [(key, value) for key, value in context.invocation_metadata() or () if key == "traceparent"]

        async def forward() -> bytes:
            self._delivered.append((method, request))
            return await self._channel.unary_unary(method)(request, timeout=5, metadata=metadata)

        queue = self._faults[name]
        fault = queue.popleft() if queue else self._always.get(name, passed)
        try:
            return await fault(forward)
        except LostError:
            await context.abort(grpc.StatusCode.UNKNOWN, "lost on the way")
        except grpc.aio.AioRpcError as error:
            trailers = tuple(error.trailing_metadata() or ())
            await context.abort(error.code(), error.details() or "", trailers)
        raise AssertionError("abort raises")

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Proxy]:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers([self])
        self.address = Address("127.0.0.1", server.add_insecure_port("127.0.0.1:0"))
        # A target that comes back is found at once.
        options = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 100)]
        async with grpc.aio.insecure_channel(str(self._target), options=options) as self._channel:
            await server.start()
            try:
                yield self
            finally:
                await server.stop(None)


async def passed(forward: Forward) -> bytes:
    return await forward()


async def lost_request(forward: Forward) -> bytes:
    raise LostError


async def lost_answer(forward: Forward) -> bytes:
    await forward()
    raise LostError


async def doubled(forward: Forward) -> bytes:
    await forward()
    return await forward()
