"""The connection to NATS: JetStream for events and messages, core NATS for presence.

The connection opens without waiting for the server and reconnects without limit: while NATS is unavailable a service
answers calls that do not need it, and fails the others with UNAVAILABLE.
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

from meshwright.config import env_field
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
"""Interval of probes to a stream that refuses messages, or may do so."""
ANSWER_SECONDS = 3.0
"""Timeout of requests to the server."""
RECONNECT_SECONDS = 0.2
OPEN_SECONDS = 0.3
"""How long opening waits for the server before continuing without it."""


@dataclass(frozen=True, slots=True)
class BusConfig:
    """Addresses of NATS, and replicas of streams."""

    servers: tuple[str, ...] = env_field(
        "NATS_URL", ("nats://127.0.0.1:4222",), help="comma-separated; nats://host:port"
    )
    replicas: int = env_field("NATS_STREAM_REPLICAS", 1, help="how many servers of a NATS cluster keep each stream")

    @property
    def places(self) -> str:
        """The servers, without passwords, for log lines."""
        return ",".join(server.rpartition("@")[2] for server in self.servers)


class Bus:
    """A connection to NATS; `connection` and `streams` are nats-py's objects."""

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
        """Creates the stream, or updates its limits. Raises BusUnavailableError.

        `limits`: fields of `nats.js.api.StreamConfig`: `max_age` in seconds, `max_msgs_per_subject`, ...
        """
        wanted = api.StreamConfig(
            name=name,
            subjects=list(subjects),
            storage=api.StorageType.FILE,
            num_replicas=self._config.replicas,
            allow_direct=True,  # for `StreamReader`
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
        """Publishes, and waits for the stream's acknowledgement, in a span (see `MessageSpans.publishing`).

        Raises BusUnavailableError, or BadRequestError if the stream rejects the message.
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
        """Publishes probes to `subject` while the stream refuses messages, forever; run it as a task."""
        while True:
            await asyncio.sleep(PROBE_SECONDS)
            if self.refusals.doubtful(stream) and self.connected:
                with contextlib.suppress(BusUnavailableError, js_errors.Error):
                    await self.publish(stream, subject, b"")

    async def _look_into(self, stream: str, error: Exception) -> None:
        """Distinguishes a stream that refuses messages from an unavailable server."""
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
    """Opens a connection for as long as the context lasts. `name`: shown by the server's monitoring. `telemetry`:
    enables message spans and event metrics.

    Entering waits at most OPEN_SECONDS: check `Bus.connected`; every method may raise BusUnavailableError.
    """
    connection = Client()
    metrics = telemetry.metrics.family(EventMetrics) if telemetry else None
    bus = Bus(connection, config, MessageSpans(telemetry.tracer if telemetry else None, name), metrics)
    connecting = asyncio.create_task(_connect(bus, config, name), name="connecting to NATS")
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(connecting), OPEN_SECONDS)
    if not bus.connected:
        log.warning(
            "NATS at %s is unavailable; calls that need it fail with UNAVAILABLE until it is connected", config.places
        )
    try:
        yield bus
    finally:
        await cancel_and_wait(connecting)
        bus.closing = True
        # Not drain: it waits for the server, which may be unavailable. Nothing is pending: publishes are acknowledged.
        with contextlib.suppress(Exception):
            await connection.close()
        # nats-py cancels its reconnecting once; a connection refused at that moment swallows the cancellation.
        if (reconnecting := connection._reconnection_task) is not None:  # noqa: SLF001 - there is no public way
            await cancel_and_wait(reconnecting)


async def _connect(bus: Bus, config: BusConfig, name: str) -> None:
    async def on_lost() -> None:
        if not bus.closing:
            log.warning("NATS is disconnected")

    while True:
        try:
            await bus.connection.connect(
                list(config.servers),
                name=name,
                connect_timeout=2,
                reconnect_time_wait=RECONNECT_SECONDS,  # type: ignore[arg-type] # a float serves
                max_reconnect_attempts=-1,
                # Nothing is buffered for an unavailable server: calls fail, and callers decide.
                pending_size=0,
                error_cb=_on_error,
                disconnected_cb=on_lost,
                reconnected_cb=_on_back,
            )
        except (OSError, nats_errors.Error) as error:
            log.warning("NATS at %s: %s", config.places, error or type(error).__name__)
            await asyncio.sleep(RECONNECT_SECONDS)
        else:
            log.debug("NATS is connected")
            return


async def _on_error(error: Exception) -> None:
    log.debug("NATS: %s", error or type(error).__name__)


async def _on_back() -> None:
    log.info("NATS is reconnected")


@contextlib.contextmanager
def translate_bus_errors() -> Iterator[None]:
    """Converts nats-py's errors for an unavailable or slow server to BusUnavailableError.

    Rejections (BadRequestError, NotFoundError) pass.
    """
    try:
        yield
    except (js_errors.BadRequestError, js_errors.NotFoundError):
        raise
    except (nats_errors.Error, OSError, TimeoutError) as error:
        raise BusUnavailableError from error
