"""python -m services.notification"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import meshwright
from demo.notification.v1 import notification_pb2_grpc as rpc
from meshwright.auth import Auth
from meshwright.config import AuthConfig, ServiceConfig, env_field
from meshwright.errors import ValidationError, Violation
from services.common.messaging.bus import BusConfig, open_bus
from services.common.messaging.event_consumer import consume_events
from services.common.messaging.fanout import Fanout
from services.common.messaging.refusals import health_listener
from services.common.runtime.entry_point import run_service
from services.common.runtime.keepalive import KEEPALIVE
from services.common.runtime.tasks import background_task
from services.notification.adapters import GROUP, PROBES, STREAM, OrderNotifier, Retention, StreamArchive
from services.notification.app import Notifications, StoppingError
from services.notification.domain import Notification
from services.notification.server import ERRORS, PUBLIC, NotificationService

if TYPE_CHECKING:
    from meshwright import Server

DEFAULTS = {"MESHWRIGHT_SERVICE": "notification", "MESHWRIGHT_VERSION": "1.0.0"}
MAX_AGE, PER_USER = "NOTIFICATION_MAX_AGE", "NOTIFICATION_PER_USER"
BUFFER, KEY_WINDOW = "NOTIFICATION_BUFFER", "NOTIFICATION_KEY_WINDOW"
START_SECONDS = 3.0
"""How long the start waits for NATS before serving without it."""


@dataclass(frozen=True, slots=True)
class NotificationConfig:
    """`mesh` and `bus`: the configuration of every service, and of those with NATS."""

    max_age: float = env_field(MAX_AGE, 7 * 86400.0, help="seconds that a notification is kept")
    per_user: int = env_field(PER_USER, 1000, help="notifications kept for each user, and broadcasts in all")
    buffer: int = env_field(
        BUFFER, 256, help="notifications that a slow subscriber may be behind before some are left out"
    )
    key_window: float = env_field(KEY_WINDOW, 600.0, help="seconds in which sending twice with one key sends once")
    bus: BusConfig = field(kw_only=True)
    mesh: ServiceConfig = field(kw_only=True)
    auth: AuthConfig = field(kw_only=True, default_factory=AuthConfig)

    def __post_init__(self) -> None:
        values = {MAX_AGE: self.max_age, PER_USER: self.per_user, BUFFER: self.buffer, KEY_WINDOW: self.key_window}
        problems = [Violation(name, "must be 1 or more") for name, value in values.items() if value < 1]
        if problems:
            raise ValidationError("the environment", problems)


async def add_notifications(server: Server, config: NotificationConfig) -> Fanout[Notification]:
    """Wires the service into a server before its start; returns the fan-out of this replica."""
    bus = await server.enter(open_bus(config.bus, server.identity.instance, server.telemetry))
    fanout = Fanout[Notification]()
    archive = StreamArchive(bus, Retention(config.max_age, config.per_user, config.key_window), fanout)
    notifier = OrderNotifier(bus, archive, config.max_age)
    bus.refusals.listen(health_listener(server.health))
    await server.enter(background_task(bus.probe(STREAM, PROBES), "trying a stream that refuses messages"))
    await server.enter(archive.consumer.running())
    telling = consume_events(bus, "order", notifier.place, notifier.take, GROUP, on_reset=notifier.on_reset)
    await server.enter(background_task(telling, "telling of orders"))
    await server.enter(background_task(_drain(server, fanout), "ending subscriptions when the server stops"))
    server.warm_up(lambda: archive.consumer.ready(START_SECONDS))
    notifications = Notifications(archive, fanout, buffer=config.buffer)
    server.add(rpc.add_NotificationServiceServicer_to_server, NotificationService(notifications))
    return fanout


async def _drain(server: Server, fanout: Fanout[Notification]) -> None:
    await server.stopping.wait()
    fanout.close(StoppingError())


async def run(config: NotificationConfig) -> None:
    async with meshwright.Server(
        config.mesh, errors=ERRORS, auth=Auth.configured(config.auth, public=PUBLIC), options=KEEPALIVE
    ) as server:
        await add_notifications(server, config)
        await server.run()


def main() -> None:
    run_service(run, NotificationConfig, DEFAULTS)


if __name__ == "__main__":
    main()
