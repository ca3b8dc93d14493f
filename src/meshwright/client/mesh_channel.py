"""The channel that services get: gRPC's, with the calls made through `ClientCalls`.

It is a `grpc.aio.Channel`, so generated stubs take it. It opens its connection at the first use, which lets it be made
before an event loop runs, and may exchange it for another (`replace`): calls that are in flight end on the old one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc

from meshwright.calls.client.multicallables import StreamStream, StreamUnary, UnaryStream, UnaryUnary
from meshwright.calls.outgoing import serializer, unless_bytes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType
    from typing import Self

    from meshwright.calls.client.methods import ClientCalls
    from meshwright.calls.outgoing import Serializer

DRAIN_SECONDS = 30.0
"""How long calls may go on over a connection that was replaced."""


class MeshChannel(grpc.aio.Channel):
    """A channel to a service of the mesh. An async context manager; `close` ends it."""

    def __init__(
        self,
        calls: ClientCalls,
        connect: Callable[[], grpc.aio.Channel],
        on_close: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._calls = calls
        self._connect = connect
        self._on_close = on_close
        self._inner: grpc.aio.Channel | None = None
        self._closed = False
        self._draining: set[asyncio.Task[None]] = set()

    def connection(self) -> grpc.aio.Channel:
        """The gRPC channel in use now."""
        if self._closed:
            raise grpc.aio.UsageError(f"the channel to {self._calls.target} is closed")
        if self._inner is None:
            self._inner = self._connect()
        return self._inner

    def replace(self, inner: grpc.aio.Channel) -> None:
        """New calls go over `inner`; those on the connection until now get time to end."""
        old, self._inner = self._inner, inner
        if old is not None:
            task = asyncio.get_running_loop().create_task(old.close(DRAIN_SECONDS))
            self._draining.add(task)
            task.add_done_callback(self._draining.discard)

    def unary_unary(self, method: str, *codec: Any, **options: Any) -> UnaryUnary:
        """A method with one request and one response, for generated stubs."""
        return UnaryUnary(self._calls.method(method), *self._made("unary_unary", method, codec, options))

    def unary_stream(self, method: str, *codec: Any, **options: Any) -> UnaryStream:
        """A method with one request and a stream of responses, for generated stubs."""
        calls = self._calls.method(method, streams=True)
        return UnaryStream(calls, *self._made("unary_stream", method, codec, options))

    def stream_unary(self, method: str, *codec: Any, **options: Any) -> StreamUnary:
        """A method with a stream of requests and one response, for generated stubs."""
        calls = self._calls.method(method, streams=True)
        return StreamUnary(calls, *self._made("stream_unary", method, codec, options))

    def stream_stream(self, method: str, *codec: Any, **options: Any) -> StreamStream:
        """A method with a stream of requests and one of responses, for generated stubs."""
        calls = self._calls.method(method, streams=True)
        return StreamStream(calls, *self._made("stream_stream", method, codec, options))

    def _made(
        self, kind: str, method: str, codec: tuple[Any, ...], options: dict[str, Any]
    ) -> tuple[Callable[[], Any], Serializer]:
        """A function that gives gRPC's multicallable for the connection in use, making it when that has changed; and
        what its requests are serialised by: ours, for gRPC sends an empty message for what it cannot serialise."""
        options = dict(zip(("request_serializer", "response_deserializer"), codec, strict=False)) | options
        serialize = serializer(method.lstrip("/"), options.get("request_serializer"), response=False)
        options["request_serializer"] = unless_bytes(serialize)
        made_for: grpc.aio.Channel | None = None
        made: Any = None

        def current() -> Any:
            nonlocal made_for, made
            inner = self._inner
            if inner is None or inner is not made_for or self._closed:
                made_for = self.connection()
                made = getattr(made_for, kind)(method, **options)
            return made

        return current, serialize

    async def __aenter__(self) -> Self:
        self.connection()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        """End the channel; calls in flight get `grace` seconds."""
        if self._closed:
            return
        self._closed = True
        draining = [*self._draining]
        for task in draining:
            task.cancel()
        if self._inner is not None:
            await self._inner.close(grace)
        await asyncio.gather(*draining, return_exceptions=True)
        if self._on_close is not None:
            await self._on_close()

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """The connectivity of gRPC's channel; `try_to_connect` makes an idle one connect."""
        return self.connection().get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Return once the connectivity is no longer `last_observed_state`."""
        await self.connection().wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Return once the channel is connected; without a limit of time."""
        await self.connection().channel_ready()
