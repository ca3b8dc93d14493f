"""Synchronous calls as their callers see them: gRPC's, with two errors made better.

What a request's iterator raised is raised again, where gRPC would say "Exception iterating requests!". And where no
server was reached, the details say why (`meshwright.calls.client.explained`).
"""

from __future__ import annotations

import concurrent.futures
import threading
from typing import TYPE_CHECKING, Any

import grpc

from meshwright.calls.client.explained import time_to_explain
from meshwright.sync.background import BACKGROUND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from meshwright.calls.client.methods import ClientCall, ClientCalls

    Explanation = Callable[[grpc.RpcError], str | None]


def outcome(call: Any) -> tuple[grpc.StatusCode, Any, str | None]:
    """Status, trailing metadata and message of a call that has ended."""
    return call.code() or grpc.StatusCode.UNKNOWN, call.trailing_metadata() or (), call.details()


class FailedCallError(grpc.RpcError):
    """The error of a call, with details of our own; all else is gRPC's."""

    def __init__(self, error: Any, details: str) -> None:
        super().__init__()
        self._error = error
        self._details = details

    def __getattr__(self, name: str) -> Any:
        return getattr(self._error, name)

    def details(self) -> str:
        return self._details

    def __str__(self) -> str:
        return f"{self._error.code().name}: {self._details}"


class Requests:
    """The requests of a stream, serialised as gRPC asks for them; remembers what their iterator raised."""

    def __init__(self, requests: Iterable[Any], serialize: Callable[[Any], bytes]) -> None:
        self._requests = iter(requests)
        self._serialize = serialize
        self.error: BaseException | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return self._serialize(next(self._requests))
        except StopIteration:
            raise
        except BaseException as error:
            self.error = error
            raise


def explanation(calls: ClientCalls, error: Any, timeout: float | None, ongoing: ClientCall) -> str | None:
    """Why no server was reached by a call that failed; None where one was, or where that is not known.

    `timeout`: seconds that the call had.
    """
    explain = calls.explain
    if explain is None or calls.reached:
        return None
    seconds = time_to_explain(error.code(), None if timeout is None else timeout - ongoing.seconds())
    if not seconds:
        return None
    try:
        return BACKGROUND.start(lambda: explain(seconds)).result(seconds + 1.0)
    except concurrent.futures.TimeoutError:
        return None


class Ending:
    """The end of a call, written down once: by the thread that sees it, or by gRPC's, whichever comes first."""

    def __init__(self, ongoing: ClientCall) -> None:
        self._ongoing = ongoing
        self._lock = threading.Lock()
        self._ended = False

    def __call__(self, call: Any) -> None:
        with self._lock:
            first, self._ended = not self._ended, True
        if first:
            self._ongoing.ended(*outcome(call))


class _Call:
    """gRPC's call, whose errors are made better as they are raised."""

    def __init__(self, call: Any, argument: Any, ending: Ending, explain: Explanation) -> None:
        self._call = call
        self._argument = argument
        self._ending = ending
        self._explain = explain
        self._better: BaseException | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    def _error(self, error: Any) -> BaseException:
        if self._better is None:
            given = self._argument.error if isinstance(self._argument, Requests) else None
            details = None if given is not None else self._explain(error)
            self._better = given or (FailedCallError(error, details) if details is not None else error)
        return self._better

    def details(self) -> str | None:
        said: str | None = self._call.details()
        if self._call.code() is grpc.StatusCode.UNAVAILABLE:
            return self._explain(self._call) or said
        return said

    def result(self, timeout: float | None = None) -> Any:
        try:
            result = self._call.result(timeout)
        except grpc.RpcError as error:
            self._ending(self._call)
            raise self._error(error) from None
        self._ending(self._call)
        return result

    def exception(self, timeout: float | None = None) -> BaseException | None:
        error = self._call.exception(timeout)
        return None if error is None else self._error(error)


class FutureCall(_Call):
    """A call with one answer that is not waited for."""


class StreamCall(_Call):
    """A call with a stream of answers."""

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._call)
        except StopIteration:
            self._ending(self._call)
            raise
        except grpc.RpcError as error:
            self._ending(self._call)
            raise self._error(error) from None


for _kind in (grpc.Call, grpc.Future):
    _kind.register(_Call)
