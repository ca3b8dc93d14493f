"""The demo on a PostgreSQL and a NATS that come back empty: nothing is restarted by hand, and the shop works again."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from support.demo.up import DemoUp, first_answer, starting
from support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from support.servers.postgres import Cluster

MESH = {"gateway", "order", "inventory", "payment", "user", "userview", "notification", "chat"}


class Shopper:
    """Who signs up, pays in, orders, talks and looks for itself: every service has to do with it."""

    def __init__(self, demo: DemoUp, client: httpx.AsyncClient) -> None:
        self.client = client
        self.gateway = demo.url("gateway")
        self.name = f"Ada {uuid.uuid4().hex[:8]}"
        self.headers: dict[str, str] = {}

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self.client.request(method, f"{self.gateway}{path}", json=body, headers=self.headers)
        answer.raise_for_status()
        self.trace = answer.headers.get("X-Trace-Id", "")
        return answer.json()

    async def shops(self) -> str:
        """All of it; the id of the trace in which the order was placed."""
        word = uuid.uuid4().hex
        account = {"name": self.name, "email": f"{word}@example.org", "password": "correct horse battery"}
        signed = await self.ask("POST", "/auth/sign-up", account)
        self.headers = {"authorization": f"Bearer {signed['access_token']}"}
        await self.ask("POST", "/api/v3/account/deposits", {"amount_cents": 5000})
        order = await self.ask("POST", "/api/v3/orders", {"items": [{"sku": "MUG-BLUE", "quantity": 1}]})
        trace = self.trace

        async def completed() -> bool:
            state = (await self.ask("GET", f"/api/v3/orders/{order['id']}"))["state"]
            assert state not in {"rejected", "needs_attention"}
            return state == "completed"

        await eventually(completed, 20)

        async def seen() -> bool:
            found = await self.ask("GET", f"/api/v3/search?q={self.name.split()[1]}")
            return [item["total_orders"] for item in found] == [1]

        await eventually(seen, 20)
        said = await self.ask("GET", "/api/v3/messages?since=0")
        assert "messages" in said
        return trace


async def shops_again(demo: DemoUp, client: httpx.AsyncClient) -> None:
    """A new user does all that, within a minute, once what is lost is made up for."""

    async def done() -> bool:
        with contextlib.suppress(httpx.HTTPError, AssertionError, KeyError, TimeoutError):
            await Shopper(demo, client).shops()
            return True
        return False

    await eventually(done, 60, every=0.5)


async def services_of(demo: DemoUp, client: httpx.AsyncClient, trace: str) -> set[str]:
    answer = await client.get(f"{demo.url('traces')}/api/traces/{trace}")
    found = answer.json()["data"][0] if answer.is_success else {"spans": [], "processes": {}}
    return {found["processes"][span["processID"]]["serviceName"] for span in found["spans"]}


async def restarts(demo: DemoUp) -> dict[str, int]:
    return {row["instance"]: row["restarts"] for row in await demo.instances() if "nats" not in row["instance"]}


@pytest.mark.timeout(360)
async def test_an_orders_trace_has_all_in_it_and_lost_disks_are_made_up_for(
    tmp_path: Path, own_postgres: Cluster
) -> None:
    given = f"postgresql://meshwright:not-asked-for@127.0.0.1:{own_postgres.port}/postgres"
    async with (
        starting(tmp_path, "--postgres", given) as demo,
        httpx.AsyncClient(trust_env=False, timeout=20) as client,
    ):
        await first_answer(demo, client)
        trace = await Shopper(demo, client).shops()
        wanted = {"gateway", "order", "inventory", "payment", "notification", "userview"}

        async def whole() -> bool:
            return await services_of(demo, client, trace) >= wanted

        await eventually(whole, 30)
        before = await restarts(demo)

        own_postgres.lose()
        await shops_again(demo, client)
        assert await restarts(demo) == before

        pid = next(row["pid"] for row in await demo.instances() if row["instance"].startswith("nats"))
        (store,) = (tmp_path / "home" / "demo" / "data").glob("nats")
        shutil.rmtree(store)
        await demo.do("kill", "nats-1")

        async def another() -> bool:
            rows = [row for row in await demo.instances() if row["instance"].startswith("nats")]
            return bool(rows) and rows[0]["pid"] not in {pid, None}

        await eventually(another, 30)
        await shops_again(demo, client)
        assert await restarts(demo) == before
