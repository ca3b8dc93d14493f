"""python -m services.voice"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prometheus_client import Gauge

import meshwright
from demo.voice.v1 import voice_pb2_grpc as rpc
from meshwright.auth import Auth
from meshwright.config import AuthConfig, ServiceConfig, env_field
from meshwright.errors import ValidationError, Violation
from services.common.runtime.entry_point import run_service
from services.common.runtime.errors import StoreUnavailableError
from services.common.runtime.tasks import background_task
from services.common.storage.database import Databases, ensure_database, open_database, service_database_url
from services.common.storage.database_wait import wait_for_database
from services.common.storage.table_recovery import TableRecovery
from services.voice.adapters import SOURCE, DatabaseStore, metadata
from services.voice.app import Identity, Telephony
from services.voice.media.process import ExtensionProcess
from services.voice.server import ERRORS, PUBLIC, VoiceService
from services.voice.sip.authentication import Authenticator, Clocks
from services.voice.sip.calls.forwarding import Hop
from services.voice.sip.calls.proxy import Proxy
from services.voice.sip.calls.routing import Router
from services.voice.sip.digest import Algorithm, Nonces
from services.voice.sip.front import SipFront
from services.voice.sip.guard import Guard, Limits
from services.voice.sip.metrics import CallMetrics, SipMetrics
from services.voice.sip.registrar import Registrar

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client import CollectorRegistry

    from meshwright import Server

log = logging.getLogger(__name__)

DATABASE = "VOICE_DATABASE_URL"
SIP_HOST, SIP_PORT, DIGESTS, RATE = "VOICE_SIP_HOST", "VOICE_SIP_PORT", "VOICE_DIGESTS", "VOICE_RATE"
DEFAULTS = {"MESHWRIGHT_SERVICE": "voice", "MESHWRIGHT_VERSION": "1.0.0"}
COUNT_SECONDS = 5.0
"""Between two looks at the number of registrations."""
CLOCKS = Clocks(time.time, time.monotonic)


@dataclass(frozen=True, slots=True)
class VoiceConfig:
    """`mesh`: the configuration of every service."""

    database: str = env_field(DATABASE, "sqlite:///.meshwright/voice.db", help="sqlite:///<file> or postgresql://...")
    sip_host: str = env_field(SIP_HOST, "127.0.0.1", help="where telephones reach the service, by UDP and TCP")
    sip_port: int = env_field(SIP_PORT, 5060, help="the port of both; 0: a free one")
    domain: str = env_field("VOICE_DOMAIN", "localhost", help="the host part of addresses, as in sip:ada@localhost")
    realm: str = env_field("VOICE_REALM", "meshwright", help="what passwords are for; another one voids them all")
    digests: str = env_field(
        DIGESTS, "MD5", help="hashes of digest authentication, the best first: SHA-256, MD5 or both with a comma"
    )
    rate: float = env_field(RATE, 50.0, help="requests a second of one address on average; twice as many at once")
    databases: Databases = field(kw_only=True)
    mesh: ServiceConfig = field(kw_only=True)
    auth: AuthConfig = field(kw_only=True, default_factory=AuthConfig)

    def __post_init__(self) -> None:
        problems = [Violation(RATE, "must be above 0")] if self.rate <= 0 else []
        if not 0 <= self.sip_port <= 65535:  # noqa: PLR2004
            problems.append(Violation(SIP_PORT, "must be 0 to 65535"))
        if not set(self.digests.split(",")) <= {each.value for each in Algorithm}:
            problems.append(Violation(DIGESTS, "must be SHA-256, MD5, or both with a comma between"))
        if problems:
            raise ValidationError("the environment", problems)

    @property
    def algorithms(self) -> list[Algorithm]:
        return [Algorithm(name) for name in self.digests.split(",")]


@dataclass(frozen=True, slots=True)
class Signalling:
    front: SipFront
    extensions: ExtensionProcess
    make_proxy: Callable[[], Proxy]
    """To be called when the front's port is known."""

    async def start(self, server: Server, config: VoiceConfig) -> None:
        """Raises ValidationError where the address is taken, or not this machine's."""
        try:
            await self.front.start()
        except OSError as error:
            reason = os.strerror(error.errno).lower() if error.errno else str(error)
            what = f"{config.sip_host}:{config.sip_port} cannot be used: {reason}"
            raise ValidationError("the environment", [Violation(SIP_PORT, what)]) from None
        server.on_stop(self.front.stop)
        self.front.serve_calls(self.make_proxy())
        if importlib.util.find_spec("pjsua2") is None:
            log.warning("there are no extensions: PJSIP is not installed (the extra `voice` of the demo)")
        else:
            await server.enter(background_task(self.extensions.keep(), "running extensions"))


