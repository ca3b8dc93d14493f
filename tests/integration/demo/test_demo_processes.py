"""The services as processes: started as `meshwright up` does, told off for a wrong environment, stopped by a signal."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import httpx
import pytest

from demo.user.v1 import user_pb2 as pb
from demo.user.v1 import user_pb2_grpc as rpc
from meshwright.local.topology.parsing import load
from support.processes import promised_port, python, running
from support.waiting import eventually

if TYPE_CHECKING:
    from support.processes import Process

ROOT = Path(__file__).resolve().parents[3]


async def refusal(service: str, environ: dict[str, str], log: Path) -> str:
    """What a service writes that ends because of its environment."""
    async with running(
        python("-m", f"services.{service}"), log, {"MESHWRIGHT_REGISTER": "false", **environ}
    ) as process:
        assert await asyncio.wait_for(process.child.wait(), 30) == 1
    text = process.tail()
    assert "Traceback" not in text
    return text


@pytest.mark.parametrize(
    ("service", "environ", "lines"),
    [
        (
            "calculator",
            {"CALCULATOR_PRIME_INTERVAL": "soon", "MESHWRIGHT_PORT": "x"},
            [
                "CALCULATOR_PRIME_INTERVAL: expected a number, not 'soon'",
                "MESHWRIGHT_PORT: expected an integer, not 'x'",
            ],
        ),
        ("calculator", {"CALCULATOR_PRIME_INTERVAL": "-1"}, ["CALCULATOR_PRIME_INTERVAL: must be 0 or more seconds"]),
        (
            "user",
            {"USER_DATABASE_URL": "mysql://ada:secret@localhost/users"},
            ["USER_DATABASE_URL: must be sqlite:///<file> or postgresql://<user>:<password>@<host>:<port>/<database>"],
        ),
        (
            "user",
            {"USER_DATABASE_URL": "sqlite://"},
            ["USER_DATABASE_URL: must name a file, as in sqlite:///users.db"],
        ),
        (
            "user",
            {"USER_DATABASE_URL": "postgresql://ada:secret@127.0.0.1:99999/users"},
            ["USER_DATABASE_URL: must have a port from 1 to 65535"],
        ),
        (
            "user",
            {"USER_DATABASE_URL": "postgresql://ada:pass@secret@127.0.0.1/users"},
            ["USER_DATABASE_URL: has one @ too many: in the user and password, write @ as %40 and / as %2F"],
        ),
        (
            "user",
            {"USER_DATABASE_URL": "postgresql://ada:secret@127.0.0.1:1/users?sslmode=verify-full"},
            [
                "the database users at 127.0.0.1:1 (USER_DATABASE_URL) cannot be used, and waiting for it would not "
                "help: root certificate file "
            ],
        ),
        (
            "gateway",
            {"GATEWAY_DATABASE_URL": "sqlite:////proc/gateway.db"},
            [
                "the database /proc/gateway.db (GATEWAY_DATABASE_URL) cannot be used, and waiting for it would not "
                "help: unable to open database file"
            ],
        ),
        (
            "gateway",
            {"GATEWAY_TIMEOUT": "0", "GATEWAY_MAX_BODY": "-5"},
            ["GATEWAY_TIMEOUT: must be above 0", "GATEWAY_MAX_BODY: must be above 0"],
        ),
    ],
)
async def test_a_wrong_environment_is_told_in_a_line_for_each_variable(tmp_path: Path, service, environ, lines):
    text = await refusal(service, environ, tmp_path / "log")
    for line in lines:
        assert line in text
    assert "secret" not in text


async def test_replicas_that_start_at_once_share_one_new_file(tmp_path: Path) -> None:
    ports = [promised_port() for _ in range(3)]
    async with contextlib.AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(user_process(tmp_path, port)) for port in ports]
        stubs = []
        for port in ports:
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
            stubs.append(rpc.UserServiceStub(channel))
        first = [stub.CreateUser(request(0), wait_for_ready=True, timeout=30) for stub in stubs]
        outcomes = await asyncio.gather(*first, return_exceptions=True)
        codes = sorted(outcome.code().name for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError))
        assert codes == ["ALREADY_EXISTS"] * 2
        await asyncio.gather(*(stubs[number % 3].CreateUser(request(number), timeout=30) for number in range(1, 61)))
        for stub in stubs:
            assert len([user async for user in stub.ListUsers(pb.ListUsersRequest())]) == 61
        assert [await replica.terminate() for replica in replicas] == [0, 0, 0]


def request(number: int) -> pb.CreateUserRequest:
    return pb.CreateUserRequest(name="Ada", email=f"ada{number}@example.org")


def user_process(folder: Path, port: int) -> contextlib.AbstractAsyncContextManager[Process]:
    environ = {
        "USER_DATABASE_URL": f"sqlite:///{folder}/users.db",
        "MESHWRIGHT_PORT": str(port),
        "MESHWRIGHT_REGISTER": "false",
    }
    return running(python("-m", "services.user"), folder / f"{port}.log", environ)


async def test_the_gateway_starts_without_a_mesh_and_says_what_is_missing(tmp_path: Path) -> None:
    port = promised_port()
    environ = {"MESHWRIGHT_PORT": str(port), "MESHWRIGHT_XDS": f"127.0.0.1:{promised_port()}"}
    async with running(python("-m", "services.gateway"), tmp_path / "log", environ) as process:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:

            async def alive() -> bool:
                return (await client.get("/healthz")).status_code == 200

            await eventually(alive, timeout=30, ignore=(httpx.ConnectError,))

            # HTTP is served before the gateway's own tables are there, of which `/readyz` tells first.
            async def missing() -> bool:
                ready = await client.get("/readyz", timeout=10)
                assert ready.status_code == 503
                return {item["field"] for item in ready.json()["errors"]} == {"user", "calculator"}

            await eventually(missing, timeout=30)
            answer = await client.get("/api/v1/users", timeout=10)
            assert (answer.status_code, answer.json()["code"]) == (503, "UNAVAILABLE")
        assert await process.terminate() == 0


async def test_the_topology_of_the_demo_has_every_service() -> None:
    topology = load(ROOT / "services" / "demo.toml")
    services = {path.parent.name for path in (ROOT / "services").glob("*/server.py")}
    assert {process.name for process in topology.processes} == services | {"nats"}
    assert {process.module for process in topology.processes} == {f"services.{name}" for name in services} | {""}
