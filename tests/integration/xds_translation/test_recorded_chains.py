"""The chains that the tests of translation use are those that Consul compiles, real or stand-in."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from meshwright.controlplane.translation.chain import parse_chain
from support.chains import USER, names, newer, recorded
from support.consul import real_consul
from support.newer_chains import ENTERPRISE, NEWER, OLDEST, version_of_consul
from support.record_chains import compiled

if TYPE_CHECKING:
    from pathlib import Path

    from support.consul import ConsulServer


async def test_consul_compiles_what_was_recorded(any_consul: ConsulServer) -> None:
    if any_consul.name == "real" and version_of_consul() >= (1, 9):
        pytest.skip("the chains were recorded from Consul 1.8; newer ones call targets and nodes otherwise")
    found = dict(await asyncio.to_thread(lambda: list(compiled(str(any_consul.address)))))
    assert sorted(found) == names()
    for name, chain in found.items():
        assert parse_chain(USER, chain) == parse_chain(USER, recorded(name)), name
        assert nodes(chain) == nodes(recorded(name)), name


async def test_a_newer_consul_compiles_what_was_recorded(tmp_path: Path) -> None:
    if version_of_consul() < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        pytest.skip(f"the chains of newer Consuls need Consul {oldest} or newer on PATH")
    scenarios = {name: entries for name, entries in NEWER.items() if name not in ENTERPRISE}
    async with real_consul(tmp_path) as server:
        found = dict(await asyncio.to_thread(lambda: list(compiled(str(server.address), scenarios))))
    for name, chain in found.items():
        assert parse_chain(USER, chain) == parse_chain(USER, newer(name)), name
        assert nodes(chain) == nodes(newer(name)), name


def nodes(chain: dict[str, Any]) -> Any:
    """The graph; the targets' SNI holds the trust domain, which every Consul makes up anew."""
    return chain["StartNode"], chain["Protocol"], chain["Nodes"]
