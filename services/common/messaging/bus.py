"""NATS: the bus on which services tell each other what has happened (JetStream), and what happens now (core NATS).

The connection is opened without waiting for the server and reconnects for ever: a service whose bus is away still
answers what it can, and says UNAVAILABLE for the rest.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nats import errors as nats_errors
from nats.aio.client import Client
from nats.js import api
from nats.js import errors as js_errors
from prometheus_client import CollectorRegistry

from meshwright.config import setting
from services.common.messaging.event_metrics import EventMetrics
from services.common.messaging.message_spans import MessageSpans
from services.common.messaging.refusals import StreamRefusals
from services.common.runtime.errors import BusUnavailableError
from services.common.runtime.tasks import cancel_and_wait

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from nats.js import JetStreamContext

    from meshwright import Telemetry

log = logging.getLogger(__name__)

PROBE_SECONDS = 2.0
"""How often a stream that refuses messages, or may do so, is tried."""
ANSWER_SECONDS = 3.0
"""How long the server may take to take a message."""
RECONNECT_SECONDS = 0.2
OPEN_SECONDS = 0.3
"""How long opening waits for a server, which may well come later."""


@dataclass(frozen=True, slots=True)
class BusConfig:
    """Where NATS is."""

    servers: tuple[str, ...] = setting("NATS_URL", ("nats://127.0.0.1:4222",), help="comma-separated; nats://host:port")
    replicas: int = setting("NATS_STREAM_REPLICAS", 1, help="how many servers of a NATS cluster keep each stream")

    @property
    def places(self) -> str:
        """The servers for a log line, without a password that a URL may have."""
        return ",".join(server.rpartition("@")[2] for server in self.servers)


class Bus:
    """A connection; `connection` and `streams` are the library's own objects."""

    def __init__(
        self,
        connection: Client,
        config: BusConfig,
        spans: MessageSpans | None = None,
        metrics: EventMetrics | None = None,
    ) -> None:
        self.connection = connection
        self.spans = spans or MessageSpans(None)
        self.metrics = metrics or EventMetrics(CollectorRegistry())
        self.metrics.connected.set_function(lambda: float(self.connected))
        self.refusals = StreamRefusals()
        self.refusals.listen(lambda reasons: self.metrics.refusing.set(len(reasons)))
        self.streams: JetStreamContext = connection.jetstream(timeout=ANSWER_SECONDS)
        self.closing = False
        self._config = config

    @property
    def connected(self) -> bool:
        return bool(self.connection.is_connected)

    async def ensure_stream(self, name: str, *subjects: str, **limits: Any) -> None:
        """Make the stream, or find that it is there; with other limits it is changed. Raises BusUnavailableError.

        `limits` are those of `nats.js.api.StreamConfig`: `max_age` in seconds, `max_msgs_per_subject`, ...
        """
        wanted = api.StreamConfig(
            name=name,
            subjects=list(subjects),
            storage=api.StorageType.FILE,
            num_replicas=self._config.replicas,
            allow_direct=True,  # for `services.common.messaging.stream_reader`
            **limits,
        )
        with translate_bus_errors():
            try:
                await self.streams.add_stream(wanted)
            except js_errors.BadRequestError:
                await self.streams.update_stream(wanted)

    async def publish(
        self,
        stream: str,
        subject: str,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        *,
        cause: str | None = None,
        message_id: str = "",
        template: str = "",
        again: bool = False,
    ) -> api.PubAck:
        """Publish, and wait until the stream has it; with a span (`MessageSpans.publishing` has the arguments).

        Raises BusUnavailableError; what the stream says no to (BadRequestError) passes.
        """
        sent = dict(headers or {})
        told = self.spans.publishing(
            subject, sent, cause=cause, message_id=message_id, template=template, size=len(body), again=again
        )
        with told, translate_bus_errors():
            try:
                answer = await self.streams.publish(subject, body, headers=sent or None)
            except (js_errors.ServiceUnavailableError, nats_errors.TimeoutError, TimeoutError) as error:
                await self._look_into(stream, error)
                raise
            except js_errors.BadRequestError:
                self.refusals.taken(stream)  # it was looked at
                raise
        self.refusals.taken(stream)
        return answer

    async def probe(self, stream: str, subject: str) -> None:
        """Try a stream that refuses messages, for ever; run it as a task. `subject`: one of probes."""
        while True:
            await asyncio.sleep(PROBE_SECONDS)
            if self.refusals.doubtful(stream) and self.connected:
                with contextlib.suppress(BusUnavailableError, js_errors.Error):
                    await self.publish(stream, subject, b"")

    async def _look_into(self, stream: str, error: Exception) -> None:
        """Tell a stream that refuses from a server that is away."""
        try:
            await self.streams.stream_info(stream)
        except (nats_errors.Error, OSError, TimeoutError):
            return
        said = getattr(error, "description", None)
        if said:
            self.refusals.refused(stream, f"says {said}")
        else:
            self.refusals.unanswered(stream)