def signalling(server: Server, config: VoiceConfig, telephony: Telephony) -> Signalling:
    """Signalling for the server, not started."""
    registry, tracer = server.telemetry.metrics.registry, server.telemetry.tracer
    guard = Guard(Limits(rate=config.rate, burst=2 * config.rate))
    metrics = SipMetrics(registry, lambda: guard.banned(time.monotonic()))
    nonces = Nonces(os.urandom(32), os.urandom)
    authenticator = Authenticator(
        telephony, nonces, guard, clocks=CLOCKS, algorithms=config.algorithms, on_failure=metrics.failures.inc
    )
    registrar, place = Registrar(telephony, authenticator), (config.sip_host, config.sip_port)
    front = SipFront(*place, registrar, guard, metrics=metrics, clocks=CLOCKS, tracer=tracer)

    calls = CallMetrics(registry, metrics)
    extensions = ExtensionProcess(config.sip_host, calls.score.observe)

    def make_proxy() -> Proxy:
        hop, route = Hop(config.sip_host, front.transports.port, os.urandom(32)), Router(telephony, extensions.targets)
        made = Proxy(front.transports, hop, authenticator, route.targets, metrics=calls, clocks=CLOCKS, tracer=tracer)
        calls.talking.set_function(made.calls.talking)
        return made

    return Signalling(front, extensions, make_proxy)


async def count_registrations(telephony: Telephony, registry: CollectorRegistry) -> None:
    """Keeps the metric of registrations; while the database is away, its last value stays."""
    gauge = Gauge("sip_registrations", "Contacts that are registered, on all replicas.", registry=registry)
    while True:
        with contextlib.suppress(StoreUnavailableError):
            gauge.set(await telephony.registered())
        await asyncio.sleep(COUNT_SECONDS)


async def run(config: VoiceConfig) -> None:
    async with meshwright.Server(
        config.mesh, errors=ERRORS, auth=Auth.configured(config.auth, public=PUBLIC)
    ) as server:
        own = service_database_url(config.database, SOURCE) if config.databases.per_service else config.database
        engine = open_database(DATABASE, own)
        server.on_stop(engine.dispose)
        store = DatabaseStore(engine)
        telephony = Telephony(store, Identity(config.domain, config.realm), entropy=os.urandom)
        sip = signalling(server, config, telephony)

        async def make_tables() -> None:
            await ensure_database(config.database, own)
            await store.prepare()

        async def prepare() -> None:
            await wait_for_database(DATABASE, engine, make_tables, server.health)
            await server.enter(TableRecovery(engine, metadata.tables, make_tables, server.health).running())
            await sip.start(server, config)
            counting = count_registrations(telephony, server.telemetry.metrics.registry)
            await server.enter(background_task(counting, "counting registrations"))

        server.warm_up(prepare)
        server.add(rpc.add_VoiceServiceServicer_to_server, VoiceService(telephony))
        await server.run()


def main() -> None:
    run_service(run, VoiceConfig, DEFAULTS)


if __name__ == "__main__":
    main()
