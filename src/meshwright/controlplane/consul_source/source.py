"""Watches Consul and yields the state of the mesh, whole, whenever it changed.

Eight blocking queries, however many services there are: all checks, the list of services, each kind of config entry,
the policies. Each wake names what it concerns (see `tracker`); one pass then reads that again, some queries at a time,
and yields a catalog. A single change is read at once; those that come within the debounce after a pass share the next.

Two changes leave no trace in what we watch: a further instance without checks, and an instance that registered again
with other metadata. Both move the index of the list of services, so a move that nothing explains is followed by a
*sweep* that reads every service once more.

A change of the token's rules wakes no blocking query and moves no index: it shows only where a query is answered. So
the queries wait for `WAIT` at most, and an answer that differs at the same index is followed by a read of everything.

Nothing is yielded before the first whole state. What Consul says after it was away is believed only as far as `guard`
allows: at the end of a recovery every watch starts over and everything is read afresh, and that is what is believed. A
chain that Consul cannot compile, a filter it refuses, a policy that is not valid: the last good one stays, and the
problem is shown. So it is with everything while the token may read no node at all: Consul filters lists by its rights,
in silence, and a view that is filtered so is not true.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from meshwright.consul import NEEDS_CONNECT, ConsulError
from meshwright.controlplane.consul_source.change_tracker import KINDS, SERVICE_DEFAULTS, ChangeTracker, checked_key
from meshwright.controlplane.consul_source.policies import Policies
from meshwright.controlplane.consul_source.reader import Reader
from meshwright.controlplane.consul_source.reread_timer import Again
from meshwright.controlplane.consul_source.resync_scheduler import ResyncScheduler
from meshwright.controlplane.consul_source.state_loss_guard import StateLossGuard
from meshwright.controlplane.consul_source.visibility import Hidden
from meshwright.controlplane.consul_source.watches import Listener, Query, Watches
from meshwright.controlplane.model import upstream_config
from meshwright.controlplane.model.catalog import Catalog
from meshwright.controlplane.problems import Problems
from meshwright.errors import UnreachableError, Violation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from meshwright.consul import CheckState, Consul, Indexed, KvPair
    from meshwright.controlplane.metrics import Metrics
    from meshwright.controlplane.model.catalog import Target
    from meshwright.controlplane.model.upstream_config import CallerRules
    from meshwright.model import InstanceId, ServiceName

RETRY = 0.25
"""Seconds before a pass that failed is tried again."""
RETRY_REFUSED = 5.0
"""Seconds before something to which Consul answered with an error is read again."""
RETRY_UNREADABLE = 1.0
"""Seconds before a Consul of which the token may read nothing is looked at again: no watch wakes for rights."""
_RIGHTS = "rights of the token"
_CONNECT = "Consul"
_HIDDEN = "hidden services"
_NAMES = "names"

log = logging.getLogger(__name__)


class Source:
    """One mesh in one Consul. Iterate `catalogs()` once."""

    def __init__(self, consul: Consul, metrics: Metrics, *, debounce: float = 0.02, recovery: float = 60.0) -> None:
        """`debounce`: seconds in which changes share a pass. `recovery`: seconds for which a lost state is kept."""
        self.problems = Problems()
        self.guard = StateLossGuard(recovery)
        self.synced = False
        self._consul = consul
        self._metrics = metrics
        self._debounce = debounce
        self._tracker = ChangeTracker()
        self._policies = Policies(self.problems)
        self._reader = Reader(consul, metrics, self.problems)
        self._published: Catalog | None = None
        self._good: dict[ServiceName, Mapping[str, Any]] = {}
        """Of each service the last chain all of whose lists could be read."""
        self._callers: Mapping[ServiceName, CallerRules] = {}
        self._upheld: frozenset[Target] = frozenset()
        self._watches = Watches(self._queries(), metrics, Listener(self._wake_up, self._doubt, self._read_all))
        self._stale_services: set[ServiceName] = set()
        self._stale_chains: set[ServiceName] = set()
        self._wake = asyncio.Event()
        self._scheduler = ResyncScheduler()
        self._hidden = Hidden()
        self._refused_again = Again(RETRY_REFUSED, self._read_again)
        self._hidden_again = Again(RETRY_UNREADABLE, self._read_again)
        self._said_held: frozenset[ServiceName] = frozenset()

    @property
    def published(self) -> Catalog | None:
        """The state of the mesh that was yielded last; None before the first."""
        return self._published

    @property
    def errors(self) -> Mapping[str, str]:
        """The blocking queries that fail now, and why."""
        return self._watches.errors

    @property
    def connected(self) -> bool:
        """Whether every blocking query works."""
        return not self.errors

    @property
    def sweep_at(self) -> float | None:
        """When every service may be read once more, on the loop's clock; None: not until Consul's index moves."""
        return self._scheduler.at

    @property
    def checked(self) -> frozenset[tuple[str, InstanceId]]:
        """The instances that have checks, each as its node and id."""
        return self._tracker.checked

    async def catalogs(self) -> AsyncIterator[Catalog]:
        """The state of the mesh, now and whenever it changes."""
        loop = asyncio.get_running_loop()
        self._watches.start()
        try:
            last = -self._debounce
            while True:
                await self._woken()
                await asyncio.sleep(max(0.0, last + self._debounce - loop.time()))
                catalog = await self._pass()
                last = loop.time()
                if catalog is not None:
                    yield catalog
        finally:
            self._refused_again.cancel()
            self._hidden_again.cancel()
            await self._watches.stop()

    def uphold(self, targets: frozenset[Target]) -> None:
        """Go on reading these lists: what is in force needs them, even where the chains that Consul has now do not."""
        self._upheld = targets

    # Watching

    def _queries(self) -> dict[str, Query]:
        consul = self._consul
        queries = {
            "checks": Query(consul.check_states, self._see_checks),
            "services": Query(consul.services, self._see_services),
            "policies": Query(self._reader.read_policies, self._see_policies),
        }
        return queries | {kind: self._entries_query(kind) for kind in KINDS}

    def _entries_query(self, kind: str) -> Query:
        def see(answer: Indexed[tuple[dict[str, Any], ...]]) -> bool:
            self._stale_chains |= self._tracker.see_entries(kind, answer.value)
            if kind == SERVICE_DEFAULTS:
                self._callers = upstream_config.read(answer.value)
            return self._is_stale

        return Query(lambda blocking: self._consul.config_entries(kind, blocking), see)

    @property
    def _is_stale(self) -> bool:
        return bool(self._stale_services or self._stale_chains or self._policies.changed)

    def _wake_up(self) -> None:
        self._wake.set()

    def _doubt(self, reason: str, said: bool) -> None:
        if not said:
            log.warning("%s: Consul may have lost its state", reason)
        self.guard.suspect(reason, asyncio.get_running_loop().time())
        self._read_all()

    def _read_all(self) -> None:
        self._stale_services |= self._reader.services
        self._stale_chains |= self._reader.chains.keys()
        self._wake.set()

    def _see_checks(self, answer: Indexed[tuple[CheckState, ...]]) -> bool:
        touched = self._tracker.see_checks(answer.value)
        if touched:
            self._scheduler.explain(answer.index)
        self._stale_services |= touched
        return self._is_stale

    def _see_services(self, answer: Indexed[dict[ServiceName, tuple[str, ...]]]) -> bool:
        self._stale_services |= self._tracker.see_services(answer.value)
        checked = self.checked
        for target, instances in self._reader.instances.items():
            if any(checked_key(instance.node, instance.id) not in checked for instance in instances):
                self._stale_services.add(target.service)
        self._scheduler.moved(answer.index, asyncio.get_running_loop().time())
        return True  # a sleeping pass does not know yet that a sweep will be due

    def _see_policies(self, answer: Indexed[tuple[KvPair, ...]]) -> bool:
        self._policies.see(answer.value)
        return self._is_stale

    # Waking

    async def _woken(self) -> None:
        """Until there is something to do: a wake, a sweep that is due, or the end of a recovery."""
        loop = asyncio.get_running_loop()
        while True:
            times = [time for time in (self.sweep_at, self.guard.until) if time is not None]
            timeout = max(0.0, min(times) - loop.time()) if times and not self._watches.awaited else None
            try:
                async with asyncio.timeout(timeout):
                    await self._wake.wait()
            except TimeoutError:
                if self._scheduler.due(loop.time()):
                    self._stale_services |= self._reader.services
            if not self._watches.awaited and self.guard.wants_proof(loop.time()):
                self._watches.refresh()
                self._read_all()
            self._wake.clear()
            self._watches.raise_failure()
            if not self._watches.awaited:
                return

    # Reading

    async def _pass(self) -> Catalog | None:
        """Read what is stale. None where nothing changed, or where Consul could not be asked."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        if self._tracker.unreadable:
            await self._wait_for_rights()
            return None
        services, self._stale_services = self._stale_services, set()
        chains, self._stale_chains = self._stale_chains, set()
        try:
            if not self.synced or self._reader.without_connect:
                await self._reader.look_for_connect()
            if not await self._knows_who_went():
                return None
            await self._reader.read_chains(self._tracker.names, chains)
            needing = (*self.guard.chains(self._reader.chains).values(), *self._good.values())
            await self._reader.read_instances(needing, services, self._upheld)
            if self._reader.emptied and not await self._believes_empty():
                return None
        except UnreachableError as error:
            self._stale_services |= services
            self._stale_chains |= chains
            log.debug("reading the catalog failed: %s", error)
            self._metrics.watch_errors.labels("reading").inc()
            self.guard.suspect("Consul was away", loop.time())
            await asyncio.sleep(RETRY)
            self._wake.set()
            return None
        if self._reader.without_connect:
            self._say(_CONNECT, NEEDS_CONNECT)
            self._refused_again.note(frozenset())
            return None
        self.problems.clear(_CONNECT)
        if self._watches.refreshing:
            began = float("-inf")  # the lists of names are still those of before
        self._note_hidden()
        whole = not self._reader.refused
        if not whole:
            self._refused_again.note(frozenset(self._reader.refused))
            self._reader.refused.clear()
        self._good = {name: self._in_force(name, chain) for name, chain in self._reader.chains.items()}
        observed = Catalog(dict(self._good), dict(self._reader.instances), self._policies.take(), self._known_callers())
        return self._settle(self.guard.settle(observed, began, loop.time(), whole=whole))

    async def _knows_who_went(self) -> bool:
        """Tell services that are gone from those that the token may not read any more; False where Consul refuses to
        say. What it lists is looked at afterwards: the token may have its rights again."""
        gone = self._reader.chains.keys() - self._tracker.names
        if not gone:
            return True
        try:
            await self._reader.look_for(gone)
            await self._look_around()
        except ConsulError as error:
            await self._cannot_tell(error)
            return False
        if self._tracker.unreadable:
            self._read_all()
        return not self._tracker.unreadable

    async def _believes_empty(self) -> bool:
        """Lists became empty. Look at what Consul lists, and keep those that the token may not read any more; False
        where nothing that was read can be believed."""
        try:
            await self._look_around()
            if not self._tracker.unreadable:
                await self._reader.keep_hidden(self._tracker.services.keys())
                return True
        except ConsulError as error:
            await self._cannot_tell(error)
        self._reader.take_back()
        self._read_all()
        return False

    async def _cannot_tell(self, error: ConsulError) -> None:
        log.debug("looking whether the token may still read failed: %s", error)
        await asyncio.sleep(RETRY)
        self._read_all()

    async def _look_around(self) -> None:
        """Take in what Consul lists now; what that does not tell is not read for it."""
        checks, services = await self._consul.check_states(), await self._consul.services()
        touched = self._tracker.see_checks(checks.value)
        if touched:
            self._scheduler.explain(checks.index)
        self._stale_services |= touched | self._tracker.see_services(services.value)
        if self._stale_services:
            self._wake.set()

    def _note_hidden(self) -> None:
        hidden = self._reader.hidden(self._tracker.services.keys())
        self.problems.add(_HIDDEN, *self._hidden.see(hidden, asyncio.get_running_loop().time()))
        if hidden:
            self._hidden_again.note(hidden)

    async def _wait_for_rights(self) -> None:
        """Nothing that Consul says is believed; what is in force stays. Looks again soon."""
        self._say(_RIGHTS, self._tracker.unreadable)
        await asyncio.sleep(RETRY_UNREADABLE)
        try:
            await self._look_around()
        except (ConsulError, UnreachableError) as error:
            log.debug("looking whether the token may read again failed: %s", error)
        if not self._tracker.unreadable:
            self.problems.clear(_RIGHTS)
            self._read_all()
        self._wake.set()

    def _known_callers(self) -> Mapping[ServiceName, CallerRules]:
        """The rules of all callers: of those that are withheld, as they were."""
        before = self._published.callers if self._published else {}
        kept = {name: rules for name, rules in before.items() if name in self._reader.withheld}
        return {**kept, **self._callers}

    def _say(self, topic: str, what: str) -> None:
        self.problems.add(topic, Violation(topic, what))
        self.problems.report()

    def _in_force(self, name: ServiceName, chain: Mapping[str, Any]) -> Mapping[str, Any]:
        """The chain, or the one before it where a list that it needs was never read: an empty one says nothing."""
        return chain if self._reader.is_read(chain) else self._good.get(name, chain)

    def _read_again(self, services: frozenset[ServiceName]) -> None:
        self._stale_services |= services
        self._stale_chains |= services
        self._wake.set()

    def _settle(self, catalog: Catalog) -> Catalog | None:
        if not self.errors:
            self._metrics.consul_up.set(1)
        if not self.synced:
            log.info("the mesh is known: %d services", len(catalog.chains))
        self.synced = True
        self._metrics.synced.set(1)
        self._metrics.held.set(len(self.guard.held))
        unusable = [Violation(f"the name {name!r}", f"{why}: it is left out") for name, why in self._tracker.unusable]
        self.problems.add(_NAMES, *unusable)
        self.problems.report()
        self._say_held()
        if self._published is not None and _same(self._published, catalog):
            return None
        self._published = catalog
        return catalog

    def _say_held(self) -> None:
        held = self.guard.held
        if held and not self._said_held:
            names = ", ".join(sorted(held))
            log.warning("%s: keeping what was known of %d services: %s", self.guard.reason, len(held), names)
        elif self._said_held and not held:
            log.info("what Consul says is believed again")
        self._said_held = held


def _same(one: Catalog, other: Catalog) -> bool:
    lists = one.chains == other.chains and one.instances == other.instances
    return lists and one.policies == other.policies and one.callers == other.callers
