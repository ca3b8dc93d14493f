"""python -m services.gateway"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, field, replace

import meshwright
from meshwright.config import ServiceConfig, environment, load, setting
from meshwright.errors import BadInputError, Problem
from services.gateway.adapters import MeshCalculator, MeshUpstream, MeshUsers
from services.gateway.app import Readiness
from services.gateway.routes import Backends, Budgets
from services.gateway.server import QUIET, make_app
from services.gateway.serving import serving

DEFAULTS = {
    "MESHWRIGHT_SERVICE": "gateway",
    "MESHWRIGHT_VERSION": "1.0.0",
    "MESHWRIGHT_PORT": "8080",
    # Nobody calls the gateway by gRPC; docs/decisions/0047.
    "MESHWRIGHT_REGISTER": "false",
}


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """`mesh` is what every service has, its port being the one of HTTP; the rest is the gateway's own."""

    admin_port: int = setting("GATEWAY_ADMIN_PORT", 0, help="gRPC health, channelz and CSDS; 0: a free one")
    user: str = setting("GATEWAY_USER", "user", help="the name of the user service")
    calculator: str = setting("GATEWAY_CALCULATOR", "calculator", help="the name of the calculator")
    timeout: float = setting("GATEWAY_TIMEOUT", 5.0, help="seconds for a request that names none")
    stream_timeout: float = setting("GATEWAY_STREAM_TIMEOUT", 60.0, help="the same for streams")
    max_timeout: float = setting("GATEWAY_MAX_TIMEOUT", 300.0, help="seconds that a request may name at most")
    max_body: int = setting("GATEWAY_MAX_BODY", 65536, help="bytes of a request's body")
    mesh: ServiceConfig = field(kw_only=True)

    def __post_init__(self) -> None:
        limits = {
            "GATEWAY_TIMEOUT": self.timeout,
            "GATEWAY_STREAM_TIMEOUT": self.stream_timeout,
            "GATEWAY_MAX_TIMEOUT": self.max_timeout,
            "GATEWAY_MAX_BODY": self.max_body,
        }
        wrong = [name for name, value in limits.items() if not 0 < value < float("inf")]
        if wrong:
            raise BadInputError("the environment", [Problem(name, "must be above 0") for name in wrong])


async def run(config: GatewayConfig) -> None:
    """Resources are closed in the reverse order: requests end first, then the channels that they use."""
    async with meshwright.Server(replace(config.mesh, port=config.admin_port)) as server:
        user = await server.enter(meshwright.channel(config.user, config.mesh))
        calculator = await server.enter(meshwright.channel(config.calculator, config.mesh))
        upstreams = [MeshUpstream(config.user, user), MeshUpstream(config.calculator, calculator)]
        backends = Backends(
            MeshUsers(user),
            MeshCalculator(calculator),
            Readiness(upstreams, draining=server.stopping.is_set),
            Budgets(config.timeout, config.stream_timeout, config.max_timeout),
        )
        app = make_app(backends, version=config.mesh.version, max_body=config.max_body)
        traced = meshwright.AsgiMiddleware(app, quiet=QUIET)
        await server.enter(serving(traced, config.mesh.host, config.mesh.port, grace=config.mesh.grace))
        await server.run()


def main() -> None:
    try:
        asyncio.run(run(load(GatewayConfig, DEFAULTS | environment())))
    except BadInputError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
