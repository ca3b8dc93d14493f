"""The whole registry inside the test's own loop: what only its own settings show."""

from __future__ import annotations

import asyncio
import time

import httpx

from meshwright.standins.registry import RegistryConfig, serving
from support.waiting import eventually


async def test_a_dead_instance_is_forgotten_after_the_time_it_said() -> None:
    config = RegistryConfig(port=0, min_deregister=0.2, reap_interval=0.1)
    async with serving(config) as address, httpx.AsyncClient(base_url=f"http://{address}/v1/") as http:
        check = {"TCP": "127.0.0.1:1", "Interval": "1s", "DeregisterCriticalServiceAfter": "200ms"}
        await http.put("agent/service/register", json={"Name": "ghost", "Check": check})

        async def gone() -> bool:
            return (await http.get("health/service/ghost")).json() == []

        await eventually(gone, 5)


async def test_stopping_answers_everybody_who_waits() -> None:
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
