"""Checks that really run: gRPC, HTTP, TCP and time to live."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from aiohttp import web
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from meshwright import http as serving
from support.consul.credentials import needs_openssl
from support.processes import promised_port
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import httpx


SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
WITHIN = 6.0
"""Seconds in which a check with an interval of one second has certainly run."""


@dataclass
class GrpcServer:
    port: int
    servicer: Any
    server: Any


@contextlib.asynccontextmanager
async def grpc_server(credentials: grpc.ServerCredentials | None = None) -> AsyncIterator[GrpcServer]:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    address = "127.0.0.1:0"
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    await server.start()
    try:
        yield GrpcServer(port, servicer, server)
    finally:
        await server.stop(0)


@dataclass
class HttpServer:
    port: int = 0
    status: int = 200
    seen: list[tuple[str, str, bytes]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        self.seen.append((request.method, request.headers.get("X-Probe", ""), await request.read()))
        return web.Response(status=self.status, text="the body")


@pytest.fixture
async def http_server() -> AsyncIterator[HttpServer]:
    """A server that answers with the status that the test sets."""
    server = HttpServer()
    app = web.Application()
    app.router.add_route("*", "/health", server.handle)
    async with serving.serving(app, "127.0.0.1", 0) as address:
        server.port = address.port
        yield server


async def register(http: httpx.AsyncClient, name: str, **check: Any) -> None:
    body = {"Name": name, "Check": {"CheckID": name, "Interval": "1s", "Timeout": "500ms", **check}}
    answer = await http.put("agent/service/register", json=body)
    assert answer.status_code == 200, answer.text


async def becomes(http: httpx.AsyncClient, name: str, status: str) -> str:
    """Wait until the catalog shows that state; returns the output."""

    async def output() -> tuple[str] | None:
        rows = (await http.get(f"health/checks/{name}")).json()
        return next(((row["Output"],) for row in rows if row["Status"] == status), None)

    found = await eventually(output, WITHIN, message=f"{name} is {status}")
    assert found is not None
    return found[0]


async def judged(http: httpx.AsyncClient, name: str, status: str) -> str:
    """Wait for the first run of a check, which must come to that status; returns the output."""

    async def run() -> dict[str, Any] | None:
        # The agent's own word: the catalog hears of an output alone minutes later.
        row: dict[str, Any] = (await http.get("agent/checks")).json()[name]
        return row if row["Output"] else None

    row = await eventually(run, WITHIN, message=f"the check of {name} has run")
    assert row is not None
    assert row["Status"] == status, row["Output"]
    return str(row["Output"])


async def test_a_grpc_check_follows_the_health_service(http: httpx.AsyncClient, name: str) -> None:
    async with grpc_server() as server:
        await server.servicer.set("demo.Service", SERVING)
        target = f"127.0.0.1:{server.port}/demo.Service"
        await register(http, name, GRPC=target)

        assert await becomes(http, name, "passing") == f"gRPC check {target}: success"
        await server.servicer.set("demo.Service", NOT_SERVING)
        assert await becomes(http, name, "critical") == "gRPC application didn't report service healthy"
        await server.servicer.set("demo.Service", SERVING)
        await becomes(http, name, "passing")

    assert "rpc error: code = Unavailable" in await becomes(http, name, "critical")
    await http.put(f"agent/service/deregister/{name}")


async def test_a_grpc_check_of_the_whole_server_and_of_an_unknown_service(http: httpx.AsyncClient, name: str) -> None:
    async with grpc_server() as server:
        await server.servicer.set("", SERVING)
        await register(http, f"{name}-all", GRPC=f"127.0.0.1:{server.port}")
        await register(http, f"{name}-unknown", GRPC=f"127.0.0.1:{server.port}/not.There")
        await becomes(http, f"{name}-all", "passing")

        async def not_found() -> bool:
            rows = (await http.get("agent/checks")).json()
            return "code = NotFound" in rows[f"{name}-unknown"]["Output"]

        await eventually(not_found, WITHIN)
        await http.put(f"agent/service/deregister/{name}-all")
        await http.put(f"agent/service/deregister/{name}-unknown")


async def test_an_http_check_maps_statuses(http: httpx.AsyncClient, name: str, http_server: HttpServer) -> None:
    url = f"http://127.0.0.1:{http_server.port}/health"
    await register(http, name, HTTP=url, Method="POST", Header={"X-Probe": ["yes"]}, Body="ping")

    output = await becomes(http, name, "passing")
    assert output.startswith(f"HTTP POST {url}: 200 OK")
    assert "the body" in output
    assert http_server.seen[0] == ("POST", "yes", b"ping")
    http_server.status = 429
    await becomes(http, name, "warning")
    http_server.status = 503
    await becomes(http, name, "critical")
    http_server.status = 204
    await becomes(http, name, "passing")
    await http.put(f"agent/service/deregister/{name}")


@needs_openssl
async def test_a_grpc_check_over_tls_trusts_authorities_only_unless_told_otherwise(
    http: httpx.AsyncClient, name: str, pki: Path
) -> None:
    credentials = grpc.ssl_server_credentials([((pki / "server.key").read_bytes(), (pki / "server.pem").read_bytes())])
    async with grpc_server(credentials) as server:
        await server.servicer.set("", SERVING)
        target = f"127.0.0.1:{server.port}"
        await register(http, f"{name}-strict", GRPC=target, GRPCUseTLS=True)
        await register(http, f"{name}-lax", GRPC=target, GRPCUseTLS=True, TLSSkipVerify=True)
        await register(http, f"{name}-plain", GRPC=target)
        assert await becomes(http, f"{name}-lax", "passing") == f"gRPC check {target}: success"
        for other in ("strict", "plain"):
            await judged(http, f"{name}-{other}", "critical")
        for each in ("strict", "lax", "plain"):
            await http.put(f"agent/service/deregister/{name}-{each}")


@needs_openssl
async def test_an_https_check_trusts_authorities_only_unless_told_otherwise(
    http: httpx.AsyncClient, name: str, pki: Path
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="the body")

    app = web.Application()
    app.router.add_get("/health", answer)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pki / "server.pem", pki / "server.key")
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    port = promised_port()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
    try:
        url = f"https://127.0.0.1:{port}/health"
        await register(http, f"{name}-strict", HTTP=url)
        await register(http, f"{name}-lax", HTTP=url, TLSSkipVerify=True)
        assert (await becomes(http, f"{name}-lax", "passing")).startswith(f"HTTP GET {url}: 200 OK")
        assert "certificate" in await judged(http, f"{name}-strict", "critical")
        for each in ("strict", "lax"):
            await http.put(f"agent/service/deregister/{name}-{each}")
    finally:
        await runner.cleanup()


async def test_a_tcp_check_connects(http: httpx.AsyncClient, name: str) -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await register(http, name, TCP=f"127.0.0.1:{port}")
    assert await becomes(http, name, "passing") == f"TCP connect 127.0.0.1:{port}: Success"
    server.close()
    await server.wait_closed()
    await becomes(http, name, "critical")
    output = (await http.get("agent/checks")).json()[name]["Output"]
    assert output == f"dial tcp 127.0.0.1:{port}: connect: connection refused"
    await http.put(f"agent/service/deregister/{name}")


async def test_a_ttl_check_that_is_not_heard_of_turns_critical(http: httpx.AsyncClient, name: str) -> None:
    body = {"Name": name, "Check": {"CheckID": name, "TTL": "400ms", "Status": "passing"}}
    await http.put("agent/service/register", json=body)
    await http.put(f"agent/check/pass/{name}", params={"note": "last words"})
    await becomes(http, name, "critical")
    output = (await http.get("agent/checks")).json()[name]["Output"]
    assert "TTL expired" in output
    assert "last words" in output
    await http.put(f"agent/service/deregister/{name}")


async def test_an_initial_status_holds_until_the_first_run(http: httpx.AsyncClient, name: str) -> None:
    await register(http, name, TCP="127.0.0.1:1", Interval="1h", Status="passing")
    row = (await http.get("agent/checks")).json()[name]
    assert row["Status"] == "passing"
    await http.put(f"agent/service/deregister/{name}")


async def test_the_first_run_decides_alone_and_thresholds_count_from_then_on(
    http: httpx.AsyncClient, name: str, http_server: HttpServer
) -> None:
    url = f"http://127.0.0.1:{http_server.port}/health"
    await register(http, name, HTTP=url, SuccessBeforePassing=2, FailuresBeforeCritical=2)
    await becomes(http, name, "passing")
    assert len(http_server.seen) == 1

    http_server.status = 500
    http_server.seen.clear()
    await becomes(http, name, "critical")
    assert len(http_server.seen) == 2

    http_server.status = 200
    http_server.seen.clear()
    await becomes(http, name, "passing")
    assert len(http_server.seen) == 2
    await http.put(f"agent/service/deregister/{name}")
