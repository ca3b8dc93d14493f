"""Holding the Leases of the namespaces that this operator is for, and the gate that all of its writes go through.

`run` looks at each Lease every few seconds: renews it, takes it, stands by or refuses. `acting` is the gate: it lets a
write through while the Lease is held, by a clock that also runs while the process is frozen or the machine sleeps, and
cuts it off when that time is over. So an operator that was stopped for a minute and wakes up in the middle of a pass
writes nothing. One that loses a Lease ends (`LeaseLostError`): what it had in mind may be wrong by now, and a fresh
process starts from what is true.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from meshwright.errors import MeshwrightError, UnreachableError
from meshwright_operator import leases
from meshwright_operator.leases import Identity, Lease, Seen, Timing, Verdict

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping
    from typing import Any

log = logging.getLogger(__name__)


class NotHeldError(MeshwrightError):
    """A write in a namespace whose Lease this operator does not hold."""


class LeaseLostError(MeshwrightError):
    """A Lease that was held is not any more: the process has to end."""


class LeaseStore(Protocol):
    """The requests about Leases and their namespaces."""

    async def lease(self, namespace: str) -> Lease | None: ...

    async def create_lease(self, namespace: str, part: Mapping[str, Any]) -> Lease | None:
        """None where there is one already, or where the namespace is gone or going."""

    async def patch_lease(self, namespace: str, version: str, part: Mapping[str, Any]) -> Lease | None:
        """None where it is gone, or is not the version that was read any more."""

    async def delete_lease(self, namespace: str, lease: Lease) -> bool: ...

    async def is_terminating(self, namespace: str) -> bool: ...


class Keeper(Protocol):
    """What is to happen when a namespace changes hands. Called from the guard's loop, one after the other."""

    async def on_held(self, namespace: str) -> None: ...

    async def on_refused(self, namespace: str, lease: Lease) -> None:
        """Called at each look at the Lease."""

    async def on_terminating(self, namespace: str) -> None:
        """The namespace is being deleted; the Lease is still held. Called once."""

    async def on_left(self, namespace: str) -> None:
        """There is no work left there; the Lease is still held."""


class State(StrEnum):
    """How this operator stands to a namespace."""

    UNKNOWN = "Unknown"
    HOLDING = "Holding"
    STANDING_BY = "StandingBy"
    REFUSED = "Refused"
    TERMINATING = "Terminating"


@dataclass(frozen=True, slots=True)
class Place:
    """One namespace."""

    state: State = State.UNKNOWN
    seen: Seen | None = None
    until: float = 0.0
    """Until when the Lease is held, on the guard's clock."""
    is_told: bool = False
    """Whether the keeper knows that it is held."""


