"""Serving: a gRPC server with what an instance of the mesh needs around it.

Starting and stopping have an order, and the order is why no call is lost. In: bind, serve health as NOT_SERVING, warm
up, SERVING, register in Consul. Out: NOT_SERVING and out of Consul; wait until callers have heard of it
(`propagation`), still answering; refuse new calls and let those in flight end (`grace`); close clients and other
resources; flush telemetry last, because all of the above is in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from meshwright import logs
from meshwright.calls.errors import ErrorMap
from meshwright.calls.server.methods import ServerCalls
from meshwright.client import channel
from meshwright.consul import Consul, Registrar
from meshwright.errors import ValidationError, Violation
from meshwright.free_ports import find_free
from meshwright.http1 import serving_page
from meshwright.model import Address
from meshwright.process import stop_event
from meshwright.server.admin import add_admin_services
from meshwright.server.binding import OPTIONS, advertised, bind
from meshwright.server.health import Health
from meshwright.server.registration import registration_of, unique
from meshwright.server.services import Recorder, Unknown
from meshwright.telemetry import CURRENT, Telemetry, acquire_for_server
from meshwright.telemetry.metrics import CONTENT_TYPE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType
    from typing import Self

    from meshwright.auth import Auth
    from meshwright.client.mesh_channel import MeshChannel
    from meshwright.config import ServiceConfig
    from meshwright.errors import ServiceError
    from meshwright.telemetry import Identity

__all__ = ["Server"]

T = TypeVar("T")
log = logging.getLogger("meshwright.server")

CANCEL_AGAIN_SECONDS = 1.0
"""How long a start that was cancelled may take to end before it is cancelled once more."""


class Server:
    """One instance of a service. An async context manager: inside it, `add` servicers, then `run`.

    `errors` maps a domain's own exceptions to what callers are told. `auth`: the access rules; without it every
    caller is let in. `telemetry`: instead of one of its own. `options`: gRPC server arguments.

    A process may run several: identity, metrics, spans, log lines and registration are each server's own. `channel`
    calls as this server; handlers' spans are those of the server whose call they answer.
    """

    def __init__(
        self,
        config: ServiceConfig,
        *,
        errors: Mapping[type[Exception], type[ServiceError]] | None = None,
        auth: Auth | None = None,
        telemetry: Telemetry | None = None,
        options: Iterable[tuple[str, Any]] = (),
    ) -> None:
        self.config = config
        self.stopping = asyncio.Event()
        """Set when the server starts to drain: handlers of endless streams may wait for it."""
        self._errors = ErrorMap(errors)
        self._auth = auth
        self._given_telemetry = telemetry
        self._options = tuple((dict(OPTIONS) | dict(options)).items())
        self._resources = contextlib.AsyncExitStack()
        self._after = contextlib.AsyncExitStack()
        self._warm_ups: list[Callable[[], Awaitable[object]]] = []
        self._names: list[str] = []
        self._health = Health(config.service)
        self._registrar: Registrar | None = None
        self._outside: tuple[Telemetry | None, Mapping[str, str] | None] = (None, None)
        self._started = self._stopped = False
        self._address = self._metrics_address = Address(config.host, 0)

    @property
    def address(self) -> Address:
        """Where callers reach this instance, once it has started."""
        return self._address

    @property
    def metrics_address(self) -> Address:
        """Where `/metrics` is, once the server has started."""
        return self._metrics_address

    @property
    def identity(self) -> Identity:
        """Service, version and instance id."""
        return self.telemetry.identity

    @property
    def health(self) -> Health:
        """The health that is served; `server.health.set(name, serving=False)` takes one service out."""
        return self._health

    async def __aenter__(self) -> Self:
        self.telemetry = self._given_telemetry or acquire_for_server(self.config)
        if self._given_telemetry is None:
            self._after.push_async_callback(self.telemetry.release)
        self._outside = CURRENT.get(), logs.CONSTANTS.get()
        if not logs.configured():
            identity = self.identity
            logs.configure(identity.service, identity.version, identity.instance, self.config.log_level)
        self._enter_context()
        self._server = grpc.aio.server(options=self._options)
        self._calls = ServerCalls(self.telemetry, self._errors, self._auth)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
        if CURRENT.get() is self.telemetry:
            CURRENT.set(self._outside[0])
            logs.CONSTANTS.set(self._outside[1])

    def _enter_context(self) -> None:
        """Tasks that begin from here on work for this server."""
        identity = self.identity
        CURRENT.set(self.telemetry)
        logs.CONSTANTS.set({"service": identity.service, "version": identity.version, "instance": identity.instance})

    @contextlib.contextmanager
    def _context(self) -> Iterator[None]:
        """Inside, tasks and log lines are this server's."""
        outside = CURRENT.get(), logs.CONSTANTS.get()
        self._enter_context()
        try:
            yield
        finally:
            CURRENT.set(outside[0])
            logs.CONSTANTS.set(outside[1])

    def add(self, add_to_server: Callable[[Any, Any], None], servicer: object) -> None:
        """Serve `servicer`; `add_to_server` is the generated `add_XServicer_to_server`.

        Raises `RuntimeError` after the server has started.
        """
        if self._started:
            raise RuntimeError("services are added before the server starts")
        recorder = Recorder(self._server, self._calls)
        add_to_server(servicer, recorder)
        self._names += recorder.names
        self._health.add(recorder.names)

    def warm_up(self, prepare: Callable[[], Awaitable[object]]) -> None:
        """`prepare` runs before the server says that it serves."""
        self._warm_ups.append(prepare)

    async def enter(self, resource: AbstractAsyncContextManager[T]) -> T:
        """Open a resource (a channel, a database) that is closed after the last call has ended."""
        return await self._resources.enter_async_context(resource)

    async def channel(
        self,
        name: str,
        *,
        timeout: float | None = None,
        authorization: bool = True,
        options: Iterable[tuple[str, Any]] = (),
    ) -> MeshChannel:
        """Open a channel to the service `name` that is closed after the last call has ended.

        It calls as this server: with its configuration, and its spans and metrics. The arguments are those of
        `meshwright.channel`. Raises `ValidationError` for a name that no service can have.
        """
        opened = channel(
            name,
            self.config,
            timeout=timeout,
            authorization=authorization,
            options=options,
            telemetry=self.telemetry,
        )
        return await self.enter(opened)

    def on_stop(self, end: Callable[[], Awaitable[object]]) -> None:
        """`end` runs after the last call has ended; the last one given runs first."""

        async def run() -> None:
            await end()

        self._resources.push_async_callback(run)

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then stop gracefully; a second signal stops at once. One that comes while the
        server starts ends its warm-up, by cancelling it.

        SystemExit and KeyboardInterrupt that a handler raises are raised here, after a graceful stop as well.
        """
        with stop_event() as signalled:
            self._calls.stop = signalled.set
            if not self._started:
                await self._start_until(signalled)
            await signalled.wait()
            if self._health.opened:
                log.info("stopping: out of Consul, then %g s for callers to hear of it", self.config.propagation)
            signalled.clear()
            graceful = asyncio.create_task(self.stop())
            impatient = asyncio.create_task(signalled.wait())
            await asyncio.wait({graceful, impatient}, return_when=asyncio.FIRST_COMPLETED)
            impatient.cancel()
            if not graceful.done():
                log.warning("told to stop again: calls in flight are cut off")
                self._calls.cut_off_in(0)
                await self._server.stop(None)
                graceful.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await graceful
        if self._calls.exit is not None:
            raise self._calls.exit

    async def _start_until(self, signalled: asyncio.Event) -> None:
        """Start, unless told to stop before that is done: a warm-up may wait for what never comes."""
        starting = asyncio.create_task(self.start())
        told = asyncio.create_task(signalled.wait())
        try:
            await asyncio.wait({starting, told}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            told.cancel()
            while not starting.done():
                # More than once: on Python 3.11 `asyncio.wait_for` takes a cancellation that arrives together with the
                # answer for nothing, and a warm-up that tries again and again would go on.
                starting.cancel()
                await asyncio.wait({starting}, timeout=CANCEL_AGAIN_SECONDS)
        if starting.cancelled() and signalled.is_set():
            log.info("told to stop before it served")
        else:
            await starting

    async def start(self) -> None:
        """Bind, warm up, serve, register. Raises `ValidationError` where the address cannot be bound, where another
        server of this process has the same instance id, and where `auth` names a method that is not served."""
        with self._context():
            await self._start()

    async def _start(self) -> None:
        self._started = True
        self._check_auth()
        bound = bind(self._server, self.config.host, self.config.port)
        self._address = advertised(self.config, bound) if self.config.register else bound
        self._add_own_services()
        await self._serve_metrics()
        await self._server.start()
        for prepare in self._warm_ups:
            await prepare()
        self._health.start()
        log.info("serving %s at %s", ", ".join(self._names) or "only health and reflection", self._address)
        if self.config.register:
            await self._register()

    async def stop(self) -> None:
        """Stop in the order that loses no call. Safe to call again."""
        if self._stopped:
            return
        self._stopped = True
        with self._context():
            try:
                await self._withdraw()
                self.stopping.set()
                self._health.stop()
                self._calls.cut_off_in(self.config.grace)
                await self._server.stop(self.config.grace if self._started else None)
            finally:
                await self._resources.aclose()
                await self._after.aclose()

    def _check_auth(self) -> None:
        unmatched = [] if self._auth is None else self._auth.unmatched(self._calls.methods)
        if unmatched:
            raise ValidationError("auth", [Violation(name, "is no method that is served here") for name in unmatched])

    def _add_own_services(self) -> None:
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        add_admin_services(self._server)
        own = (health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME)
        reflection.enable_server_reflection((*self._names, *own), self._server)
        self._server.add_generic_rpc_handlers([Unknown(self._calls)])

    async def _serve_metrics(self) -> None:
        def page() -> bytes:
            return self.telemetry.metrics.page()

        port = self.config.metrics_port or find_free(self.config.host)
        self._metrics_address = await self._after.enter_async_context(
            serving_page("/metrics", page, CONTENT_TYPE, self.config.host, port)
        )

    async def _register(self) -> None:
        registration = registration_of(self.config, self.identity, self._address, self._metrics_address, self._names)
        self._after.enter_context(unique(registration.id, self.config.consul.address))
        consul = await self._after.enter_async_context(Consul(self.config.consul))
        self._registrar = registrar = Registrar(consul, registration, healthy=self._health.serving)
        identity = self.identity
        self.telemetry.metrics.registered(identity.service, identity.version, lambda: registrar.registered)
        await registrar.start()

    async def _withdraw(self) -> None:
        opened = self._health.opened
        self._health.drain()
        if self._registrar is not None:
            await self._registrar.withdraw()
        if opened:
            # Also without a registration: calls that have arrived and that no handler has yet taken up are cut off by
            # gRPC's stop, whatever the grace.
            await asyncio.sleep(self.config.propagation)
