"""The traffic rules behind the gate of the Lease: Consul is shared with the next holder of the Lease."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from meshwright.rollout.api.observed import TrafficState, Trouble
    from meshwright.rollout.api.routing import Routing
    from meshwright.rollout.api.spec import Rollout
    from meshwright.rollout.ports import Traffic


class GatedTraffic:
    """`meshwright.rollout.ports.Traffic`, whose writes pass `acting`."""

    def __init__(self, traffic: Traffic, acting: Callable[[str], AbstractAsyncContextManager[None]]) -> None:
        self._traffic = traffic
        self._acting = acting

    async def observe(self, rollout: Rollout) -> TrafficState:
        return await self._traffic.observe(rollout)

    async def explain(self, rollout: Rollout, version: str, addresses: Sequence[str]) -> tuple[Trouble, ...]:
        return await self._traffic.explain(rollout, version, addresses)

    async def route(self, rollout: Rollout, routing: Routing) -> None:
        async with self._acting(rollout.namespace):
            await self._traffic.route(rollout, routing)

    async def release(self, rollout: Rollout) -> None:
        async with self._acting(rollout.namespace):
            await self._traffic.release(rollout)
