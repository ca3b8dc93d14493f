"""python -m services.user"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass, field

import meshwright
from demo.calculator.v1 import calculator_pb2_grpc as calculator_rpc
from demo.user.v1 import user_pb2_grpc as rpc
from demo.user.v2 import user_pb2_grpc as rpc2
from meshwright.config import ServiceConfig, environment, load, setting
from meshwright.errors import BadInputError
from services.kit.database import open_database
from services.kit.errors import StoreUnavailableError
from services.user.adapters import CalculatorFigures, DatabaseUsers, prepare_database
from services.user.app import UserBook
from services.user.server import ERRORS, UserProfileService, UserService, release_of

DATABASE = "USER_DATABASE_URL"
DEFAULTS = {"MESHWRIGHT_SERVICE": "user", "MESHWRIGHT_VERSION": "1.0.0"}


@dataclass(frozen=True, slots=True)
class UserConfig:
    """`mesh` is what every service has; the rest is the user service's own."""

    database: str = setting(DATABASE, "sqlite:///.meshwright/user.db", help="sqlite:///<file> or postgresql://...")
    calculator: str = setting("USER_CALCULATOR", "calculator", help="the name of the service that does the sums")
    failing: float | None = setting(
        "USER_FAILING",
        None,
        help="share of calls, 0 to 1, that a bug spoils; unset: all from version 3 on",
    )
    mesh: ServiceConfig = field(kw_only=True)


async def run(config: UserConfig) -> None:
    async with meshwright.Server(config.mesh, errors=ERRORS) as server:
        engine = open_database(DATABASE, config.database)
        server.on_stop(engine.dispose)
        server.warm_up(lambda: prepare_database(engine))
        calculator = await server.enter(meshwright.channel(config.calculator, config.mesh))
        figures = CalculatorFigures(calculator_rpc.CalculatorStub(calculator))
        book = UserBook(DatabaseUsers(engine), figures, entropy=os.urandom)
        release = release_of(config.mesh.version, config.failing)
        server.add(rpc.add_UserServiceServicer_to_server, UserService(book, release))
        if release.avatars:
            server.add(rpc2.add_UserServiceServicer_to_server, UserProfileService(book, release))
        await server.run()


def main() -> None:
    try:
        asyncio.run(run(load(UserConfig, DEFAULTS | environment())))
    except (BadInputError, StoreUnavailableError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
