"""The chains that the tests of translation use are those that Consul compiles, real or stand-in."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from meshwright.controlplane.chain import parse_chain
from support.chains import USER, names, recorded
from support.record_chains import compiled

if TYPE_CHECKING:
    from support.consul import ConsulServer


async def test_consul_compiles_what_was_recorded(any_consul: ConsulServer) -> None:
    found = dict(await asyncio.to_thread(lambda: list(compiled(str(any_consul.address)))))
    assert sorted(found) == names()
    for name, chain in found.items():
        assert parse_chain(USER, chain) == parse_chain(USER, recorded(name)), name
        assert nodes(chain) == nodes(recorded(name)), name


def nodes(chain: dict[str, Any]) -> Any:
    """The graph; the targets' SNI holds the trust domain, which every Consul makes up anew."""
    return chain["StartNode"], chain["Protocol"], chain["Nodes"]
