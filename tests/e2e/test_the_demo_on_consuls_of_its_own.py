"""The demo on real Consuls as others run them: one that denies by default and speaks TLS alone, and three servers."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from typing import TYPE_CHECKING

import httpx
import pytest

from meshwright.consul import Consul
from meshwright.errors import MeshwrightError
from support.consul.credentials import NAME, needs_openssl, part_of, rules
from support.consul.servers import NO_CONSUL, ClusterServer, consul_cluster, find_consul, real_consul
from support.demo.up import DemoUp, first_answer, starting
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(find_consul() is None, reason=NO_CONSUL)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=20, trust_env=False) as made:
        yield made


class Load:
    """Requests over three services, one after the other by each worker, and those that failed."""

    def __init__(self, demo: DemoUp, client: httpx.AsyncClient, user: str) -> None:
        self.answered = 0
        self.failures: list[str] = []
        self._url = f"{demo.url('gateway')}/api/v1/users/{user}/summary"
        self._client = client
        self._done = asyncio.Event()

    async def _worker(self) -> None:
        while not self._done.is_set():
            answer = await self._client.get(self._url)
            self.answered += 1
            if answer.status_code != httpx.codes.OK:
                self.failures.append(f"{answer.status_code} {answer.text}")

    async def __aenter__(self) -> Load:
        self._workers = [asyncio.create_task(self._worker()) for _ in range(4)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._done.set()
        await asyncio.gather(*self._workers)

    async def more(self, count: int) -> None:
        before = self.answered
        await eventually(lambda: self.answered >= before + count, timeout=60)


@needs_openssl
async def test_the_demo_runs_on_a_consul_with_acls_and_tls(
    tmp_path: Path, pki: Path, client: httpx.AsyncClient
) -> None:
    async with real_consul(token=str(uuid.uuid4()), tls=pki) as server:
        told = {
            "CONSUL_HTTP_ADDR": server.config.address,
            "CONSUL_HTTP_TOKEN": str((await part_of(server.config, rules("meshwright up"))).token),
            "CONSUL_CACERT": str(pki / "ca.pem"),
            "CONSUL_CLIENT_CERT": str(pki / "client.pem"),
            "CONSUL_CLIENT_KEY": str(pki / "client.key"),
            "CONSUL_TLS_SERVER_NAME": NAME,
        }
        async with starting(tmp_path, consul="auto", **told) as demo:
            user = (await first_answer(demo, client)).json()
            async with Load(demo, client, user["id"]) as load:
                await load.more(30)
                await demo.do("kill", "calculator-1", **told)
                await load.more(100)
            assert not load.failures
            assert "calculator" in await demo.do("get", "calculator", **told)
            await demo.do("fault", "set", "calculator", "--delay", "1ms", **told)
            async with Consul(server.config) as consul:
                assert (await consul.kv_get("meshwright/policy/calculator")).value is not None
            problems = (await client.get(f"{demo.url('controlplane')}/debug/problems")).json()
            assert problems["problems"] == []
            assert problems["consul"]["address"].startswith("https://")
        async with Consul(server.config) as consul:
            assert list((await consul.services()).value) == ["consul"]


async def test_the_leader_of_three_servers_is_killed_under_load_and_no_call_fails(
    tmp_path: Path, client: httpx.AsyncClient
) -> None:
    async with consul_cluster(3) as servers:
        leader, (named, *_) = await leader_and_followers(servers)
        async with starting(tmp_path, consul="auto", CONSUL_HTTP_ADDR=named.config.address) as demo:
            user = (await first_answer(demo, client)).json()
            async with Load(demo, client, user["id"]) as load:
                await load.more(30)
                await leader.kill()
                await load.more(100)
                await eventually(lambda: is_led(named, without=leader), timeout=60)
                await demo.do("scale", "calculator", "3", CONSUL_HTTP_ADDR=named.config.address)

                async def all_there() -> bool:
                    async with Consul(named.config) as consul:
                        return len((await consul.instances("calculator", passing=True)).value) == 3

                await eventually(all_there, timeout=60, ignore=(MeshwrightError,))
                await load.more(100)
            assert not load.failures
            status = (await client.get(f"{demo.url('controlplane')}/debug")).json()
            assert status["consul"]["connected"]


async def leader_and_followers(servers: list[ClusterServer]) -> tuple[ClusterServer, list[ClusterServer]]:
    """Which of the servers leads, and which do not."""
    leading = ""

    async def elected() -> bool:
        nonlocal leading
        async with Consul(servers[0].config) as consul:
            leading = await consul.leader()
        return bool(leading)

    await eventually(elected, timeout=60, ignore=(MeshwrightError,))
    (leader,) = [server for server in servers if str(server.rpc) == leading]
    return leader, [server for server in servers if server is not leader]


async def is_led(server: ClusterServer, *, without: ClusterServer) -> bool:
    """Whether a server knows a leader that is another one than `without`."""
    with contextlib.suppress(MeshwrightError):
        async with Consul(server.config) as consul:
            return await consul.leader() not in ("", str(without.rpc))
    return False
