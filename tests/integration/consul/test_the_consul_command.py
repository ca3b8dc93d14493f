"""Consul's own command line on the dev Consul: what it has works, and what it has not says so."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from support.consul.servers import ConsulServer, dev_consul, find_consul

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.skipif(
    find_consul() is None, reason="no real Consul here: scripts/tools.d/consul.sh fetches one"
)


@pytest.fixture
async def registry() -> AsyncIterator[ConsulServer]:
    async with dev_consul() as server:
        yield server


async def consul(server: ConsulServer, *arguments: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        str(find_consul()),
        *arguments,
        env={"CONSUL_HTTP_ADDR": str(server.address)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 20)
    return process.returncode, output.decode()


MISSING = {
    "operator raft list-peers": "/v1/operator/raft/configuration",
    "acl token list": "/v1/acl/tokens",
    "intention check a b": "/v1/connect/intentions/check",
    "event -name deploy": "/v1/event/fire/deploy",
    "monitor": "/v1/agent/monitor",
    "snapshot save nowhere.snap": "/v1/snapshot",
    "connect ca get-config": "/v1/connect/ca/configuration",
    "rtt a b": "/v1/coordinate/nodes",
    "keyring -list": "/v1/operator/keyring",
    "leave": "/v1/agent/leave",
}


async def test_what_the_dev_registry_has_not_is_named_by_the_command(registry: ConsulServer) -> None:
    async def check(command: str, endpoint: str) -> None:
        code, said = await consul(registry, *command.split())
        assert code
        assert f"404 (the dev Consul has no {endpoint})" in said, said

    await asyncio.gather(*(check(command, endpoint) for command, endpoint in MISSING.items()))


async def test_what_it_has_works(registry: ConsulServer) -> None:
    for command, shown in {
        "members": "meshwright",
        "info": "leader = true",
        "catalog nodes -detailed": "consul-network-segment=",
        "catalog services -tags": "consul",
        "services register -name web -port 80": "Registered service: web",
        "kv put a/b c": "Success!",
        "kv get a/b": "c",
        "config list -kind service-defaults": "",
        "watch -type service -service WEB": '"Service": "web"',
        "services deregister -id web": "Deregistered service: web",
    }.items():
        code, said = await consul(registry, *command.split())
        assert code == 0, said
        assert shown in said, said
