"""Holds the Leases of the operator's namespaces, and gates all of its writes.

`run` checks each Lease every few seconds: renews it, takes it, stands by or refuses. `acting` is the gate: it admits a
write while the Lease is held, by a clock that also runs while the process is frozen or the machine sleeps, and cancels
it when that time is over. So an operator that was stopped for a minute and resumes in the middle of a pass writes
nothing. A guard that loses a Lease (`LeaseLostError`) closes its gate permanently, because the state behind it may be
stale. The next term has another guard (`meshwright_operator.leadership`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeVar

from meshwright.errors import MeshwrightError, UnreachableError
from meshwright_operator.lease import election
from meshwright_operator.lease.election import Identity, Lease, LeaseVerdict, ObservedLease, Timing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
    from typing import Any

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")


class NotHeldError(MeshwrightError):
    """A write in a namespace whose Lease this operator does not hold."""


class LeaseLostError(MeshwrightError):
    """A held Lease is lost: all work behind this guard's gate has to end."""


class LeaseStore(Protocol):
    """Requests about Leases and their namespaces."""

    async def lease(self, namespace: str) -> Lease | None: ...

    async def create_lease(self, namespace: str, part: Mapping[str, Any]) -> Lease | None:
        """None where the Lease exists, or where the namespace is gone or terminating."""

    async def patch_lease(self, namespace: str, version: str, part: Mapping[str, Any]) -> Lease | None:
        """None where the Lease is gone, or has changed since it was read."""

    async def delete_lease(self, namespace: str, lease: Lease) -> bool: ...

    async def is_terminating(self, namespace: str) -> bool: ...


class LeaseCallbacks(Protocol):
    """Callbacks for changes of a Lease. Called from the guard's loop, one after the other."""

    async def on_held(self, namespace: str) -> None: ...

    async def on_refused(self, namespace: str, lease: Lease) -> None:
        """Another installation has the Lease. Called at each check of the Lease."""

    async def on_terminating(self, namespace: str) -> None:
        """The namespace is being deleted; the Lease is still held. Called once."""

    async def on_left(self, namespace: str) -> None:
        """The namespace has no rollouts left; the Lease is still held."""


class LeaseState(StrEnum):
    """The state of a namespace's Lease for this operator."""

    UNKNOWN = "Unknown"
    HOLDING = "Holding"
    STANDING_BY = "StandingBy"
    REFUSED = "Refused"
    TERMINATING = "Terminating"


@dataclass(frozen=True, slots=True)
class NamespaceLease:
    """The Lease of one namespace."""

    state: LeaseState = LeaseState.UNKNOWN
    seen: ObservedLease | None = None
    until: float = 0.0
    """The end of the hold, on the guard's clock."""
    is_told: bool = False
    """Whether `on_held` was called."""


