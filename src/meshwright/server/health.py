"""`grpc.health.v1` for a server as a whole (the empty name, and the name it has in the mesh) and each of its services.

Unlike the servicer that comes with gRPC, watchers are released when the server stops: a stream that never ends by
itself would hold up every graceful stop for the whole grace.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

WHOLE = ""
REASON_KEY = "health-reason"
MAX_REASON = 1000
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """The health of a server: nothing serves until `start`, nothing serves after `drain`.

    `name` is the server's own in the mesh: one more name for the whole.
    """

    def __init__(self, name: str = WHOLE) -> None:
        self._name = name
        self._withheld: dict[str, bool] = {WHOLE: False}
        self._held: dict[str, str] = {}
        self._open = False
        self._stopped = False
        self._changed = asyncio.Event()

    def add(self, names: Iterable[str]) -> None:
        for name in names:
            self._withheld.setdefault(name, False)

    def names(self) -> tuple[str, ...]:
        return tuple(sorted({*self._withheld, self._name}))

    def _resolved(self, name: str) -> str:
        """The empty name for the server's own; a contract of the same name goes first."""
        return WHOLE if name == self._name and name not in self._withheld else name

    @property
    def opened(self) -> bool:
        """Whether calls are being taken at all."""
        return self._open

    def serving(self, name: str = WHOLE) -> bool:
        """Whether that service takes calls; the server as a whole does when each of its services does."""
        if not self._open or self._held:
            return False
        name = self._resolved(name)
        return not any(self._withheld.values()) if name == WHOLE else not self._withheld[name]

    def start(self) -> None:
        """Everything is warm."""
        self._open = True
        self._notify()

    def set(self, name: str, *, serving: bool) -> None:
        """Take one service out, or back. KeyError for a name that is not served."""
        name = self._resolved(name)
        if name not in self._withheld:
            raise KeyError(name)
        self._withheld[name] = not serving
        self._notify()

    def hold(self, cause: str, reason: str) -> None:
        """Nothing serves until `release` of that cause, such as `database`. Callers of `Check` see the reason in the
        trailing metadata `health-reason`."""
        self._held[cause] = reason
        self._notify()

    def release(self, cause: str) -> None:
        """That cause is no more; nothing happens where it was none."""
        if self._held.pop(cause, None) is not None:
            self._notify()

    @property
    def reasons(self) -> Mapping[str, str]:
        """Why nothing serves, by cause; empty: nothing keeps it."""
        return dict(self._held)

    def drain(self) -> None:
        """Nothing serves any more; later changes are ignored."""
        self._open = False
        self._notify()

    def stop(self) -> None:
        """End all watches."""
        self._stopped = True
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _status(self, name: str) -> Any:
        if self._resolved(name) not in self._withheld:
            return _UNKNOWN
        return _SERVING if self.serving(name) else _NOT_SERVING

    async def Check(  # noqa: N802 - gRPC's name
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> health_pb2.HealthCheckResponse:
        if self._resolved(request.service) not in self._withheld:
            known = ", ".join(filter(None, self.names()))
            what = f"this server does not know {request.service!r}; it serves {known}, and the empty name is all of it"
            await context.abort(grpc.StatusCode.NOT_FOUND, what)
        if self._held:
            # Metadata is ASCII without control characters, and a driver's message may have several lines.
            told = " ".join("; ".join(self._held.values()).split()).encode("ascii", "backslashreplace").decode()
            context.set_trailing_metadata(((REASON_KEY, told[:MAX_REASON]),))
        return health_pb2.HealthCheckResponse(status=self._status(request.service))

    async def Watch(  # noqa: N802 - gRPC's name
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.aio.ServicerContext[Any, Any],  # noqa: ARG002
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        last = None
        while True:
            changed = self._changed
            status = self._status(request.service)
            if status != last:
                last = status
                yield health_pb2.HealthCheckResponse(status=status)
                continue
            if self._stopped:
                return
            await changed.wait()
