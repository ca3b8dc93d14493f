"""The server's side of a call, wrapped around each handler once when the service is added.

grpc.aio's own server interceptors are asked anew for each call, one after the other; a wrapped handler is not. The
wrapper does, in this order: remember deadline and authorization for outgoing calls, go on with the trace, count,
verify who calls; then the handler; then serialise the answer, map errors, end the span, count again. Health, reflection
and admin services are not wrapped: a health check each second is not worth a trace.

Whatever happens to a call happens inside of the wrapper, so that what is counted is what the caller sees. gRPC is
therefore told that each method takes a stream of requests, and that those with a stream of answers write them: reading
and serialising, which it would do outside, are ours (docs/reference/calls.md).
"""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import TYPE_CHECKING, Any

import grpc

from meshwright.calls import outgoing
from meshwright.calls.errors import ErrorMap, NoRequestError, UnreadableRequestError
from meshwright.calls.propagation import uses_w3c
from meshwright.calls.server.call import Overdue, ServerCall
from meshwright.calls.spans import INSTANCE_KEY, VERSION_KEY, method_attributes

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshwright.auth import Auth
    from meshwright.telemetry import Telemetry


class ServerCalls:
    """What all methods of a server share."""

    def __init__(self, telemetry: Telemetry, errors: ErrorMap, auth: Auth | None = None) -> None:
        identity = telemetry.identity
        self.telemetry = telemetry
        self.errors = errors
        self.auth = auth
        self.methods: set[str] = set()
        """The methods that were wrapped, as `/package.Service/Method`."""
        self.service = identity.service
        self.version = identity.version
        self.w3c = uses_w3c()
        self.carried = frozenset(telemetry.config.carried_headers)
        self.overdue = Overdue()
        self.trailers: tuple[tuple[str, str], ...] = (
            (INSTANCE_KEY, identity.instance),
            (VERSION_KEY, identity.version),
        )
        self.exit: BaseException | None = None
        """What a handler raised that wants to end the process."""
        self.stop: Callable[[], None] | None = None
        """Begins the orderly stop that such a process ends with."""
        self._cut_off_at: float | None = None

    def wrap(self, method: str, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
        """The handler with everything around it. `method` is `/package.Service/Method`.

        Raises TypeError for a handler that is not async, and for one that yields where one answer is asked for.
        """
        self.methods.add(method)
        return ServerMethod(self, method.lstrip("/"), handler).wrapped()

    def cut_off_in(self, seconds: float) -> None:
        """Calls that are in flight then end because the server stops: their callers see UNAVAILABLE."""
        self._cut_off_at = time.monotonic() + seconds

    def leave(self, error: BaseException) -> None:
        """A handler has raised what ends the process. Where no `stop` is known, the event loop ends with it."""
        if self.exit is not None:
            return
        self.exit = error
        if self.stop is None:
            asyncio.get_running_loop().call_soon(_raise, error)
        else:
            self.stop()

    def is_cut_off(self) -> bool:
        return self._cut_off_at is not None and time.monotonic() >= self._cut_off_at


class ServerMethod:
    """One method of the service, and what of it does not change from call to call."""

    def __init__(self, calls: ServerCalls, name: str, handler: grpc.RpcMethodHandler[Any, Any]) -> None:
        self.calls = calls
        self.name = name
        self.metrics = calls.telemetry.metrics.method("server", calls.service, name)
        self.attributes = method_attributes(name)
        self.tracer = calls.telemetry.tracer
        self.skips_unsampled = calls.telemetry.sampling.skips_unsampled
        self.guard = None if calls.auth is None else calls.auth.guard(f"/{name}")
        self._takes_stream = bool(handler.request_streaming)
        self._answers_stream = bool(handler.response_streaming)
        kind = f"{'stream' if self._takes_stream else 'unary'}_{'stream' if self._answers_stream else 'unary'}"
        self._behaviour = getattr(handler, kind)
        self._serialize = outgoing.serializer(name, handler.response_serializer, response=True)
        self.write = self._serialize if self._answers_stream else None
        self._deserialize = handler.request_deserializer

    def wrapped(self) -> grpc.RpcMethodHandler[Any, Any]:
        behaviour = self._behaviour
        if not inspect.isasyncgenfunction(behaviour) and not inspect.iscoroutinefunction(behaviour):
            if not getattr(behaviour, "__module__", "").endswith("_pb2_grpc"):
                raise TypeError(f"{self.name}: the handler must be an async function: {behaviour!r}")
            behaviour = _not_implemented
        if not self._answers_stream:
            if inspect.isasyncgenfunction(behaviour):
                raise TypeError(
                    f"{self.name} answers with one message: return it, `yield` makes a stream: {behaviour!r}"
                )
            return grpc.stream_unary_rpc_method_handler(self._unary(behaviour), self._read)
        return grpc.stream_stream_rpc_method_handler(self._stream(behaviour), self._read)

    def _read(self, raw: bytes) -> Any:
        if self._deserialize is None:
            return raw
        try:
            return self._deserialize(raw)
        except Exception as error:
            kind = getattr(self._deserialize, "__self__", None)
            name = getattr(getattr(kind, "DESCRIPTOR", None), "full_name", "what this method takes")
            raise UnreadableRequestError(f"the request cannot be read as {name}") from error

    async def _request(self, requests: Any, ongoing: ServerCall) -> Any:
        """What the handler gets as its first argument."""
        if self.guard is not None:
            await self.guard.admit(ongoing.authorization)
        if self._takes_stream:
            return requests
        request = await ongoing.context.read()
        if request is grpc.aio.EOF:
            raise NoRequestError("the call has no request; this method takes one")
        return request

    def _unary(self, behaviour: Callable[..., Any]) -> Callable[..., Any]:
        serialize = self._serialize

        async def call(requests: Any, inner: Any) -> bytes:
            ongoing = ServerCall(self, inner)
            try:
                ongoing.begin()
                response = await behaviour(await self._request(requests, ongoing), ongoing.context)
                # A status that was set by hand goes out without the message, whatever it is.
                raw = b"" if inner.code() not in _FINE else serialize(response)
            except BaseException as error:
                await ongoing.fail(error)
                raise
            await ongoing.succeed()
            return raw

        return call

    def _stream(self, behaviour: Callable[..., Any]) -> Callable[..., Any]:
        run = self._drain if inspect.isasyncgenfunction(behaviour) else self._let_write

        async def call(requests: Any, inner: Any) -> None:
            ongoing = ServerCall(self, inner)
            try:
                ongoing.begin()
                await run(behaviour, await self._request(requests, ongoing), ongoing.context)
            except BaseException as error:
                await ongoing.fail(error)
                raise
            await ongoing.succeed()

        return call

    async def _drain(self, behaviour: Callable[..., Any], request: Any, context: Any) -> None:
        """Write what a generator yields; it is closed here, in the call's own task, however the call ends."""
        responses = behaviour(request, context)
        try:
            async for response in responses:
                await context.write(response)
        finally:
            await responses.aclose()

    async def _let_write(self, behaviour: Callable[..., Any], request: Any, context: Any) -> None:
        result = await behaviour(request, context)
        if result is not None:
            given = type(result).__qualname__
            raise TypeError(f"{self.name} answers with a stream: its handler yields or writes; it returned {given}")


def _raise(error: BaseException) -> None:
    raise error


_FINE = (None, grpc.StatusCode.OK)


async def _not_implemented(_request: Any, context: Any) -> None:
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, "this service does not implement the method")