@contextlib.asynccontextmanager
async def open_bus(config: BusConfig, name: str, telemetry: Telemetry | None = None) -> AsyncIterator[Bus]:
    """A connection for as long as the context lasts. `name` is what the server's monitoring shows. Messages have spans,
    and what happens is counted on the process's page, where there is `telemetry`.

    Entering hardly waits for the server: `Bus.connected` tells, and every use may raise BusUnavailableError.
    """
    connection = Client()
    metrics = telemetry.metrics.family(EventMetrics) if telemetry else None
    bus = Bus(connection, config, MessageSpans(telemetry.tracer if telemetry else None, name), metrics)
    connecting = asyncio.create_task(_connect(bus, config, name), name="connecting to NATS")
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(connecting), OPEN_SECONDS)
    if not bus.connected:
        log.warning("waits for NATS at %s: what needs it is UNAVAILABLE until it is there", config.places)
    try:
        yield bus
    finally:
        await cancel_and_wait(connecting)
        bus.closing = True
        # Not drain: it waits for the server, which may be away. What must not be lost was acknowledged.
        with contextlib.suppress(Exception):
            await connection.close()
        # The library asks its reconnecting to end once, which a connection that is refused just then takes for nothing.
        if (reconnecting := connection._reconnection_task) is not None:  # noqa: SLF001 - there is no public way
            await cancel_and_wait(reconnecting)


async def _connect(bus: Bus, config: BusConfig, name: str) -> None:
    async def on_lost() -> None:
        if not bus.closing:
            log.warning("NATS is away")

    while True:
        try:
            await bus.connection.connect(
                list(config.servers),
                name=name,
                connect_timeout=2,
                reconnect_time_wait=RECONNECT_SECONDS,  # type: ignore[arg-type] # a float serves
                max_reconnect_attempts=-1,
                # Nothing is kept for a server that is away: callers are told, and decide.
                pending_size=0,
                error_cb=_on_error,
                disconnected_cb=on_lost,
                reconnected_cb=_on_back,
            )
        except (OSError, nats_errors.Error) as error:
            log.warning("NATS at %s: %s", config.places, error or type(error).__name__)
            await asyncio.sleep(RECONNECT_SECONDS)
        else:
            log.debug("NATS is there")
            return


async def _on_error(error: Exception) -> None:
    log.debug("NATS: %s", error or type(error).__name__)


async def _on_back() -> None:
    log.info("NATS is back")


@contextlib.contextmanager
def translate_bus_errors() -> Iterator[None]:
    """Turn what the library raises for a server that is away or too slow into BusUnavailableError.

    Answers that say no (BadRequestError, NotFoundError) pass.
    """
    try:
        yield
    except (js_errors.BadRequestError, js_errors.NotFoundError):
        raise
    except (nats_errors.Error, OSError, TimeoutError) as error:
        raise BusUnavailableError from error
