"""The control plane under a token whose rules change while it runs: the real Consul denies by default."""

from __future__ import annotations

import dataclasses
import uuid
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from meshwright.consul import Consul
from meshwright.controlplane import serving
from support.consul.servers import find_consul, real_consul
from support.controlplane.plane import backend, page, plane_config, registration
from support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from meshwright.config import ConsulConfig

WITH_NODES = """
node_prefix "" { policy = "read" }
service_prefix "" { policy = "read" }
key_prefix "meshwright/" { policy = "read" }
"""
WITHOUT_NODES = WITH_NODES.replace('node_prefix "" { policy = "read" }', "")

pytestmark = pytest.mark.skipif(find_consul() is None, reason="needs a real Consul: scripts/tools.d/consul.sh")


class Acl:
    """One policy and a token with it."""

    def __init__(self, config: ConsulConfig) -> None:
        self._config = config
        self._policy = ""

    async def token(self, rules: str) -> str:
        self._policy = (await self._put("policy", {"Name": "plane", "Rules": rules}))["ID"]
        return str((await self._put("token", {"Policies": [{"Name": "plane"}]}))["SecretID"])

    async def allow(self, rules: str) -> None:
        await self._put(f"policy/{self._policy}", {"ID": self._policy, "Name": "plane", "Rules": rules})

    async def _put(self, path: str, document: dict[str, Any]) -> Any:
        url = f"http://{self._config.address}/v1/acl/{path}"
        headers = {"X-Consul-Token": self._config.token or ""}
        async with aiohttp.ClientSession() as session, session.put(url, json=document, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()


async def test_what_a_token_may_not_read_for_a_while_costs_no_endpoint(tmp_path: Path) -> None:
    async with real_consul(tmp_path, token=str(uuid.uuid4())) as server, Consul(server.config) as consul:
        acl = Acl(server.config)
        config = dataclasses.replace(server.config, token=await acl.token(WITH_NODES))
        async with (
            serving(plane_config(config, recovery_seconds=3.0)) as bound,
            backend("one") as one,
            backend("two") as two,
        ):
            counts: list[int] = []

            async def endpoints() -> int:
                _, document = await page(bound.debug, "/debug/snapshot?type=endpoints&service=calc")
                return str(document).count("port_value")

            async def problems() -> str:
                counts.append(await endpoints())
                return str((await page(bound.debug, "/debug/problems"))[1]["problems"])

            async def noticed() -> bool:
                # A blocking query is answered by a change alone: something must move while the rules are away.
                await consul.maintenance(one.id, True)
                await consul.maintenance(one.id, False)
                return "does the token have node:read?" in await problems()

            for each in (one, two):
                await consul.register(registration(each))
            await eventually(lambda: _equals(endpoints(), 2))
            await acl.allow(WITHOUT_NODES)
            await eventually(noticed, every=0.2)
            await acl.allow(WITH_NODES)
            await eventually(lambda: _equals(problems(), "[]"), timeout=15)
            counts.append(await endpoints())
            assert set(counts) == {2}
            await consul.deregister(two.id)
            await eventually(lambda: _equals(endpoints(), 1))


async def _equals(found: Any, wanted: Any) -> bool:
    return bool(await found == wanted)
