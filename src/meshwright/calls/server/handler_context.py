"""What a handler gets as its `context`: gRPC's own, with what it is given checked before it is taken.

gRPC takes an unusable status, message or metadata from a handler and finds out when it sends: by then the call cannot
be answered any more. Here the handler gets the error, at the line that made it. Trailing metadata of a handler's own
goes beside that of the mesh (instance and version), on an abort too, so that callers always learn who answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import grpc

from meshwright.calls import outgoing

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from meshwright.calls.outgoing import Pair, Serializer

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_OK = grpc.StatusCode.OK
_FOR_MESSAGE = 512
"""Bytes that are kept for the message of a status."""


class Sent:
    """A status that has gone out before its handler came to an end."""

    __slots__ = ("code", "error", "message")

    def __init__(self, code: grpc.StatusCode, message: str, error: grpc.aio.AbortError) -> None:
        self.code = code
        self.message = message
        self.error = error


class HandlerContext(grpc.aio.ServicerContext[Any, Any]):
    """A call as its handler sees it. `trailers` are added to whatever trailing metadata the handler sets.

    `serialize` is for `write`; None where the method answers with one message.
    """

    def __init__(
        self, inner: Any, trailers: tuple[Pair, ...], serialize: Serializer | None, task: asyncio.Task[Any] | None
    ) -> None:
        self._inner = inner
        self._task = task
        self._trailers = trailers
        self._serialize = serialize
        self.sent: Sent | None = None
        self.heard = 0
        """How often the task had been cancelled when a message went out: these were not the caller's doing."""
        inner.set_trailing_metadata(trailers)

    async def read(self) -> Any:
        return await self._inner.read()

    async def write(self, message: Any) -> None:
        if self._serialize is None:
            raise TypeError("context.write is for methods that answer with a stream; this one returns its message")
        await self._inner.write(self._serialize(message))
        if self._task is not None:
            self.heard = self._task.cancelling()

    async def send_initial_metadata(self, initial_metadata: Any) -> None:
        await self._inner.send_initial_metadata(outgoing.metadata(initial_metadata, "initial metadata"))

    async def abort(self, code: Any, details: str = "", trailing_metadata: Any = ()) -> NoReturn:
        """End the call with that status. Raises ValueError where the code is OK or none of gRPC's."""
        chosen = _code(code)
        if chosen is _OK:
            raise ValueError("abort takes a status other than OK; return, to end a call well")
        if not isinstance(details, str):
            raise TypeError(f"the details of a status are str, not {type(details).__name__}")
        own = outgoing.metadata(trailing_metadata or (), "trailing metadata")
        if not own:
            own = tuple(self._inner.trailing_metadata() or ())
        await self.end(chosen, details or self._inner.details() or "", own)

    async def end(self, code: grpc.StatusCode, details: str, own: tuple[Pair, ...]) -> NoReturn:
        """Abort with what was checked before; `own` trailing metadata goes beside the mesh's, if there is room."""
        trailers = self._beside(own)
        if outgoing.size(trailers) > outgoing.MAX_METADATA - _FOR_MESSAGE:
            trailers = self._trailers
        details = outgoing.text(details, outgoing.MAX_METADATA - outgoing.size(trailers))
        try:
            await self._inner.abort(code, details, trailers)
        except grpc.aio.AbortError as error:
            self.sent = Sent(code, details, error)
            raise
        raise AssertionError("gRPC's abort raises")

    async def abort_with_status(self, status: Any) -> NoReturn:
        await self.abort(status.code, status.details or "", status.trailing_metadata or ())

    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        self._inner.set_trailing_metadata(self._beside(outgoing.metadata(trailing_metadata, "trailing metadata")))

    def _beside(self, own: tuple[Pair, ...]) -> tuple[Pair, ...]:
        ours = {key for key, _ in self._trailers}
        return (*(pair for pair in own if pair[0] not in ours), *self._trailers)

    def set_code(self, code: Any) -> None:
        self._inner.set_code(_code(code))

    def set_details(self, details: str) -> None:
        if not isinstance(details, str):
            raise TypeError(f"the details of a status are str, not {type(details).__name__}")
        self._inner.set_details(outgoing.text(details, outgoing.MAX_METADATA // 2))

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._inner.add_done_callback(lambda _inner: callback(self))

    def invocation_metadata(self) -> Any:
        return self._inner.invocation_metadata()

    def trailing_metadata(self) -> Any:
        return self._inner.trailing_metadata()

    def set_compression(self, compression: grpc.Compression) -> None:
        self._inner.set_compression(compression)

    def disable_next_message_compression(self) -> None:
        self._inner.disable_next_message_compression()

    def peer(self) -> Any:
        return self._inner.peer()

    def peer_identities(self) -> Any:
        return self._inner.peer_identities()

    def peer_identity_key(self) -> Any:
        return self._inner.peer_identity_key()

    def auth_context(self) -> Any:
        return self._inner.auth_context()

    def time_remaining(self) -> Any:
        return self._inner.time_remaining()

    def code(self) -> Any:
        return self._inner.code()

    def details(self) -> Any:
        return self._inner.details()

    def cancelled(self) -> bool:
        return bool(self._inner.cancelled())

    def done(self) -> bool:
        return bool(self._inner.done())


def _code(given: Any) -> grpc.StatusCode:
    if isinstance(given, grpc.StatusCode):
        return given
    found = None if isinstance(given, bool) or not isinstance(given, int) else _CODES.get(given)
    if found is None:
        raise ValueError(f"a status is a grpc.StatusCode, not {given!r}")
    return found
