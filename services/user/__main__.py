"""python -m services.user"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass, field

import meshwright
from demo.calculator.v1 import calculator_pb2_grpc as calculator_rpc
from demo.user.v1 import user_pb2_grpc as rpc
from meshwright.config import ServiceConfig, environment, load, setting
from meshwright.errors import BadInputError
from services.user.adapters import CalculatorFigures, DatabaseUsers, open_database
from services.user.app import UserBook
from services.user.migrations import migrate
from services.user.server import ERRORS, UserService

DATABASE = "USER_DATABASE_URL"
DEFAULTS = {"MESHWRIGHT_SERVICE": "user", "MESHWRIGHT_VERSION": "1.0.0"}


@dataclass(frozen=True, slots=True)
class UserConfig:
    """`mesh` is what every service has; the rest is the user service's own."""

    database: str = setting(DATABASE, "sqlite:///.meshwright/user.db", help="sqlite:///<file> or postgresql://...")
    calculator: str = setting("USER_CALCULATOR", "calculator", help="the name of the service that does the sums")
    mesh: ServiceConfig = field(kw_only=True)


async def run(config: UserConfig) -> None:
    engine = open_database(DATABASE, config.database)
    try:
        async with (
            meshwright.Server(config.mesh, errors=ERRORS) as server,
            meshwright.channel(config.calculator, config.mesh) as calculator,
        ):
            await migrate(engine)
            figures = CalculatorFigures(calculator_rpc.CalculatorStub(calculator))
            book = UserBook(DatabaseUsers(engine), figures, entropy=os.urandom)
            server.add(rpc.add_UserServiceServicer_to_server, UserService(book))
            await server.run()
    finally:
        await engine.dispose()


def main() -> None:
    try:
        asyncio.run(run(load(UserConfig, DEFAULTS | environment())))
    except BadInputError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
