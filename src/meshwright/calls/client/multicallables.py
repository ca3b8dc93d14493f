"""gRPC's four kinds of multicallable, each making its calls through `ClientMethod`.

They ask their channel for the multicallable to use at each call, because the connection underneath may be exchanged
(addresses from Consul). The signatures are gRPC's.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc

from meshwright.calls.client.explained import ExplainedCall
from meshwright.calls.client.requests import Requests

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshwright.calls.client.methods import ClientMethod
    from meshwright.calls.outgoing import Serializer


class _Multicallable:
    """`current` gives gRPC's multicallable; `serialize` raises TypeError for what is no request of this method."""

    def __init__(self, method: ClientMethod, current: Callable[[], Any], serialize: Serializer) -> None:
        self._method = method
        self._current = current
        self._serialize = serialize

    def _one(self, request: Any, timeout: float | None, metadata: Any, **options: Any) -> Any:
        """Call with one request, serialised here: what cannot be is the caller's error, before anything is sent."""
        return self._call(self._serialize(request), timeout, metadata, **options)

    def _many(self, requests: Any, timeout: float | None, metadata: Any, **options: Any) -> Any:
        checked = Requests(requests, self._serialize)
        call = self._call(None if requests is None else checked, timeout, metadata, **options)
        checked.check(call._call if isinstance(call, ExplainedCall) else call)  # noqa: SLF001 - what it stands for
        return call

    def _call(self, argument: Any, timeout: float | None, metadata: Any, **options: Any) -> Any:
        calls = self._method.calls
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError(
                f"no event loop runs here, and calls through meshwright.channel({calls.target!r}) are awaited in one; "
                f"code without asyncio calls through meshwright.sync.channel({calls.target!r})"
            ) from None
        make = self._current()
        timeout, pairs, ongoing = self._method.begin(timeout, metadata)
        try:
            call = make(argument, timeout=timeout, metadata=pairs, **options)
        except BaseException as error:
            ongoing.refused(error)
            raise
        call.add_done_callback(ongoing.end)
        return call if calls.reached or calls.explain is None else ExplainedCall(call, calls.explain)


class UnaryUnary(_Multicallable, grpc.aio.UnaryUnaryMultiCallable[Any, Any]):
    """A method with one request and one response."""

    def __call__(
        self,
        request: Any,
        *,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> Any:
        return self._one(
            request,
            timeout,
            metadata,
            credentials=credentials,
            wait_for_ready=wait_for_ready,
            compression=compression,
        )


class UnaryStream(_Multicallable, grpc.aio.UnaryStreamMultiCallable[Any, Any]):
    """A method with one request and a stream of responses."""

    def __call__(
        self,
        request: Any,
        *,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> Any:
        return self._one(
            request,
            timeout,
            metadata,
            credentials=credentials,
            wait_for_ready=wait_for_ready,
            compression=compression,
        )


class StreamUnary(_Multicallable, grpc.aio.StreamUnaryMultiCallable[Any, Any]):
    """A method with a stream of requests and one response."""

    def __call__(  # noqa: PLR0917 - gRPC's signature
        self,
        request_iterator: Any = None,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> Any:
        return self._many(
            request_iterator,
            timeout,
            metadata,
            credentials=credentials,
            wait_for_ready=wait_for_ready,
            compression=compression,
        )


class StreamStream(_Multicallable, grpc.aio.StreamStreamMultiCallable[Any, Any]):
    """A method with a stream of requests and one of responses."""

    def __call__(  # noqa: PLR0917 - gRPC's signature
        self,
        request_iterator: Any = None,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> Any:
        return self._many(
            request_iterator,
            timeout,
            metadata,
            credentials=credentials,
            wait_for_ready=wait_for_ready,
            compression=compression,
        )
