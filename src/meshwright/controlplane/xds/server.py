"""The aggregated discovery service on `grpc.aio`: bytes in, bytes out, one task for each open stream.

The handler task reads. Writing happens in a second task that exists only while there is something to write, takes one
response at a time from the state machine, and so never runs ahead of a slow reader: what changes meanwhile is merged
there. Messages pass as bytes, because a decoding error inside gRPC would end the call with nothing said.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc

from meshwright.controlplane.metrics import SHORT_NAMES, RequestKind
from meshwright.controlplane.xds.codec import UnknownTypeError, read_request
from meshwright.controlplane.xds.nodes import read_node
from meshwright.controlplane.xds.snapshot_cache import SnapshotCache
from meshwright.controlplane.xds.unserved import MAX_TYPES, OtherVariants, UnservedTypes, cut
from meshwright.errors import ValidationError

if TYPE_CHECKING:
    from meshwright.controlplane.metrics import Metrics
    from meshwright.controlplane.model.snapshot import ResourceType, Snapshot
    from meshwright.controlplane.xds.codec import Request
    from meshwright.controlplane.xds.stream import Response, Stream

SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
METHOD = f"/{SERVICE}/StreamAggregatedResources"
_MOST_REMEMBERED = 1000

log = logging.getLogger(__name__)


class Ads:
    """Serves the current snapshot to all streams. `publish` it a new one whenever the mesh changes."""

    def __init__(self, metrics: Metrics) -> None:
        self.cache = SnapshotCache()
        self._metrics = metrics
        for kind, name in SHORT_NAMES.items():
            metrics.refusing.labels(name).set_function(partial(self._refusing, kind))
        self._connections: dict[Stream, _Connection] = {}
        self._handlers: set[asyncio.Task[Any]] = set()
        self._stopping = False
        self._said: set[tuple[str, str]] = set()

    def publish(self, snapshot: Snapshot) -> None:
        """Make `snapshot` the current one and send what it changes to those whom it concerns."""
        for stream in self.cache.publish(snapshot):
            self._connections[stream].wake()

    def end_warm_up(self) -> None:
        """Tell the preserved streams which names are unknown."""
        for stream in self.cache.end_warm_up():
            self._connections[stream].wake()

    def _refusing(self, kind: ResourceType) -> float:
        found = (stream.types.get(kind) for stream in self.cache.streams)
        return float(sum(state is not None and state.nack is not None for state in found))

    def handlers(self) -> tuple[grpc.GenericRpcHandler, ...]:
        """What a server registers."""
        method: Any = grpc.stream_stream_rpc_method_handler(self._stream)
        own = grpc.method_handlers_generic_handler(SERVICE, {METHOD.rpartition("/")[2]: method})
        return own, OtherVariants()

    async def stop(self) -> None:
        """End every stream with UNAVAILABLE, so that clients turn to another control plane."""
        self._stopping = True
        for task in tuple(self._handlers):
            task.cancel()
        while self._handlers:
            await asyncio.wait(tuple(self._handlers))

    async def _stream(self, _requests: Any, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        try:
            await self._serve(context)
        except asyncio.CancelledError:
            if not self._stopping:
                raise
            task.uncancel()
            with contextlib.suppress(grpc.aio.InternalError, grpc.aio.UsageError):  # the call had ended already
                await context.abort(grpc.StatusCode.UNAVAILABLE, "this control plane is stopping")
        finally:
            self._handlers.discard(task)

    async def _serve(self, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        # Otherwise the first response sends it, and an abort meanwhile sends it again, which leaves the call stuck.
        await context.send_initial_metadata(())
        connection: _Connection | None = None
        try:
            while isinstance(data := await context.read(), bytes):  # grpc.aio.EOF is not
                try:
                    connection = self._take(data, connection, context)
                except ValidationError as error:
                    self._metrics.refused.inc()
                    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, cut(str(error), 1000))
        finally:
            if connection is not None:
                self._close(connection)

    def _take(
        self, data: bytes, connection: _Connection | None, context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> _Connection:
        """Take in a request. Raises `ValidationError` for one that no client may send."""
        request: Request | UnknownTypeError
        try:
            request, node = read_request(data)
        except UnknownTypeError as error:
            request, node = error, error.node
        if connection is None:
            connection = self._open(context, self.cache.open(read_node(node), time.time()))
        if isinstance(request, UnknownTypeError):
            answer = connection.unserved.answer(request)
            message = "a node asked for a type that is not served, and got an empty answer: %s"
            self._say_once("type", request.type, message, cut(request.type))
            if answer is not None:
                connection.say(answer)
        else:
            self._receive(connection, request)
        return connection

    def _open(self, context: grpc.aio.ServicerContext[bytes, bytes], stream: Stream) -> _Connection:
        connection = self._connections[stream] = _Connection(self, context, stream, self._metrics)
        self._metrics.streams.labels(stream.node.node_profile.kind.value).inc()
        self._metrics.assumed_skews.inc(stream.node.skew_assumed)
        return connection

    def _close(self, connection: _Connection) -> None:
        stream = connection.stream
        connection.close()
        del self._connections[stream]
        self.cache.close(stream)
        self._metrics.streams.labels(stream.node.node_profile.kind.value).dec()
        self._metrics.assumed_skews.dec(stream.node.skew_assumed)

    def _receive(self, connection: _Connection, request: Request) -> None:
        stream = connection.stream
        request_kind = self.cache.receive(stream, request, time.time())
        self._metrics.received[request_kind].inc()
        if request_kind is RequestKind.NACK:
            kind = SHORT_NAMES[request.type]
            self._metrics.nacks.labels(kind).inc()
            reason = cut(request.error or "no reason given")
            self._say_once(kind, reason, "node %s refused a %s response: %s", cut(stream.node.id), kind, reason)
        connection.wake()

    def _say_once(self, topic: str, detail: str, message: str, *values: object) -> None:
        if len(self._said) >= _MOST_REMEMBERED:
            self._said.clear()
        if (topic, detail) not in self._said:
            self._said.add((topic, detail))
            log.warning(message, *values)


class _Connection:
    """A stream and the call that carries it."""

    __slots__ = ("_ads", "_context", "_metrics", "_to_say", "_writer", "stream", "unserved")

    def __init__(
        self, ads: Ads, context: grpc.aio.ServicerContext[bytes, bytes], stream: Stream, metrics: Metrics
    ) -> None:
        self._ads = ads
        self._context = context
        self._metrics = metrics
        self._writer: asyncio.Task[None] | None = None
        self._to_say: deque[bytes] = deque(maxlen=MAX_TYPES)
        self.stream = stream
        self.unserved = UnservedTypes()

    def say(self, answer: bytes) -> None:
        """Send an answer that is not from the snapshot."""
        self._to_say.append(answer)
        self.wake()

    def wake(self) -> None:
        """Send what there is to send, unless a writer is at it."""
        if self._writer is None and (response := self._next()) is not None:
            self._writer = asyncio.create_task(self._write(response))

    def _next(self) -> Response | bytes | None:
        return self._to_say.popleft() if self._to_say else self._ads.cache.next(self.stream)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.cancel()

    async def _write(self, first: Response | bytes) -> None:
        response: Response | bytes | None = first
        try:
            while response is not None:
                data = response if isinstance(response, bytes) else response.data
                await self._context.write(data)
                if not isinstance(response, bytes):
                    self._metrics.pushed[response.type].inc()
                self._metrics.sent_bytes.inc(len(data))
                response = self._next()
        except grpc.aio.BaseError as error:
            log.debug("stream of node %s ended while it was written to: %s", self.stream.node.id, error)
        finally:
            self._writer = None
