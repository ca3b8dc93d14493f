"""Reads chains and instance lists from Consul, those that are stale or missing, some at a time.

What did not change keeps its object, which is what `translate` compares first. Where Consul answers with an error for
one of them (a chain that it cannot compile, a filter that it refuses: it says 500 to both), that one keeps its last
good value and becomes a problem, and the others go on; it is read again after a while. Only a Consul that does not
answer at all ends the reading.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from meshwright.consul import ConsulError
from meshwright.controlplane.consul_source.change_tracker import CONSUL_ITSELF
from meshwright.controlplane.model.catalog import Target, targets
from meshwright.controlplane.model.policy import KV_PREFIX
from meshwright.errors import ValidationError, Violation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Set

    from meshwright.consul import Blocking, Consul, Indexed, KvPair
    from meshwright.controlplane.metrics import Metrics
    from meshwright.controlplane.problems import Problems
    from meshwright.model import Instance, ServiceName

    Chain = Mapping[str, Any]

K = TypeVar("K")

CONCURRENCY = 16


class Reader:
    """The chains and instances as they were last read."""

    def __init__(self, consul: Consul, metrics: Metrics, problems: Problems) -> None:
        self.chains: dict[ServiceName, Mapping[str, Any]] = {}
        self.instances: dict[Target, tuple[Instance, ...]] = {}
        self.refused: set[ServiceName] = set()
        """Services of which something could not be read, to be tried again."""
        self.emptied: dict[Target, tuple[Instance, ...]] = {}
        """Lists of which the last answer has nothing, as they were before."""
        self.unread: set[Target] = set()
        """Lists that Consul has refused from the start: empty, because nothing better is known."""
        self.withheld: set[ServiceName] = set()
        """Services that Consul does not list any more, and of which it forbids to be asked."""
        self.without_connect = False
        """Whether Consul compiles no chains at all."""
        self._consul = consul
        self._metrics = metrics
        self._problems = problems
        self._known: dict[int, tuple[Mapping[str, Any], frozenset[Target]]] = {}
        self._uncompiled: set[ServiceName] = set()
        self._kept: set[Target] = set()
        """Lists that are as they were before the last answer, which had nothing."""
        self._limit = asyncio.Semaphore(CONCURRENCY)

    @property
    def services(self) -> frozenset[ServiceName]:
        """Those whose instances are read."""
        return frozenset(target.service for target in self.instances)

    async def look_for_connect(self) -> None:
        """Read a chain that there always is, to know `without_connect`. Raises `UnreachableError`."""
        self.without_connect = False
        try:
            await self._consul.discovery_chain(CONSUL_ITSELF)
        except ConsulError as error:
            self.without_connect = error.without_connect

    async def read_policies(self, blocking: Blocking) -> Indexed[tuple[KvPair, ...]]:
        """All policy documents. An error where the token may not read them: Consul's list is only empty then."""
        answer = await self._consul.kv_list(KV_PREFIX, blocking)
        if not answer.value:
            await self._consul.kv_get(KV_PREFIX)
        return answer

    async def look_for(self, names: Set[ServiceName]) -> None:
        """Tell of these, which are not listed any more, which are gone and which the token may not read any more.

        Consul lists what the token may read, in silence, but forbids to ask for the chain of anything else.
        """
        self.withheld &= names
        await self._each(sorted(names), self._look_for)

    async def read_chains(self, names: Set[ServiceName], stale: Set[ServiceName]) -> None:
        """Make `chains` those of `names`; those that are withheld stay. Raises `UnreachableError`."""
        self.withheld -= names
        for name in (self.chains.keys() | self._uncompiled) - names - self.withheld:
            self.chains.pop(name, None)
            self._uncompiled.discard(name)
            self._problems.clear(f"chain of {name}")
        wanted = (stale & names) | (names - self.chains.keys())
        await self._each(sorted(wanted), self._read_chain)

    async def read_instances(
        self, chains: Iterable[Chain], stale: Set[ServiceName], upheld: Set[Target] = frozenset()
    ) -> None:
        """Make `instances` those that `chains` need, and those `upheld`. Raises `UnreachableError`."""
        self.emptied.clear()
        needed = self._needed(chains) | upheld
        topics = {_topic(target) for target in needed}
        for target in self.instances.keys() - needed:
            del self.instances[target]
            self.unread.discard(target)
            self._kept.discard(target)
            if _topic(target) not in topics:
                self._problems.clear(_topic(target))
        lists: dict[tuple[ServiceName, str], list[Target]] = {}
        for target in sorted(needed):
            if target.service in stale or target not in self.instances:
                lists.setdefault((target.service, target.filter), []).append(target)
        await self._each(list(lists), lambda key: self._read_list(*key, lists[key]))

    def is_read(self, chain: Chain) -> bool:
        """Whether the list of each of the chain's targets has been read once."""
        return not self.unread or self.unread.isdisjoint(targets(chain))

    def take_back(self) -> None:
        """No list that became empty is to be believed: they are as before."""
        for target in self.emptied:
            self._keep(target)

    async def keep_hidden(self, listed: Set[ServiceName]) -> None:
        """Lists that became empty are as before where the token may not read them: where the service is withheld, or is
        one of those `listed`, which have an instance, and shows none. Raises `ConsulError` and `UnreachableError`."""
        shown: dict[ServiceName, bool] = {}
        await self._each(sorted({target.service for target in self.emptied} - listed), self._look_for)
        for target in self.emptied:
            service = target.service
            if service in listed and service not in shown:
                shown[service] = bool(target.filter and (await self._consul.instances(service)).value)
            if service in self.withheld or not shown.get(service, True):
                self._keep(target)

    def hidden(self, listed: Set[ServiceName]) -> frozenset[ServiceName]:
        """Those of the `listed` services that have instances, none of which was shown when they were last read."""
        empty = {target for target, found in self.instances.items() if not found and not target.filter} | self._kept
        return frozenset(target.service for target in empty if target.service in listed)

    def _keep(self, target: Target) -> None:
        self.instances[target] = self.emptied[target]
        self._kept.add(target)

    async def _look_for(self, name: ServiceName) -> None:
        self.withheld.discard(name)
        try:
            await self._consul.discovery_chain(name)
        except ConsulError as error:
            if error.forbidden:
                self.withheld.add(name)
                self._refuse(name, f"chain of {name}", error)

    async def _read_chain(self, name: ServiceName) -> None:
        topic = f"chain of {name}"
        self._metrics.fetches.labels("chain").inc()
        try:
            chain = (await self._consul.discovery_chain(name)).value
        except (ConsulError, ValidationError) as error:
            if isinstance(error, ConsulError) and error.without_connect:
                self.without_connect = True
                return
            self._uncompiled.add(name)
            self._refuse(name, topic, error)
            return
        self._uncompiled.discard(name)
        self._problems.clear(topic)
        if self.chains.get(name) != chain:
            self.chains[name] = chain

    async def _read_list(self, service: ServiceName, expression: str, users: list[Target]) -> None:
        topic = _topic(users[0])
        self._metrics.fetches.labels("instances").inc()
        try:
            instances = (await self._consul.instances(service, filter=expression)).value
        except (ConsulError, ValidationError) as error:
            self._refuse(service, topic, error)
            for target in users:
                if target not in self.instances:
                    self.instances[target] = ()
                    self.unread.add(target)
            return
        self.unread.difference_update(users)
        self._kept.difference_update(users)
        self._problems.clear(topic)
        for target in users:
            if not instances and self.instances.get(target):
                self.emptied[target] = self.instances[target]
            if self.instances.get(target) != instances:
                self.instances[target] = instances

    def _refuse(self, service: ServiceName, topic: str, error: ConsulError | ValidationError) -> None:
        if isinstance(error, ConsulError):
            self.refused.add(service)
        self._problems.add(topic, Violation(topic, str(error)))

    def _needed(self, chains: Iterable[Chain]) -> frozenset[Target]:
        """The targets of all chains, worked out once for each chain object."""
        known = self._known
        self._known = {}
        for chain in chains:
            entry = known.get(id(chain))
            self._known[id(chain)] = entry if entry and entry[0] is chain else (chain, targets(chain))
        return frozenset[Target]().union(*(entry[1] for entry in self._known.values()))

    async def _each(self, keys: list[K], read: Callable[[K], Awaitable[None]]) -> None:
        async def limited(key: K) -> None:
            async with self._limit:
                await read(key)

        results = await asyncio.gather(*map(limited, keys), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result


def _topic(target: Target) -> str:
    return f"instances of {target.service}" + (f" where {target.filter}" if target.filter else "")
