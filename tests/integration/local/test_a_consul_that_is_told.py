"""The Consul that `up` is told of, or finds: what is wrong with it is said in one line, before anything starts."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from meshwright.errors import ValidationError
from meshwright.local.planner import consul_probe
from meshwright.local.planner.component_source import ComponentSource
from support.consul.servers import find_consul, real_consul

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.consul.servers import ConsulProcess

pytestmark = pytest.mark.skipif(
    find_consul() is None, reason="no real Consul here: scripts/tools.d/consul.sh fetches one"
)


@pytest.fixture
async def without_connect() -> AsyncIterator[ConsulProcess]:
    """As Consul is without a configuration of Connect; its developer mode switches it on."""
    async with real_consul(keeps_state=True, connect={"enabled": False}) as server:
        yield server


async def test_a_consul_without_connect_is_refused_in_one_line(without_connect: ConsulProcess) -> None:
    origin = ComponentSource(dev=False, address=str(without_connect.address), why="CONSUL_HTTP_ADDR")
    with pytest.raises(ValidationError) as caught:
        await consul_probe.check(origin, {})
    (problem,) = caught.value.violations
    assert problem.path == "CONSUL_HTTP_ADDR"
    assert problem.message.endswith("set connect { enabled = true } on its servers")
    assert "\n" not in problem.message


async def test_a_consul_that_denies_everything_to_strangers_is_found_and_used_with_a_token() -> None:
    token = str(uuid.uuid4())
    async with real_consul(token=token) as server:
        origin = await consul_probe.find(server.address.port)
        assert (origin.dev, origin.address) == (False, str(server.address))
        assert "not shown" in origin.why
        for environment in ({}, {"CONSUL_HTTP_TOKEN": token}):
            await consul_probe.check(origin, environment)
