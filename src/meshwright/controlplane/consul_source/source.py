"""Yields the state of the mesh in one Consul, whole, whenever it changed.

`changes` tells what is stale. One pass then reads that again, some queries at a time, and yields a catalog. A single
change is read at once; those that come within the debounce after a pass share the next.

Nothing is yielded before the first whole state. What Consul says after it was away is believed only as far as `guard`
allows: at the end of a recovery every watch starts over and everything is read afresh, and that is what is believed. A
chain that Consul cannot compile, a filter it refuses, a policy that is not valid: the last good one stays, and the
problem is shown. So it is with everything that the token may not read any more (see `rights`).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from meshwright.consul import NEEDS_CONNECT
from meshwright.controlplane.consul_source.changes import Changes
from meshwright.controlplane.consul_source.policies import Policies
from meshwright.controlplane.consul_source.reader import Reader
from meshwright.controlplane.consul_source.reread_timer import Again
from meshwright.controlplane.consul_source.rights import Rights
from meshwright.controlplane.consul_source.state_loss_guard import StateLossGuard
from meshwright.controlplane.consul_source.watches import Listener, Watches
from meshwright.controlplane.model.catalog import Catalog
from meshwright.controlplane.problems import Problems
from meshwright.errors import UnreachableError, Violation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from meshwright.consul import Consul
    from meshwright.controlplane.consul_source.changes import Stale
    from meshwright.controlplane.metrics import Metrics
    from meshwright.controlplane.model.catalog import Target
    from meshwright.controlplane.model.upstream_config import CallerRules
    from meshwright.model import InstanceId, ServiceName

RETRY = 0.25
"""Seconds before a pass that failed is tried again."""
RETRY_REFUSED = 5.0
"""Seconds before something to which Consul answered with an error is read again."""
_CONNECT = "Consul"
_NAMES = "names"

log = logging.getLogger(__name__)


class Source:
    """One mesh in one Consul. Iterate `catalogs()` once."""

    def __init__(self, consul: Consul, metrics: Metrics, *, debounce: float = 0.02, recovery: float = 60.0) -> None:
        """`debounce`: seconds in which changes share a pass. `recovery`: seconds for which a lost state is kept."""
        self.problems = Problems()
        self.guard = StateLossGuard(recovery)
        self.synced = False
        self._metrics = metrics
        self._debounce = debounce
        self._policies = Policies(self.problems)
        self._reader = Reader(consul, metrics, self.problems)
        self._changes = Changes(consul, self._reader, self._policies)
        self._rights = Rights(self._changes, self._reader, self.problems)
        listener = Listener(self._changes.wake.set, self._doubt, self._changes.read_all)
        self._watches = Watches(self._changes.queries(), metrics, listener)
        self._refused_again = Again(RETRY_REFUSED, self._changes.read_again)
        self._published: Catalog | None = None
        self._good: dict[ServiceName, Mapping[str, Any]] = {}
        """Of each service the last chain all of whose lists could be read."""
        self._upheld: frozenset[Target] = frozenset()
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
        return self._changes.sweep_at

    @property
    def checked(self) -> frozenset[tuple[str, InstanceId]]:
        """The instances that have checks, each as its node and id."""
        return self._changes.tracker.checked

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
            self._rights.cancel()
            await self._watches.stop()

    def uphold(self, targets: frozenset[Target]) -> None:
        """Go on reading these lists: what is in force needs them, even where the chains that Consul has now do not."""
        self._upheld = targets

    # Waking

    def _doubt(self, reason: str, said: bool) -> None:
        if not said:
            log.warning("%s: Consul may have lost its state", reason)
        self.guard.suspect(reason, asyncio.get_running_loop().time())
        self._changes.read_all()

    async def _woken(self) -> None:
        """Until there is something to do: a wake, a sweep that is due, or the end of a recovery."""
        loop = asyncio.get_running_loop()
        while True:
            times = [time for time in (self.sweep_at, self.guard.until) if time is not None]
            timeout = max(0.0, min(times) - loop.time()) if times and not self._watches.awaited else None
            try:
                async with asyncio.timeout(timeout):
                    await self._changes.wake.wait()
            except TimeoutError:
                self._changes.sweep()
            if not self._watches.awaited and self.guard.wants_proof(loop.time()):
                self._watches.refresh()
                self._changes.read_all()
            self._changes.wake.clear()
            self._watches.raise_failure()
            if not self._watches.awaited:
                return

    # Reading

    async def _pass(self) -> Catalog | None:
        """Read what is stale. None where nothing changed, or where Consul could not be asked."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        if self._rights.nothing_readable:
            await self._rights.wait()
            return None
        stale = self._changes.take()
        try:
            if not await self._read(stale):
                return None
        except UnreachableError as error:
            self._changes.give_back(stale)
            log.debug("reading the catalog failed: %s", error)
            self._metrics.watch_errors.labels("reading").inc()
            self.guard.suspect("Consul was away", loop.time())
            await asyncio.sleep(RETRY)
            self._changes.wake.set()
            return None
        if self._reader.without_connect:
            self.problems.add(_CONNECT, Violation(_CONNECT, NEEDS_CONNECT))
            self.problems.report()
            self._refused_again.note(frozenset())
            return None
        self.problems.clear(_CONNECT)
        if self._watches.refreshing:
            began = float("-inf")  # the lists of names are still those of before
        return self._settle(self.guard.settle(self._observed(), began, loop.time(), whole=self._is_whole()))

    async def _read(self, stale: Stale) -> bool:
        """Read what is stale; False where what was read cannot be believed. Raises `UnreachableError`."""
        if not self.synced or self._reader.without_connect:
            await self._reader.look_for_connect()
        if not await self._rights.knows_who_went():
            return False
        await self._reader.read_chains(self._changes.tracker.names, stale.chains)
        needing = (*self.guard.chains(self._reader.chains).values(), *self._good.values())
        await self._reader.read_instances(needing, stale.services, self._upheld)
        return not self._reader.emptied or await self._rights.believes_empty()

    def _observed(self) -> Catalog:
        """What was read, with what is kept of before where it could not be."""
        self._rights.note_hidden()
        self._good = {name: self._in_force(name, chain) for name, chain in self._reader.chains.items()}
        return Catalog(dict(self._good), dict(self._reader.instances), self._policies.take(), self._known_callers())

    def _is_whole(self) -> bool:
        """Whether everything could be read; what could not is read again after a while."""
        refused = frozenset(self._reader.refused)
        if refused:
            self._refused_again.note(refused)
            self._reader.refused.clear()
        return not refused

    def _known_callers(self) -> Mapping[ServiceName, CallerRules]:
        """The rules of all callers: of those that are withheld, as they were."""
        before = self._published.callers if self._published else {}
        kept = {name: rules for name, rules in before.items() if name in self._reader.withheld}
        return {**kept, **self._changes.callers}

    def _in_force(self, name: ServiceName, chain: Mapping[str, Any]) -> Mapping[str, Any]:
        """The chain, or the one before it where a list that it needs was never read: an empty one says nothing."""
        return chain if self._reader.is_read(chain) else self._good.get(name, chain)

    def _settle(self, catalog: Catalog) -> Catalog | None:
        if not self.errors:
            self._metrics.consul_up.set(1)
        if not self.synced:
            log.info("the mesh is known: %d services", len(catalog.chains))
        self.synced = True
        self._metrics.synced.set(1)
        self._metrics.held.set(len(self.guard.held))
        unusable = [
            Violation(f"the name {name!r}", f"{why}: it is left out") for name, why in self._changes.tracker.unusable
        ]
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