def running_clock() -> float:
    """Seconds on a clock that is never set and that also runs while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Guard:
    """The Leases of the operator's namespaces."""

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
        self.is_shut = False
        """Whether the gate is closed permanently."""
        self.tasks: dict[str, asyncio.Task[None]] = {}
        """One for each namespace."""
        self.leases: dict[str, NamespaceLease] = {}

    def set_namespaces(self, namespaces: Iterable[str]) -> None:
        """Sets the operator's namespaces."""
        self._wanted = set(namespaces)

    @property
    def states(self) -> set[LeaseState]:
        """The states of the operator's namespaces."""
        return {self.leases.get(name, NamespaceLease()).state for name in self._wanted | self.leases.keys()}

    @property
    def held(self) -> frozenset[str]:
        return frozenset(name for name in self.leases if self.holds(name))

    def holds(self, namespace: str) -> bool:
        return self._left(namespace) > 0

    def _left(self, namespace: str) -> float:
        """Seconds until the end of the hold."""
        return -1.0 if self.is_shut else self.leases.get(namespace, NamespaceLease()).until - self._clock()

    @contextlib.asynccontextmanager
    async def acting(self, namespace: str) -> AsyncIterator[None]:
        """Wraps each write. Raises `NotHeldError` where the Lease is not held, or expires meanwhile."""
        left = self._left(namespace)
        if left <= 0:
            raise NotHeldError(
                f"the Lease {namespace}/{election.LEASE} is not held by {self.me.holder}: nothing is written"
            )
        try:
            async with asyncio.timeout(left):
                yield
        except TimeoutError as error:
            raise NotHeldError(f"the Lease {namespace}/{election.LEASE} ran out during a write") from error

    async def run(self, callbacks: LeaseCallbacks) -> None:
        """Maintains the Leases. Raises `LeaseLostError` when a held one is lost."""
        try:
            while True:
                for name in (self._wanted | self.leases.keys()) - self.tasks.keys():
                    self.tasks[name] = asyncio.create_task(self._attend(name, callbacks), name=f"the Lease of {name}")
                if self.tasks:
                    await asyncio.wait(self.tasks.values(), timeout=self._pause(), return_when=asyncio.FIRST_COMPLETED)
                else:
                    await asyncio.sleep(self._pause())
                for name in [name for name, task in self.tasks.items() if task.done()]:
                    self.tasks.pop(name).result()
                self._check_all()
        finally:
            self.is_shut = True
            for task in self.tasks.values():
                task.cancel()
            await asyncio.gather(*self.tasks.values(), return_exceptions=True)

    async def _attend(self, name: str, callbacks: LeaseCallbacks) -> None:
        """Maintains the Lease of one namespace, in its own task: a slow request does not delay the others."""
        while name in self._wanted or name in self.leases:
            began = self._clock()
            await self._visit(name, callbacks)
            await asyncio.sleep(max(0.05, self.timing.retry - (self._clock() - began)))

    def _pause(self) -> float:
        """Seconds until the next check of a Lease or the next end of a hold."""
        holds = [self._left(name) for name, current in self.leases.items() if current.state is LeaseState.HOLDING]
        return max(0.05, min([self.timing.retry, *holds]))

    async def close(self) -> None:
        """Releases every Lease, so that another pod can continue at once."""
        self.is_shut = True
        await asyncio.gather(*(self._release(name, current) for name, current in list(self.leases.items())))

    async def _release(self, name: str, current: NamespaceLease) -> None:
        if current.seen is None or current.seen.lease.holder != self.me.holder:
            return
        self.leases[name] = replace(current, state=LeaseState.UNKNOWN, until=0.0)
        try:
            await self._within(
                self._store.patch_lease(name, current.seen.lease.version, election.released(datetime.now(UTC)))
            )
        except MeshwrightError as error:
            log.warning("the Lease %s/%s could not be released, it will expire: %s", name, election.LEASE, error)

    async def _within(self, request: Awaitable[Answer]) -> Answer:
        """Limits each request, so that one that hangs leaves time for another."""
        try:
            async with asyncio.timeout(self.timing.request):
                return await request
        except TimeoutError as error:
            raise UnreachableError(f"no answer within {self.timing.request:.1f} s") from error

    def _check_all(self) -> None:
        for name, current in self.leases.items():
            if current.state is LeaseState.HOLDING and not self.holds(name):
                raise LeaseLostError(self._expired(name))

    def _expired(self, name: str) -> str:
        return f"the Lease {name}/{election.LEASE} could not be renewed within {self.timing.hold:g} s"

    async def _visit(self, name: str, callbacks: LeaseCallbacks) -> None:
        try:
            await self._look(name, callbacks)
        except LeaseLostError:
            raise
        except MeshwrightError as error:
            log.warning("the Lease %s/%s: %s", name, election.LEASE, error)

    async def _look(self, name: str, callbacks: LeaseCallbacks) -> None:
        current = self.leases.setdefault(name, NamespaceLease())
        if name not in self._wanted:
            await self._leave(name, current, callbacks)
        elif current.state is LeaseState.HOLDING:
            await self._keep(name, current, callbacks)
        elif current.state is not LeaseState.TERMINATING or not await self._within(self._store.is_terminating(name)):
            await self._compete(name, current, callbacks)

    async def _keep(self, name: str, current: NamespaceLease, callbacks: LeaseCallbacks) -> None:
        """Renews the Lease and checks the namespace for its deletion, concurrently."""
        if self._left(name) <= 0:
            raise LeaseLostError(self._expired(name))
        is_ending, renewal = await asyncio.gather(
            self._is_terminating(name), self._renew(name, current), return_exceptions=True
        )
        if isinstance(renewal, LeaseLostError) or (isinstance(renewal, BaseException) and is_ending is not True):
            raise renewal
        if is_ending is True:
            log.info("namespace %s is being deleted: letting go of its rollouts", name)
            await self._within(callbacks.on_terminating(name))
            self.leases[name] = replace(self.leases[name], state=LeaseState.TERMINATING, until=0.0)
        elif not current.is_told:
            await self._tell(name, callbacks)

    async def _is_terminating(self, name: str) -> bool:
        try:
            return await self._within(self._store.is_terminating(name))
        except MeshwrightError as error:
            log.warning("whether namespace %s is being deleted is not known: %s", name, error)
            return False

    async def _renew(self, name: str, current: NamespaceLease) -> None:
        if current.seen is None or self._clock() - current.seen.since >= self.timing.renew:
            await self._take(name, current.seen)

    async def _compete(self, name: str, current: NamespaceLease, callbacks: LeaseCallbacks) -> None:
        found = await self._within(self._store.lease(name))
        seen = election.look(found, current.seen, self._clock())
        self.leases[name] = replace(current, seen=seen)
        verdict = election.judge(seen, self.me, self._clock())
        if verdict is not LeaseVerdict.TAKE:
            await self._wait(name, callbacks, seen, verdict)
        elif await self._take(name, seen):
            log.info("holding the Lease %s/%s as %s", name, election.LEASE, self.me.holder)
            await self._tell(name, callbacks)

    async def _tell(self, name: str, callbacks: LeaseCallbacks) -> None:
        await self._within(callbacks.on_held(name))
        self.leases[name] = replace(self.leases[name], is_told=True)

    async def _take(self, name: str, seen: ObservedLease | None) -> bool:
        """Takes or renews the Lease. The hold counts from before the request."""
        before = self.leases[name]
        began = self._clock()
        lease = seen.lease if seen is not None else None
        part = election.taken(lease, self.me, self.timing, datetime.now(UTC))
        written = None
        if lease is not None:
            written = await self._within(self._store.patch_lease(name, lease.version, part))
        if written is None and before.state is LeaseState.HOLDING:
            began = self._clock()
            written = await self._take_back(name, part)
        elif written is None:
            written = await self._within(self._store.create_lease(name, part))
        if written is None:
            return False
        is_told = before.state is LeaseState.HOLDING and before.is_told
        held = ObservedLease(written, began)
        self.leases[name] = NamespaceLease(LeaseState.HOLDING, held, began + self.timing.hold, is_told)
        return True

    async def _take_back(self, name: str, part: Mapping[str, Any]) -> Lease | None:
        """A held Lease has changed: writes it again after a manual change; raises `LeaseLostError` if it was taken."""
        lease = await self._within(self._store.lease(name))
        if lease is None:
            return await self._within(self._store.create_lease(name, part))
        if lease.holder not in ("", self.me.holder) or lease.installation not in ("", self.me.installation):
            raise LeaseLostError(f"the Lease {name}/{election.LEASE} was taken by {lease.holder}")
        return await self._within(self._store.patch_lease(name, lease.version, part))

    async def _wait(
        self, name: str, callbacks: LeaseCallbacks, seen: ObservedLease | None, verdict: LeaseVerdict
    ) -> None:
        before = self.leases[name].state
        state = LeaseState.STANDING_BY if verdict is LeaseVerdict.STAND_BY else LeaseState.REFUSED
        self.leases[name] = NamespaceLease(state, seen)
        lease = seen.lease if seen is not None else Lease()
        if state is LeaseState.REFUSED:
            if before is not state:
                log.error("%s", refusal(name, lease, self.me))
            await self._within(callbacks.on_refused(name, lease))
        elif before is not state:
            log.info("standing by in namespace %s: %s works there", name, lease.holder)

    async def _leave(self, name: str, current: NamespaceLease, callbacks: LeaseCallbacks) -> None:
        """Deletes the Lease of a namespace without rollouts."""
        if current.state is LeaseState.HOLDING:
            await self._within(callbacks.on_left(name))
            self.leases[name] = replace(current, until=0.0, state=LeaseState.UNKNOWN)
            if current.seen is not None:
                await self._within(self._store.delete_lease(name, current.seen.lease))
            log.info("there is nothing left to do in namespace %s", name)
        self.leases.pop(name, None)


