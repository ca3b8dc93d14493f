"""docs/how-to/edge-envoy.yaml before the demo: JSON and gRPC-Web in, gRPC inside."""

from __future__ import annotations

import contextlib
import json
import subprocess
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml

from demo.calculator.v1 import calculator_pb2 as pb
from support.demo.people import PASSWORD, address
from support.demo.up import DemoUp, first_answer, starting
from support.processes import TESTS, promised_port, running
from support.servers.envoy import NO_ENVOY, find_envoy
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(find_envoy() is None, reason=NO_ENVOY)

ROOT = TESTS.parent
CALCULATOR = "/demo.calculator.v1.Calculator"
NUMBERS = "/demo.calculator.v1.NumberService"


def configured(demo: DemoUp, folder: Path, port: int) -> Path:
    """The file of the docs, with this demo's ports, and the descriptors made as its comment says."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "how-to" / "edge-envoy.yaml").read_text())
    static = config["static_resources"]
    (endpoint,) = static["clusters"][0]["load_assignment"]["endpoints"][0]["lb_endpoints"]
    endpoint["endpoint"]["address"]["socket_address"]["port_value"] = demo.ports["xds"]
    static["listeners"][0]["address"]["socket_address"]["port_value"] = port
    config["admin"]["address"]["socket_address"]["port_value"] = promised_port()
    subprocess.run(["scripts/descriptors.sh", str(folder / "demo.binpb")], cwd=ROOT, check=True, timeout=60)
    manager = static["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    (transcoder,) = [item for item in manager["http_filters"] if item["name"].endswith("json_transcoder")]
    assert transcoder["typed_config"]["proto_descriptor"] == "demo.binpb"
    transcoder["typed_config"]["proto_descriptor"] = str(folder / "demo.binpb")
    path = folder / "edge.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@contextlib.asynccontextmanager
async def edge(demo: DemoUp, folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """An Envoy that knows the way to the calculator, and a client of it."""
    port = promised_port()
    path = configured(demo, folder, port)
    command = [str(find_envoy()), "-c", str(path), "--disable-hot-restart", "--concurrency", "1", "-l", "warning"]
    async with (
        running(command, folder / "envoy.log") as process,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client,
    ):

        async def knows() -> bool:
            assert process.running, process.tail()
            return (await client.post(f"{CALCULATOR}/Add", json={"a": 1, "b": 2})).status_code == httpx.codes.OK

        await eventually(knows, timeout=30, ignore=(httpx.TransportError,))
        yield client


async def test_json_and_grpc_web_find_their_way_through_the_edge(tmp_path: Path) -> None:
    async with starting(tmp_path) as demo:
        async with httpx.AsyncClient() as client:
            await first_answer(demo, client)
        async with edge(demo, tmp_path) as client:
            await _json(client)
            await _wrong_json(client)
            await _grpc_web(client)
            await _tokens(client, demo)


async def _json(client: httpx.AsyncClient) -> None:
    answer = await client.post(f"{CALCULATOR}/Add", json={"a": 1, "b": 2})
    assert (answer.status_code, answer.json()) == (200, {"value": 3})
    stream = await client.post(f"{NUMBERS}/GetPrimes", json={"limit": 20})
    assert [json.loads(line)["value"] for line in stream.text.splitlines()] == [2, 3, 5, 7, 11, 13, 17, 19]


async def _wrong_json(client: httpx.AsyncClient) -> None:
    nobody = await client.post("/demo.user.v1.UserService/GetUser", json={"id": "nobody"})
    assert (nobody.status_code, nobody.json()["code"]) == (404, 5), nobody.text
    assert [detail["reason"] for detail in nobody.json()["details"] if "reason" in detail] == ["USER_NOT_FOUND"]
    assert (await client.post(f"{CALCULATOR}/Add", content=b"{")).status_code == 400
    assert (await client.post(f"{CALCULATOR}/Add?nonsense=1", json={})).status_code == 400
    assert (await client.post(f"{CALCULATOR}/Nonsense", json={})).status_code == 404


async def _grpc_web(client: httpx.AsyncClient) -> None:
    """One message and the trailers, each with five bytes before it (grpc/doc/PROTOCOL-WEB.md)."""
    message = pb.Numbers(a=1, b=2).SerializeToString()
    content = b"\0" + len(message).to_bytes(4, "big") + message
    answer = await client.post(
        f"{CALCULATOR}/Add", content=content, headers={"Content-Type": "application/grpc-web+proto", "X-Grpc-Web": "1"}
    )
    assert answer.status_code == 200
    size = int.from_bytes(answer.content[1:5], "big")
    assert pb.Result.FromString(answer.content[5 : 5 + size]).value == 3
    trailers = answer.content[5 + size :]
    assert trailers[0] == 0x80
    assert b"grpc-status:0" in trailers[5:]


async def _tokens(client: httpx.AsyncClient, demo: DemoUp) -> None:
    """Envoy hands the token on; the service behind verifies it, as for all callers."""
    call = {"url": "/demo.order.v1.OrderService/ListOrders", "json": {"user_id": ""}}
    assert (await client.post(**call)).status_code == 401
    body = {"name": "Ada", "email": address(), "password": PASSWORD}
    async with httpx.AsyncClient(base_url=demo.url("gateway")) as gateway:
        tokens = (await gateway.post("/auth/sign-up", json=body)).raise_for_status().json()
    call["json"]["user_id"] = tokens["subject"]
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    answer = await client.post(**call, headers=headers)
    assert answer.status_code == 200, answer.text
    wrong = await client.post(**call, headers={"Authorization": "Bearer nonsense"})
    assert wrong.status_code == 401
