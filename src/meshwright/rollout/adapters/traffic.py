"""`Traffic` on Consul: health by version from the catalog, the routing from and to the config entries."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from meshwright.consul import ConsulError
from meshwright.errors import MeshwrightError
from meshwright.model import Health
from meshwright.rollout.api.observed import TrafficState, Trouble
from meshwright.rollout.reconcile import config_entries

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from meshwright.consul import Consul
    from meshwright.model import Instance
    from meshwright.rollout.api.routing import Routing
    from meshwright.rollout.api.spec import Rollout

_MOST_SERVICES = 100
"""The number of services searched for an instance registered under another name."""
_ROUNDS = 8
"""Rounds of writes: subsets, entries, cleanup; three without conflicts."""


class ContestedError(MeshwrightError):
    """Other clients kept changing the same entries."""


class ConsulTraffic:
    """`meshwright.rollout.ports.Traffic` on one Consul."""

    def __init__(self, consul: Consul) -> None:
        self._consul = consul

    async def observe(self, rollout: Rollout) -> TrafficState:
        """The healthy instances and the routing in the config entries."""
        instances, entries = await asyncio.gather(
            self._consul.instances(rollout.service, passing=True), self._entries(rollout)
        )
        entries.check_owner()
        healthy = Counter(instance.version for instance in instances.value)
        return TrafficState(dict(healthy), config_entries.read(entries))

    async def explain(self, rollout: Rollout, version: str, addresses: Sequence[str]) -> tuple[Trouble, ...]:
        """Why instances of the version at these addresses, ready by their own status, are not healthy in Consul."""
        mine = (await self._consul.instances(rollout.service)).value
        found: dict[str, Trouble] = {}
        for address in addresses:
            here = [one for one in mine if _is_at(one, address)]
            if any(one.version == version and one.health is Health.PASSING for one in here):
                continue
            trouble = _misregistered(version, here) or await self._elsewhere(rollout.service, address)
            found.setdefault(trouble.reason, trouble)
        return tuple(found.values())

    async def _elsewhere(self, service: str, address: str) -> Trouble:
        """Registered under another name, or not at all."""
        names = [name for name in (await self._consul.services()).value if name not in (service, "consul")]
        for name in names[:_MOST_SERVICES]:
            for one in (await self._consul.instances(name)).value:
                if _is_at(one, address):
                    text = f"it runs at {address} and is registered as the service {name}, not as {service}"
                    return Trouble(f"instance {one.id}", "OtherServiceName", text)
        text = f"what runs at {address} is ready, and no service of Consul is registered there"
        return Trouble(f"instance at {address}", "NotRegistered", text)

    async def route(self, rollout: Rollout, routing: Routing) -> None:
        """Writes the routing to the config entries; keeps the parts of other writers."""
        await self._converge(rollout, lambda entries: config_entries.writes(entries, routing))

    async def release(self, rollout: Rollout) -> None:
        """Removes this rollout's part from the config entries."""
        await self._converge(rollout, config_entries.release)

    async def _entries(self, rollout: Rollout) -> config_entries.Entries:
        found = await asyncio.gather(
            *(self._consul.config_entry(kind, rollout.service) for kind in config_entries.KINDS)
        )
        owner = f"{rollout.namespace}/{rollout.name}"
        return config_entries.Entries(rollout.service, owner, dict(zip(config_entries.KINDS, found, strict=True)))

    async def _converge(
        self, rollout: Rollout, step: Callable[[config_entries.Entries], tuple[config_entries.Write, ...]]
    ) -> None:
        """Writes what can be written and reads again, until nothing is left; a changed entry is read anew."""
        for _ in range(_ROUNDS):
            pending = step(await self._entries(rollout))
            if not pending:
                return
            for write in pending:
                try:
                    if not await self._write(write):
                        break
                except ConsulError:
                    if not write.is_tidying:
                        raise
                    return
        raise ContestedError(f"the config entries of {rollout.service} keep changing under the rollout's hands")

    async def _write(self, write: config_entries.Write) -> bool:
        if write.entry is None:
            await self._consul.delete_config_entry(write.kind, write.name)
            return True
        return await self._consul.put_config_entry(write.entry, cas=write.cas)


def _is_at(instance: Instance, address: str) -> bool:
    return address in (instance.address.host, str(instance.address))


def _misregistered(version: str, here: Sequence[Instance]) -> Trouble | None:
    """The problems of the service's registrations at an address."""
    # This version first: its address may still have the registration of an earlier process.
    for one in sorted(here, key=lambda one: one.version != version):
        if one.version != version:
            said = f"as version {one.version}" if one.version else "without a version"
            text = f"it runs at {one.address} and is registered {said} (meta `version`), not as {version}"
            return Trouble(f"instance {one.id}", "OtherVersion", text)
        text = f"it is registered at {one.address}, and its check in Consul is {one.health.value}"
        return Trouble(f"instance {one.id}", "CheckFailing", text)
    return None
