"""What the tests of the source share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshwright.consul import CheckState
from meshwright.model import Health, InstanceId
from support.controlplane.plane import plain_chain
from unit.ads.scripted_consul import USER, Consul, Following, followed, instance

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def consul() -> Consul:
    made = Consul()
    made.chains["user"] = plain_chain(USER)
    made.lists["user", ""] = (instance(),)
    check = CheckState("n", "c1", USER, InstanceId("user-1"), Health.PASSING, 11)
    await made.put("checks", (check,))
    await made.put("services", {USER: ()})
    return made


@pytest.fixture
async def following(consul: Consul) -> AsyncIterator[Following]:
    async with followed(consul) as made:
        yield made
