"""The synchronous channel: gRPC's, with the calls made through `ClientCalls`.

It opens telemetry and connection at the first call and not before, in the process that calls: a server that imports the
application and then forks its workers (gunicorn with `--preload`) has used no gRPC until then. After a fork gRPC works
only with its fork support, which is its to enable by an environment variable, read when it is imported; without that a
call in the child would hang, deadline or not. So it is refused.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import grpc

from meshwright.calls.client.methods import ClientCalls
from meshwright.config import environment
from meshwright.errors import ValidationError, Violation
from meshwright.model import path_problem
from meshwright.process import forked_from_grpc, note_grpc
from meshwright.sync.connection import connect
from meshwright.sync.multicallables import StreamStream, StreamUnary, UnaryStream, UnaryUnary
from meshwright.telemetry import acquire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from meshwright.config import ServiceConfig
    from meshwright.model import Address
    from meshwright.sync.connection import Connection
    from meshwright.telemetry import Telemetry

FORK_SUPPORT = "GRPC_ENABLE_FORK_SUPPORT"
_TRUE = frozenset({"1", "t", "true", "y", "yes"})


class Opened:
    """A channel in use: its telemetry and its connection in one process."""

    def __init__(self, telemetry: Telemetry, calls: ClientCalls, connection: Connection, *, shared: bool) -> None:
        self.process = os.getpid()
        self.calls = calls
        self.connection = connection
        self._telemetry = telemetry if shared else None

    def close(self) -> None:
        self.connection.close()
        if self._telemetry is not None:
            self._telemetry.release_now()


class SyncChannel(grpc.Channel):
    """A synchronous channel to a service of the mesh. A context manager; `close` ends it. Threads may share it."""

    def __init__(
        self,
        name: str,
        config: ServiceConfig | None,
        *,
        timeout: float | None,
        authorization: bool,
        options: tuple[tuple[str, Any], ...],
        telemetry: Telemetry | None,
        addresses: Mapping[str, Sequence[Address]] | None,
    ) -> None:
        if problem := path_problem(name):
            raise ValidationError("the name of a service", [Violation(repr(name), problem)])
        self.name = name
        self._config = config
        self._timeout = timeout
        self._authorization = authorization
        self._options = options
        self._given_telemetry = telemetry
        self._addresses = addresses
        self._lock = threading.Lock()
        self._opened: Opened | None = None
        self._closed = False

    def opened(self) -> Opened:
        """The channel in use in this process, opened if need be. Raises ValueError for a closed channel, as gRPC does,
        and RuntimeError in a process in which gRPC cannot work."""
        opened = self._opened
        if opened is not None and opened.process == os.getpid() and not self._closed:
            return opened
        _check_fork(self.name)
        with self._lock:
            if self._closed:
                raise ValueError(f"the channel to {self.name} is closed")
            if self._opened is None or self._opened.process != os.getpid():
                self._opened = self._open()
            return self._opened

    def _open(self) -> Opened:
        note_grpc()
        telemetry = self._given_telemetry or acquire(self._config)
        config = self._config or telemetry.config
        connection = connect(self.name, config, telemetry.identity, self._options, self._addresses)
        seconds = config.call_timeout if self._timeout is None else self._timeout
        calls = ClientCalls(
            telemetry,
            self.name,
            timeout=seconds or None,
            authorization=self._authorization,
            explain=connection.explain,
            threaded=True,
        )
        return Opened(telemetry, calls, connection, shared=self._given_telemetry is None)

    def unary_unary(self, method: str, *codec: Any, **options: Any) -> Any:
        return UnaryUnary(self, method, *codec, **options)

    def unary_stream(self, method: str, *codec: Any, **options: Any) -> Any:
        return UnaryStream(self, method, *codec, **options)

    def stream_unary(self, method: str, *codec: Any, **options: Any) -> Any:
        return StreamUnary(self, method, *codec, **options)

    def stream_stream(self, method: str, *codec: Any, **options: Any) -> Any:
        return StreamStream(self, method, *codec, **options)

    def subscribe(self, callback: Callable[[grpc.ChannelConnectivity], None], try_to_connect: bool = False) -> None:
        self.opened().connection.channel.subscribe(callback, try_to_connect)

    def unsubscribe(self, callback: Callable[[grpc.ChannelConnectivity], None]) -> None:
        self.opened().connection.channel.unsubscribe(callback)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the channel, calls in flight included."""
        with self._lock:
            self._closed = True
            opened, self._opened = self._opened, None
        if opened is not None and opened.process == os.getpid():
            opened.close()


def _check_fork(name: str) -> None:
    if forked_from_grpc() and environment((FORK_SUPPORT,)).get(FORK_SUPPORT, "").lower() not in _TRUE:
        raise RuntimeError(
            f"this process was forked after gRPC was used in its parent, so a call to {name} would hang here: call "
            f"only after the fork (a channel opens at its first call), start the process by spawn in place of fork, "
            f"or set {FORK_SUPPORT}=1 in the environment before Python starts"
        )
