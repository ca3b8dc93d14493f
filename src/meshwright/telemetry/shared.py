"""Which telemetry a server, a channel, or a span of the service's own belongs to.

A process may run several servers, and may call before it serves. Identity (resource, instance id, log lines, trailing
metadata) is each server's own, so a server never takes the telemetry of another one, nor that of a channel with another
configuration. A channel shares the telemetry of its configuration's server; without a configuration it belongs to the
server in whose context it is opened. OpenTelemetry has one global tracer provider for each process: ours looks up the
current telemetry at each span.

Client metrics name the service that answers, not the one that asks, so those of channels outside any server are
exposed by the first server that runs: no call is missing from the page that Prometheus scrapes.
"""

from __future__ import annotations

import atexit
import os
import threading
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from opentelemetry import trace

from meshwright.config import ServiceConfig, environment, load_config
from meshwright.process import note_grpc, program_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshwright.telemetry import Telemetry

T = TypeVar("T", bound="Telemetry")

CURRENT: ContextVar[Telemetry | None] = ContextVar("meshwright_telemetry", default=None)
"""The telemetry of the server that this task works for."""


@dataclass(slots=True, eq=False)
class _Entry(Generic[T]):
    telemetry: T
    key: tuple[str, str, str | None]
    users: int = 0
    served: bool = False
    """Whether it is, or has been, a server's."""
    exposed_by: T | None = None
    """The server's telemetry whose page shows these metrics too."""


class Shared(Generic[T]):
    """The telemetries of this process, in the order in which they were made."""

    def __init__(self, make: Callable[[ServiceConfig], T]) -> None:
        self._make = make
        self._lock = threading.RLock()
        self._entries: list[_Entry[T]] = []
        self._installed = False

    def current(self) -> Telemetry | None:
        """That of the server that this task works for, else of the first server, else of the first channel."""
        found = CURRENT.get()
        if found is not None and not found.closed:
            return found
        entries = self._entries
        served = [entry for entry in entries if entry.served]
        return (served or entries)[0].telemetry if entries else None

    def acquire(self, config: ServiceConfig | None = None) -> Telemetry:
        """For a channel: the telemetry of that configuration, or without one the current one; `release` it."""
        with self._lock:
            running = self.current()
            if running is not None and (config is None or _key(config) == _key(running.config)):
                for entry in self._entries:
                    if entry.telemetry is running:
                        entry.users += 1
                return running
            wanted = config or own_config()
            entry = self._find(_key(wanted)) or self._add(wanted)
            entry.users += 1
            return entry.telemetry

    def acquire_for_server(self, config: ServiceConfig) -> T:
        """For a server: a telemetry that no other server has; `release` it."""
        with self._lock:
            entry = self._find(_key(config), served=False) or self._add(config, served=True)
            entry.users += 1
            entry.served = True
            if entry.exposed_by is not None:  # its calls are on a page of its own now
                entry.exposed_by.metrics.exclude(entry.telemetry.metrics)
                entry.exposed_by = None
            self._expose_strays()
            return entry.telemetry

    def give_back(self, telemetry: Telemetry) -> bool:
        """One user less; True where it was the last one. False also for a telemetry that was made elsewhere."""
        with self._lock:
            for entry in self._entries:
                if entry.telemetry is telemetry:
                    entry.users -= 1
                    if not entry.users:
                        self._entries.remove(entry)
                        if entry.exposed_by is not None:
                            entry.exposed_by.metrics.absorb(telemetry.metrics)
                    return not entry.users
        return False

    def _find(self, key: tuple[str, str, str | None], *, served: bool | None = None) -> _Entry[T] | None:
        matching = (entry for entry in self._entries if entry.key == key and served in (None, entry.served))
        return next(matching, None)

    def _add(self, config: ServiceConfig, *, served: bool = False) -> _Entry[T]:
        note_grpc()  # which exports the spans
        entry = _Entry(self._make(config), _key(config), served=served)
        self._entries.append(entry)
        entry.telemetry.metrics.describe_process()
        self._expose_strays()
        if not self._installed:
            self._installed = True
            atexit.register(self._flush)
            os.register_at_fork(after_in_child=self._forget)
            if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
                trace.set_tracer_provider(ProcessTracerProvider(self.current))
        return entry

    def _expose_strays(self) -> None:
        page = next((entry.telemetry for entry in self._entries if entry.served), None)
        for entry in self._entries:
            if page is None or entry.served or not (entry.exposed_by is None or entry.exposed_by.closed):
                continue
            entry.exposed_by = page
            page.metrics.include(entry.telemetry.metrics)

    def _forget(self) -> None:
        """A forked child is another instance: it leaves its parent's telemetry alone."""
        self._lock = threading.RLock()
        for entry in self._entries:
            entry.telemetry.closed = True
        self._entries = []

    def _flush(self) -> None:
        """At the end of the process: what was never released is flushed all the same."""
        for entry in self._entries:
            entry.telemetry.close_now()


def _key(config: ServiceConfig) -> tuple[str, str, str | None]:
    return (config.service, config.version, config.instance)


def own_config() -> ServiceConfig:
    """The configuration of a program that gives none: a script may call without being a service."""
    names = environment(("MESHWRIGHT_SERVICE", "OTEL_SERVICE_NAME"))
    if names.get("MESHWRIGHT_SERVICE", "").strip():
        return load_config(ServiceConfig)
    return load_config(ServiceConfig, service=names.get("OTEL_SERVICE_NAME", "").strip() or program_name())


class ProcessTracerProvider(trace.TracerProvider):
    """OpenTelemetry's global provider: spans of the service's own go where those of its calls go."""

    def __init__(self, current: Callable[[], Telemetry | None]) -> None:
        self._current = current

    def get_tracer(self, *scope: Any, **options: Any) -> trace.Tracer:
        return _ProcessTracer(self._current, scope, options)

    def __getattr__(self, name: str) -> Any:
        """What the SDK's provider has beyond the API (`force_flush`, `add_span_processor`)."""
        running = self._current()
        if running is None:
            raise AttributeError(f"no server and no channel is open: there is no {name!r}")
        return getattr(running.provider, name)


class _ProcessTracer(trace.ProxyTracer):
    """Asks for the tracer to use at each span."""

    def __init__(
        self, current: Callable[[], Telemetry | None], scope: tuple[Any, ...], options: dict[str, Any]
    ) -> None:
        self._current = current
        self._scope = scope
        self._options = options
        self._last: tuple[Telemetry, trace.Tracer] | None = None

    @property
    def _tracer(self) -> trace.Tracer:
        running = self._current()
        if running is None:
            return trace.NoOpTracer()
        last = self._last
        if last is None or last[0] is not running:
            last = self._last = running, running.provider.get_tracer(*self._scope, **self._options)
        return last[1]
