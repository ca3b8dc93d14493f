"""What changed in Consul since it was last read, as its blocking queries tell.

Eight of them, however many services there are: all checks, the list of services, each kind of config entry, the
policies. Each answer marks what it concerns (see `change_tracker`) as stale; a pass takes what is stale and reads it.

Two changes leave no trace in what we watch: a further instance without checks, and an instance that registered again
with other metadata. Both move the index of the list of services, so a move that nothing explains is followed by a
*sweep* that reads every service once more (see `resync_scheduler`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from meshwright.controlplane.consul_source.change_tracker import KINDS, SERVICE_DEFAULTS, ChangeTracker, checked_key
from meshwright.controlplane.consul_source.resync_scheduler import ResyncScheduler
from meshwright.controlplane.consul_source.watches import Query
from meshwright.controlplane.model import upstream_config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshwright.consul import CheckState, Consul, Indexed, KvPair
    from meshwright.controlplane.consul_source.policies import Policies
    from meshwright.controlplane.consul_source.reader import Reader
    from meshwright.controlplane.model.upstream_config import CallerRules
    from meshwright.model import ServiceName


class Stale(NamedTuple):
    """What is to be read again: services whose instances, and services whose chains."""

    services: frozenset[ServiceName]
    chains: frozenset[ServiceName]


class Changes:
    """What is stale, and `wake`, which is set when there is something to do."""

    def __init__(self, consul: Consul, reader: Reader, policies: Policies) -> None:
        self.wake = asyncio.Event()
        self.tracker = ChangeTracker()
        """What Consul lists now."""
        self.callers: Mapping[ServiceName, CallerRules] = {}
        self._consul = consul
        self._reader = reader
        self._policies = policies
        self._scheduler = ResyncScheduler()
        self._services: set[ServiceName] = set()
        self._chains: set[ServiceName] = set()

    def queries(self) -> dict[str, Query]:
        """The blocking queries, by name."""
        consul = self._consul
        queries = {
            "checks": Query(consul.check_states, self._see_checks),
            "services": Query(consul.services, self._see_services),
            "policies": Query(self._reader.read_policies, self._see_policies),
        }
        return queries | {kind: self._entries_query(kind) for kind in KINDS}

    @property
    def sweep_at(self) -> float | None:
        """When every service may be read once more, on the loop's clock; None: not until Consul's index moves."""
        return self._scheduler.at

    def sweep(self) -> None:
        """Every service is stale where a sweep is due."""
        if self._scheduler.due(asyncio.get_running_loop().time()):
            self._services |= self._reader.services

    def take(self) -> Stale:
        """What is stale; it is taken for read from now on."""
        taken = Stale(frozenset(self._services), frozenset(self._chains))
        self._services, self._chains = set(), set()
        return taken

    def give_back(self, stale: Stale) -> None:
        """This could not be read."""
        self._services |= stale.services
        self._chains |= stale.chains

    def read_again(self, services: frozenset[ServiceName]) -> None:
        """Instances and chains of these are stale."""
        self.give_back(Stale(services, services))
        self.wake.set()

    def read_all(self) -> None:
        """Anything may be different."""
        self.give_back(Stale(self._reader.services, frozenset(self._reader.chains)))
        self.wake.set()

    async def look_around(self) -> None:
        """Take in what Consul lists now; what that does not tell is not read for it. Raises `ConsulError` and
        `UnreachableError`."""
        checks, services = await self._consul.check_states(), await self._consul.services()
        self._take_in_checks(checks)
        self._services |= self.tracker.see_services(services.value)
        if self._services:
            self.wake.set()

    @property
    def _are_there(self) -> bool:
        return bool(self._services or self._chains or self._policies.changed)

    def _entries_query(self, kind: str) -> Query:
        def see(answer: Indexed[tuple[dict[str, Any], ...]]) -> bool:
            self._chains |= self.tracker.see_entries(kind, answer.value)
            if kind == SERVICE_DEFAULTS:
                self.callers = upstream_config.read(answer.value)
            return self._are_there

        return Query(lambda blocking: self._consul.config_entries(kind, blocking), see)

    def _take_in_checks(self, answer: Indexed[tuple[CheckState, ...]]) -> None:
        touched = self.tracker.see_checks(answer.value)
        if touched:
            self._scheduler.explain(answer.index)
        self._services |= touched

    def _see_checks(self, answer: Indexed[tuple[CheckState, ...]]) -> bool:
        self._take_in_checks(answer)
        return self._are_there

    def _see_services(self, answer: Indexed[dict[ServiceName, tuple[str, ...]]]) -> bool:
        self._services |= self.tracker.see_services(answer.value)
        checked = self.tracker.checked
        for target, instances in self._reader.instances.items():
            if any(checked_key(instance.node, instance.id) not in checked for instance in instances):
                self._services.add(target.service)
        self._scheduler.moved(answer.index, asyncio.get_running_loop().time())
        return True  # a sleeping pass does not know yet that a sweep will be due

    def _see_policies(self, answer: Indexed[tuple[KvPair, ...]]) -> bool:
        self._policies.see(answer.value)
        return self._are_there
