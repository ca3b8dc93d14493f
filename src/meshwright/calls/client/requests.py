"""Requests that are a stream, checked as they are sent.

grpc.aio sends an empty message for what it cannot serialise, and where the iterator of a caller raises, the caller gets
`CancelledError`, as if it had been cancelled itself. So gRPC's call objects serialise through ours, and what went wrong
with a request is what awaiting or reading the call raises. The call is cancelled then, as gRPC does it.

The calls are gRPC's own, whose class is exchanged once they are made: a class derived from one class alone has the same
layout, so the two kinds of call cannot share a mixin.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, Any

from grpc.aio import _call

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator

    from meshwright.calls.outgoing import Serializer


class Requests:
    """What is known of the requests of one call: how they are serialised, and what was wrong with one.

    As an iterable, the caller's own iterator; what that raises is kept as well.
    """

    __slots__ = ("_given", "_serialize", "wrong")

    def __init__(self, given: Any, serialize: Serializer) -> None:
        self._given = given
        self._serialize = serialize
        self.wrong: Exception | None = None

    def serialized(self, request: Any) -> bytes:
        try:
            return self._serialize(request)
        except Exception as error:
            if self._given is not None:  # else `write` has raised it, and the call goes on
                self.wrong = error
            raise

    async def __aiter__(self) -> AsyncIterator[Any]:
        try:
            if isinstance(self._given, AsyncIterable):
                async for request in self._given:
                    yield request
            else:
                for request in self._given:
                    yield request
        except Exception as error:
            self.wrong = error
            raise

    def check(self, call: Any) -> None:
        """Make the call serialise here. Calls of other classes than gRPC's stay as they are."""
        kind = _KINDS.get(type(call))
        if kind is not None:
            call.__class__ = kind
            call.requests = self


class _StreamUnary(_call.StreamUnaryCall):  # type: ignore[type-arg]
    requests: Requests

    async def _write(self, request: Any) -> None:
        await super()._write(self.requests.serialized(request))

    async def _raise_for_status(self) -> None:
        if self.requests.wrong is not None:
            raise self.requests.wrong
        await super()._raise_for_status()

    def __await__(self) -> Generator[Any, None, Any]:
        try:
            return (yield from super().__await__())
        except asyncio.CancelledError:
            if self.requests.wrong is not None:
                raise self.requests.wrong from None
            raise


class _StreamStream(_call.StreamStreamCall):  # type: ignore[type-arg]
    requests: Requests

    async def _write(self, request: Any) -> None:
        await super()._write(self.requests.serialized(request))

    async def _raise_for_status(self) -> None:
        if self.requests.wrong is not None:
            raise self.requests.wrong
        await super()._raise_for_status()

    async def _read(self) -> Any:
        try:
            return await super()._read()
        except asyncio.CancelledError:
            if self.requests.wrong is not None:
                raise self.requests.wrong from None
            raise


_KINDS: dict[type, type] = {_call.StreamUnaryCall: _StreamUnary, _call.StreamStreamCall: _StreamStream}