def refusal(namespace: str, lease: Lease, me: Identity) -> str:
    """The message of a refused installation."""
    return (
        f"refusing to act in namespace {namespace}: the Lease {namespace}/{election.LEASE} is held by installation"
        f" {lease.installation} ({lease.holder or 'between two pods'}), and this is installation {me.installation};"
        " give the two different namespaces (operator.namespaces), or uninstall one of them"
    )


async def acquire(store: LeaseStore, me: Identity, namespace: str, timing: Timing, timeout: float) -> Lease | None:
    """Takes a Lease once the pods of its installation have released it; None where another installation has it.

    Raises `UnreachableError` after `timeout` seconds.
    """
    began = running_clock()
    seen: ObservedLease | None = None
    while running_clock() - began < timeout:
        seen = election.look(await store.lease(namespace), seen, running_clock())
        verdict = election.judge(seen, me, running_clock())
        if verdict is LeaseVerdict.REFUSE:
            return None
        if verdict is LeaseVerdict.TAKE:
            before = seen.lease if seen is not None else None
            part = election.taken(before, me, timing, datetime.now(UTC))
            written = await store.patch_lease(namespace, before.version, part) if before is not None else None
            written = written or await store.create_lease(namespace, part)
            if written is not None:
                return written
        await asyncio.sleep(min(1.0, timing.retry))
    raise UnreachableError(f"the Lease {namespace}/{election.LEASE} was not free within {timeout:g} s")
