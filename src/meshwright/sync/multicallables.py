"""gRPC's four kinds of multicallable without asyncio, each making its calls through `ClientMethod`.

A request is serialised before anything else, so that a wrong one is a TypeError where it is given. What each needs of
its channel is asked for at each call: the connection underneath may be exchanged, and the process may have been forked.
The signatures are gRPC's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc

from meshwright.calls import outgoing
from meshwright.sync.calls import Ending, FailedCallError, FutureCall, Requests, StreamCall, explanation, outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from meshwright.calls.client.methods import ClientMethod
    from meshwright.sync.sync_channel import Opened, SyncChannel


class _Multicallable:
    kind = ""

    def __init__(
        self,
        channel: SyncChannel,
        method: str,
        request_serializer: Callable[[Any], bytes] | None = None,
        response_deserializer: Callable[[bytes], Any] | None = None,
        _registered_method: bool | None = False,
    ) -> None:
        self._channel = channel
        self._name = method
        self._serialize = outgoing.serializer(method.lstrip("/"), request_serializer, response=False)
        self._deserialize = response_deserializer
        self._registered = _registered_method
        self._made: tuple[Opened, grpc.Channel, ClientMethod, Any] | None = None

    def _current(self) -> tuple[Opened, ClientMethod, Any]:
        """The channel in use, the method as it sees it, and gRPC's multicallable for its connection."""
        opened = self._channel.opened()
        made, inner = self._made, opened.connection.channel
        if made is None or made[0] is not opened or made[1] is not inner:
            method = opened.calls.method(self._name, streams=self.kind != "unary_unary")
            make = getattr(inner, self.kind)
            multicallable = make(self._name, None, self._deserialize, _registered_method=self._registered)
            made = self._made = opened, inner, method, multicallable
        return opened, made[2], made[3]

    def _answer(
        self, argument: Any, timeout: float | None, metadata: Any, options: dict[str, Any]
    ) -> tuple[Any, grpc.Call]:
        """Make the call and wait for its one answer."""
        opened, method, inner = self._current()
        timeout, pairs, ongoing = method.begin(timeout, metadata)
        try:
            response, call = inner.with_call(argument, timeout=timeout, metadata=tuple(pairs), **options)
        except grpc.RpcError as error:
            ongoing.ended(*outcome(error))
            if isinstance(argument, Requests) and argument.error is not None:
                raise argument.error from None
            better = explanation(opened.calls, error, timeout, ongoing)
            if better is None:
                raise
            raise FailedCallError(error, better) from error
        except BaseException as error:
            ongoing.refused(error)
            raise
        ongoing.ended(*outcome(call))
        return response, call

    def _begin(
        self, kind: type[FutureCall | StreamCall], argument: Any, timeout: float | None, metadata: Any, **options: Any
    ) -> Any:
        """Make the call and do not wait."""
        opened, method, inner = self._current()
        timeout, pairs, ongoing = method.begin(timeout, metadata)
        make = inner.future if kind is FutureCall else inner
        try:
            call = make(argument, timeout=timeout, metadata=tuple(pairs), **options)
        except BaseException as error:
            ongoing.refused(error)
            raise
        ending = Ending(ongoing)
        call.add_done_callback(ending)
        return kind(call, argument, ending, lambda error: explanation(opened.calls, error, timeout, ongoing))


class _Answered(_Multicallable):
    """One answer."""

    def _prepared(self, argument: Any) -> Any:
        raise NotImplementedError

    def __call__(self, request: Any, timeout: float | None = None, metadata: Any = None, **options: Any) -> Any:
        return self._answer(self._prepared(request), timeout, metadata, options)[0]

    def with_call(
        self, request: Any, timeout: float | None = None, metadata: Any = None, **options: Any
    ) -> tuple[Any, grpc.Call]:
        return self._answer(self._prepared(request), timeout, metadata, options)

    def future(self, request: Any, timeout: float | None = None, metadata: Any = None, **options: Any) -> Any:
        return self._begin(FutureCall, self._prepared(request), timeout, metadata, **options)


class _Streamed(_Multicallable):
    """A stream of answers."""

    def _prepared(self, argument: Any) -> Any:
        raise NotImplementedError

    def __call__(self, request: Any, timeout: float | None = None, metadata: Any = None, **options: Any) -> Any:
        return self._begin(StreamCall, self._prepared(request), timeout, metadata, **options)


class _OneRequest(_Multicallable):
    def _prepared(self, argument: Any) -> bytes:
        return self._serialize(argument)


class _ManyRequests(_Multicallable):
    def _prepared(self, argument: Iterable[Any]) -> Requests:
        return Requests(argument, self._serialize)


class UnaryUnary(_OneRequest, _Answered):
    """A method with one request and one response."""

    kind = "unary_unary"


class UnaryStream(_OneRequest, _Streamed):
    """A method with one request and a stream of responses."""

    kind = "unary_stream"


class StreamUnary(_ManyRequests, _Answered):
    """A method with a stream of requests and one response."""

    kind = "stream_unary"


class StreamStream(_ManyRequests, _Streamed):
    """A method with a stream of requests and one of responses."""

    kind = "stream_stream"


grpc.UnaryUnaryMultiCallable.register(UnaryUnary)
grpc.UnaryStreamMultiCallable.register(UnaryStream)
grpc.StreamUnaryMultiCallable.register(StreamUnary)
grpc.StreamStreamMultiCallable.register(StreamStream)
