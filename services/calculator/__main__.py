"""python -m services.calculator"""

from __future__ import annotations

from dataclasses import dataclass, field

import meshwright
from demo.calculator.v1 import calculator_pb2_grpc as rpc
from meshwright.auth import Auth
from meshwright.config import AuthConfig, ServiceConfig, env_field
from meshwright.errors import ValidationError, Violation
from services.calculator.adapters import Interval
from services.calculator.server import ERRORS, PUBLIC, Calculator, NumberService
from services.common.runtime.entry_point import run_service

INTERVAL = "CALCULATOR_PRIME_INTERVAL"
DEFAULTS = {"MESHWRIGHT_SERVICE": "calculator", "MESHWRIGHT_VERSION": "1.0.0"}


@dataclass(frozen=True, slots=True)
class CalculatorConfig:
    """`mesh`: the configuration of every service."""

    prime_interval: float = env_field(INTERVAL, 0.1, help="seconds between two primes of a stream")
    mesh: ServiceConfig = field(kw_only=True)
    auth: AuthConfig = field(kw_only=True, default_factory=AuthConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.prime_interval < float("inf"):
            raise ValidationError("the environment", [Violation(INTERVAL, "must be 0 or more seconds")])


async def run(config: CalculatorConfig) -> None:
    async with meshwright.Server(
        config.mesh, errors=ERRORS, auth=Auth.configured(config.auth, public=PUBLIC)
    ) as server:
        server.add(rpc.add_CalculatorServicer_to_server, Calculator())
        server.add(rpc.add_NumberServiceServicer_to_server, NumberService(Interval(config.prime_interval)))
        await server.run()


def main() -> None:
    run_service(run, CalculatorConfig, DEFAULTS)


if __name__ == "__main__":
    main()