def running_clock() -> float:
    """Seconds on a clock that nobody sets and that also runs while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Guard:
    """The Leases of some namespaces."""

    def __init__(
        self,
        store: LeaseStore,
        me: Identity,
        timing: Timing,
        *,
        clock: Callable[[], float] = running_clock,
    ) -> None:
        self.me = me
        self.timing = timing
        self._store = store
        self._clock = clock
        self._wanted: set[str] = set()
        self.places: dict[str, Place] = {}

    def want(self, namespaces: Iterable[str]) -> None:
        """The namespaces that this operator is for, from now on."""
        self._wanted = set(namespaces)

    @property
    def held(self) -> frozenset[str]:
        return frozenset(name for name in self.places if self.holds(name))

    def holds(self, namespace: str) -> bool:
        return self._clock() < self.places.get(namespace, Place()).until

    @contextlib.asynccontextmanager
    async def acting(self, namespace: str) -> AsyncIterator[None]:
        """Around each write. Raises `NotHeldError` where the Lease is not held, or runs out meanwhile."""
        left = self.places.get(namespace, Place()).until - self._clock()
        if left <= 0:
            raise NotHeldError(
                f"the Lease {namespace}/{leases.LEASE} is not held by {self.me.holder}: nothing is written"
            )
        try:
            async with asyncio.timeout(left):
                yield
        except TimeoutError as error:
            raise NotHeldError(f"the Lease {namespace}/{leases.LEASE} ran out during a write") from error

    async def run(self, keeper: Keeper) -> None:
        """Look at the Leases again and again. Raises `LeaseLostError` when one that was held is lost."""
        while True:
            began = self._clock()
            await asyncio.gather(*(self._visit(name, keeper) for name in self._wanted | self.places.keys()))
            self._check_all()
            await asyncio.sleep(max(0.05, self.timing.retry - (self._clock() - began)))

    async def close(self) -> None:
        """Let go of every Lease, so that another pod can go on at once."""
        for name, place in list(self.places.items()):
            if place.seen is None or place.seen.lease.holder != self.me.holder:
                continue
            self.places[name] = replace(place, state=State.UNKNOWN, until=0.0)
            try:
                async with asyncio.timeout(self.timing.retry):
                    await self._store.patch_lease(name, place.seen.lease.version, leases.released(datetime.now(UTC)))
            except (MeshwrightError, TimeoutError) as error:
                log.warning("the Lease %s/%s could not be released, it will expire: %s", name, leases.LEASE, error)

    def _check_all(self) -> None:
        for name, place in self.places.items():
            if place.state is State.HOLDING and not self.holds(name):
                raise LeaseLostError(
                    f"the Lease {name}/{leases.LEASE} could not be renewed within {self.timing.hold:g} s: ending"
                )

    async def _visit(self, name: str, keeper: Keeper) -> None:
        try:
            # Less than what is left of a hold: a request that hangs must not hide that it is over.
            async with asyncio.timeout(self.timing.hold / 2):
                await self._look(name, keeper)
        except TimeoutError:
            log.warning("the Lease %s/%s: no answer within %g s", name, leases.LEASE, self.timing.hold / 2)
        except LeaseLostError:
            raise
        except MeshwrightError as error:
            log.warning("the Lease %s/%s: %s", name, leases.LEASE, error)

    async def _look(self, name: str, keeper: Keeper) -> None:
        place = self.places.setdefault(name, Place())
        holding = place.state is State.HOLDING
        if name not in self._wanted:
            await self._leave(name, place, keeper)
            return
        if holding and await self._store.is_terminating(name):
            log.info("namespace %s is being deleted: letting go of its rollouts", name)
            await keeper.on_terminating(name)
            self.places[name] = replace(self.places[name], state=State.TERMINATING, until=0.0)
            return
        if place.state is State.TERMINATING and await self._store.is_terminating(name):
            return
        now = self._clock()
        seen = place.seen
        if not holding:
            seen = leases.look(await self._store.lease(name), place.seen, now)
            self.places[name] = replace(place, seen=seen)
        verdict = leases.judge(seen, self.me, self._clock())
        if verdict is Verdict.TAKE:
            await self._take(name, keeper, seen)
        else:
            await self._wait(name, keeper, seen, verdict)

    async def _take(self, name: str, keeper: Keeper, seen: Seen | None) -> None:
        """Take or renew. The time of holding counts from before the request."""
        before = self.places[name]
        began = self._clock()
        lease = seen.lease if seen is not None else None
        part = leases.taken(lease, self.me, self.timing, datetime.now(UTC))
        written = None
        if lease is not None:
            written = await self._store.patch_lease(name, lease.version, part)
        if written is None and before.state is State.HOLDING:
            written = await self._take_back(name, part)
        elif written is None:
            written = await self._store.create_lease(name, part)
        if written is None:
            return
        is_told = before.state is State.HOLDING and before.is_told
        self.places[name] = Place(State.HOLDING, Seen(written, began), began + self.timing.hold, is_told)
        if before.state is not State.HOLDING:
            log.info("holding the Lease %s/%s as %s", name, leases.LEASE, self.me.holder)
        if not is_told:
            await keeper.on_held(name)
            self.places[name] = replace(self.places[name], is_told=True)

    async def _take_back(self, name: str, part: Mapping[str, Any]) -> Lease | None:
        """A Lease of ours was changed: by hand, and it goes on, or by another that took it, and all is over."""
        lease = await self._store.lease(name)
        if lease is None:
            return await self._store.create_lease(name, part)
        if lease.holder not in ("", self.me.holder) or lease.installation not in ("", self.me.installation):
            raise LeaseLostError(f"the Lease {name}/{leases.LEASE} was taken by {lease.holder}: ending")
        return await self._store.patch_lease(name, lease.version, part)

    async def _wait(self, name: str, keeper: Keeper, seen: Seen | None, verdict: Verdict) -> None:
        before, state = self.places[name].state, State.STANDING_BY if verdict is Verdict.STAND_BY else State.REFUSED
        self.places[name] = Place(state, seen)
        lease = seen.lease if seen is not None else Lease()
        if state is State.REFUSED:
            if before is not state:
                log.error("%s", refusal(name, lease, self.me))
            await keeper.on_refused(name, lease)
        elif before is not state:
            log.info("standing by in namespace %s: %s works there", name, lease.holder)

    async def _leave(self, name: str, place: Place, keeper: Keeper) -> None:
        """A namespace without work: its Lease goes."""
        if place.state is State.HOLDING:
            await keeper.on_left(name)
            self.places[name] = replace(place, until=0.0, state=State.UNKNOWN)
            if place.seen is not None:
                await self._store.delete_lease(name, place.seen.lease)
            log.info("there is nothing left to do in namespace %s", name)
        self.places.pop(name, None)


def refusal(namespace: str, lease: Lease, me: Identity) -> str:
    """What a second installation says."""
    return (
        f"refusing to act in namespace {namespace}: the Lease {namespace}/{leases.LEASE} is held by installation"
        f" {lease.installation} ({lease.holder or 'between two pods'}), and this is installation {me.installation};"
        " give the two different namespaces (operator.namespaces), or uninstall one of them"
    )


async def acquire(store: LeaseStore, me: Identity, namespace: str, timing: Timing, patience: float) -> Lease | None:
    """Take a Lease for once, as soon as its installation's pods have let go; None where another installation has it.

    Raises `UnreachableError` when that takes longer than `patience` seconds.
    """
    began = running_clock()
    seen: Seen | None = None
    while running_clock() - began < patience:
        seen = leases.look(await store.lease(namespace), seen, running_clock())
        verdict = leases.judge(seen, me, running_clock())
        if verdict is Verdict.REFUSE:
            return None
        if verdict is Verdict.TAKE:
            before = seen.lease if seen is not None else None
            part = leases.taken(before, me, timing, datetime.now(UTC))
            written = await store.patch_lease(namespace, before.version, part) if before is not None else None
            written = written or await store.create_lease(namespace, part)
            if written is not None:
                return written
        await asyncio.sleep(min(1.0, timing.retry))
    raise UnreachableError(f"the Lease {namespace}/{leases.LEASE} was not free within {patience:g} s")
