"""The whole registry inside the test's own loop: what only its own settings show."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

import httpx
import pytest
from aiohttp import web

from meshwright import http as meshwright_http
from meshwright.dev.consul import RegistryConfig, serving
from meshwright.dev.consul.api.routing import application
from meshwright.dev.consul.server import application_of
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from meshwright.dev.consul.state import State
    from meshwright.model import Address


async def test_a_dead_instance_is_forgotten_after_the_time_it_said() -> None:
    config = RegistryConfig(port=0, min_deregister=0.2, reap_interval=0.1)
    async with serving(config) as address, httpx.AsyncClient(base_url=f"http://{address}/v1/") as http:
        check = {"TCP": "127.0.0.1:1", "Interval": "1s", "DeregisterCriticalServiceAfter": "200ms"}
        await http.put("agent/service/register", json={"Name": "ghost", "Check": check})

        async def gone() -> bool:
            return (await http.get("health/service/ghost")).json() == []

        await eventually(gone, 5)


async def test_stopping_answers_every_waiting_reader() -> None:
    waiter, other = httpx.AsyncClient(timeout=30), httpx.AsyncClient()
    async with serving(RegistryConfig(port=0)) as address:
        path = f"http://{address}/v1/catalog/services"
        index = (await waiter.get(path)).headers["X-Consul-Index"]
        waiting = asyncio.create_task(waiter.get(f"{path}?index={index}&wait=5m"))
        # The waiting request goes out on a connection that stands; this one has to connect first.
        await other.get(path)
        began = time.monotonic()
    answer = await waiting
    assert answer.status_code == 200
    assert time.monotonic() - began < 1.0
    await waiter.aclose()
    await other.aclose()


async def test_the_front_page_points_at_the_api() -> None:
    async with serving(RegistryConfig(port=0)) as address, httpx.AsyncClient() as http:
        page = await http.get(f"http://{address}/")
    assert page.headers["Content-Type"].startswith("text/html")
    assert "/v1/catalog/services" in page.text


@contextlib.asynccontextmanager
async def sent(address: Address, request: str) -> AsyncIterator[None]:
    """A client that sends those bytes, reads nothing, and goes away at the end of the context."""
    _, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(request.replace("\n", "\r\n").encode())
    await writer.drain()
    yield
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("path", ["catalog/services", "health/service/web", "kv/a", "agent/service/web"])
async def test_a_blocking_read_of_a_client_that_went_away_is_released(state: State, path: str) -> None:
    async with (
        meshwright_http.serving(application_of(state), "127.0.0.1", 0, handler_cancellation=True) as address,
        httpx.AsyncClient(base_url=f"http://{address}/v1/") as http,
    ):
        await http.put("agent/service/register", json={"Name": "web"})
        await http.put("kv/a", content=b"1")
        answer = await http.get(path)
        known = answer.json()["ContentHash"] if "agent" in path else ""
        query = f"hash={known}" if known else f"index={answer.headers['X-Consul-Index']}"
        async with sent(address, f"GET /v1/{path}?{query}&wait=10m HTTP/1.1\nHost: x\n\n"):
            await eventually(lambda: state.store.waiters == 1)
        await eventually(lambda: state.store.waiters == 0)


async def test_the_names_of_all_keys_are_a_list_though_there_are_none(state: State) -> None:
    async with (
        meshwright_http.serving(application_of(state), "127.0.0.1", 0) as address,
        httpx.AsyncClient(base_url=f"http://{address}/v1/") as http,
    ):
        answers = [await http.get(path) for path in ("kv/?keys", "kv/a?keys")]
        assert [(answer.status_code, answer.text.strip()) for answer in answers] == [(200, "[]"), (404, "")]


async def test_a_write_goes_on_to_its_end_though_its_client_went_away() -> None:
    begun, go_on, done = asyncio.Event(), asyncio.Event(), asyncio.Event()
    gone: list[web.BaseRequest] = []

    async def write(request: web.Request) -> web.Response:
        begun.set()
        gone.append(request)
        await go_on.wait()
        done.set()
        return web.Response()

    app = application([("PUT", "/x", write)], 100)
    async with meshwright_http.serving(app, "127.0.0.1", 0, handler_cancellation=True) as address:
        async with sent(address, "PUT /x HTTP/1.1\nHost: x\nContent-Length: 0\n\n"):
            await asyncio.wait_for(begun.wait(), 5)
        await eventually(lambda: gone[0].transport is None)
        go_on.set()
        await asyncio.wait_for(done.wait(), 5)


async def test_a_write_whose_client_went_away_before_its_end_is_not_done(state: State) -> None:
    app = application_of(state)
    async with meshwright_http.serving(app, "127.0.0.1", 0, handler_cancellation=True) as address:
        async with sent(address, "PUT /v1/kv/a HTTP/1.1\nHost: x\nContent-Length: 10\n\n123"):
            pass
        async with httpx.AsyncClient(base_url=f"http://{address}/v1/") as http:
            await http.put("kv/b", content=b"1")
            assert (await http.get("kv/?keys")).json() == ["b"]


@pytest.mark.parametrize("target", ["127.0.0.1:99999999", "a\u0000b:80", "no-port"])
async def test_a_check_with_an_impossible_target_is_critical_and_goes_on(target: str) -> None:
    config = RegistryConfig(port=0)
    async with serving(config) as address, httpx.AsyncClient(base_url=f"http://{address}/v1/") as http:
        check = {"TCP": target, "Interval": "1s", "Status": "passing"}
        await http.put("agent/service/register", json={"Name": "odd", "Check": check})

        async def critical() -> bool:
            return (await http.get("agent/health/service/id/odd?format=text")).text == "critical"

        await eventually(critical, 5)
