"""Holding Leases: outages, frozen processes, jumping clocks, and others who want the same namespace."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from meshwright.errors import UnreachableError
from meshwright_operator.lease import guard as guarding
from meshwright_operator.lease.election import Identity, Lease, Timing, read
from meshwright_operator.lease.guard import Guard, LeaseLostError, LeaseState, NotHeldError
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

TIMING = Timing(0.9)
ONE, TWO = Identity("a/mw", "pod-1"), Identity("a/mw", "pod-2")
STRANGER = Identity("b/mw", "pod-1")


@dataclass
class Store:
    """An API server with Leases."""

    leases: dict[str, dict[str, Any]] = field(default_factory=dict)
    away: bool = False
    hanging: int = 0
    """So many requests get no answer."""
    slow: set[str] = field(default_factory=set)
    """Namespaces whose being deleted is never told."""
    terminating: set[str] = field(default_factory=set)
    version: int = 0
    writes: list[str] = field(default_factory=list)

    async def _asked(self) -> None:
        await asyncio.sleep(0)
        if self.hanging:
            self.hanging -= 1
            await asyncio.Event().wait()
        if self.away:
            raise UnreachableError("the API server is away")

    def write(self, namespace: str, part: Mapping[str, Any]) -> Lease:
        self.version += 1
        old = self.leases.get(namespace, {"metadata": {}, "spec": {}})
        self.leases[namespace] = {
            "metadata": {**old["metadata"], **part.get("metadata", {}), "resourceVersion": str(self.version)},
            "spec": {**old["spec"], **part.get("spec", {})},
        }
        self.writes.append(self.leases[namespace]["spec"]["holderIdentity"])
        return read(self.leases[namespace])

    async def lease(self, namespace: str) -> Lease | None:
        await self._asked()
        return read(self.leases[namespace]) if namespace in self.leases else None

    async def create_lease(self, namespace: str, part: Mapping[str, Any]) -> Lease | None:
        await self._asked()
        return None if namespace in self.leases or namespace in self.terminating else self.write(namespace, part)

    async def patch_lease(self, namespace: str, version: str, part: Mapping[str, Any]) -> Lease | None:
        await self._asked()
        known = self.leases.get(namespace)
        if known is None or known["metadata"]["resourceVersion"] != version:
            return None
        return self.write(namespace, part)

    async def delete_lease(self, namespace: str, lease: Lease) -> bool:
        await self._asked()
        return self.leases.pop(namespace, None) is not None

    async def is_terminating(self, namespace: str) -> bool:
        if namespace in self.slow:
            await asyncio.Event().wait()
        await self._asked()
        return namespace in self.terminating

    def holder(self, namespace: str = "shop") -> str:
        return str(self.leases[namespace]["spec"]["holderIdentity"])


@dataclass
class LeaseCallbacks:
    told: list[str] = field(default_factory=list)
    failing: int = 0

    async def on_held(self, namespace: str) -> None:
        if self.failing:
            self.failing -= 1
            raise UnreachableError("not yet")
        self.told.append(f"held {namespace}")

    async def on_refused(self, namespace: str, lease: Lease) -> None:
        self.told.append(f"refused {namespace} for {lease.installation}")

    async def on_terminating(self, namespace: str) -> None:
        self.told.append(f"terminating {namespace}")

    async def on_left(self, namespace: str) -> None:
        self.told.append(f"left {namespace}")


class Running:
    """A guard at work."""

    def __init__(self, store: Store, me: Identity, **options: Any) -> None:
        self.callbacks = LeaseCallbacks()
        self.guard = Guard(store, me, TIMING, **options)
        self.guard.set_namespaces({"shop"})
        self.task = asyncio.create_task(self.guard.run(self.callbacks))

    async def until(self, state: LeaseState, timeout: float = 10) -> None:
        async with asyncio.timeout(timeout):
            while self.guard.leases.get("shop", guarding.NamespaceLease()).state is not state:
                if self.task.done():
                    self.task.result()
                await asyncio.sleep(0.01)

    async def kill(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


@contextlib.asynccontextmanager
async def working(store: Store, me: Identity, **options: Any) -> AsyncIterator[Running]:
    made = Running(store, me, **options)
    try:
        yield made
    finally:
        made.task.cancel()
        await asyncio.gather(made.task, return_exceptions=True)


async def may_write(guard: Guard) -> bool:
    try:
        async with guard.acting("shop"):
            return True
    except NotHeldError:
        return False


async def test_the_first_holds_and_its_replica_stands_by_until_it_ends() -> None:
    store = Store()
    async with working(store, ONE) as one, working(store, TWO) as two:
        await one.until(LeaseState.HOLDING)
        await two.until(LeaseState.STANDING_BY)
        assert (await may_write(one.guard), await may_write(two.guard)) == (True, False)
        await one.kill()
        await one.guard.close()
        assert store.holder() == ""
        assert not await may_write(one.guard)
        await two.until(LeaseState.HOLDING, timeout=TIMING.duration)
        assert two.callbacks.told == ["held shop"]


async def test_a_replica_that_dies_is_followed_when_its_lease_expires() -> None:
    store = Store()
    async with working(store, ONE) as one, working(store, TWO) as two:
        await one.until(LeaseState.HOLDING)
        await two.until(LeaseState.STANDING_BY)
        await one.kill()
        await two.until(LeaseState.HOLDING)
        assert not await may_write(one.guard)


async def test_another_installation_refuses_and_outlasts_an_upgrade() -> None:
    store = Store()
    async with working(store, ONE) as one, working(store, STRANGER) as stranger:
        await one.until(LeaseState.HOLDING)
        await stranger.until(LeaseState.REFUSED)
        await one.kill()
        await one.guard.close()
        async with working(store, TWO) as two:
            await two.until(LeaseState.HOLDING)
            assert stranger.guard.leases["shop"].state is LeaseState.REFUSED
            assert set(stranger.callbacks.told) == {"refused shop for a/mw"}
        # The whole installation is gone, and its Lease with it.
        del store.leases["shop"]
        await stranger.until(LeaseState.HOLDING)


async def test_a_dead_installation_is_followed_by_another_after_four_durations() -> None:
    store, began = Store(), asyncio.get_running_loop().time()
    async with working(store, ONE) as one, working(store, STRANGER) as stranger:
        await one.until(LeaseState.HOLDING)
        await one.kill()
        await stranger.until(LeaseState.HOLDING)
        assert asyncio.get_running_loop().time() - began >= 4 * TIMING.duration


async def test_an_outage_of_the_api_server_ends_the_holder_before_another_may_begin() -> None:
    store = Store()
    async with working(store, ONE) as one:
        await one.until(LeaseState.HOLDING)
        store.away = True
        with pytest.raises(LeaseLostError, match="could not be renewed within"):
            await one.task
        assert not await may_write(one.guard)


async def test_a_short_outage_is_waited_out() -> None:
    store = Store()
    async with working(store, ONE) as one:
        await one.until(LeaseState.HOLDING)
        writes = len(store.writes)
        store.away = True
        await asyncio.sleep(TIMING.retry)
        store.away = False
        await eventually(lambda: len(store.writes) >= writes + 3, 5)
        assert one.callbacks.told == ["held shop"]


async def test_a_renewal_that_gets_no_answer_is_tried_again_within_the_limit() -> None:
    store = Store()
    async with working(store, ONE) as one:
        await one.until(LeaseState.HOLDING)
        await eventually(lambda: one.callbacks.told, 5)
        writes = len(store.writes)
        store.hanging = 2  # that for the namespace, and that for the Lease, which go out together
        await eventually(lambda: len(store.writes) >= writes + 3, 5)
        assert store.hanging == 0
        assert one.callbacks.told == ["held shop"]


async def test_a_namespace_that_hangs_takes_no_other_down_and_its_own_lease_is_renewed() -> None:
    store = Store(slow={"shop"})
    async with working(store, ONE) as one:
        one.guard.set_namespaces({"shop", "other"})
        await eventually(lambda: one.guard.held == {"shop", "other"}, 5)
        before = store.version
        await eventually(lambda: store.version >= before + 8, 10)
        assert one.guard.held == {"shop", "other"}


async def test_what_is_left_of_a_term_writes_nothing_though_the_lease_is_taken_anew() -> None:
    store = Store()
    async with working(store, ONE) as one:
        await one.until(LeaseState.HOLDING)
        store.away = True
        with pytest.raises(LeaseLostError):
            await one.task
        assert one.guard.is_shut
        store.away = False
        async with working(store, ONE) as anew:
            await anew.until(LeaseState.HOLDING)
            assert (await may_write(anew.guard), await may_write(one.guard)) == (True, False)


async def test_a_lease_that_another_took_closes_the_gate_at_once() -> None:
    store = Store()
    async with working(store, ONE) as one:
        await one.until(LeaseState.HOLDING)
        store.write("shop", {"spec": {"holderIdentity": TWO.holder}})
        with pytest.raises(LeaseLostError, match="was taken by"):
            await one.task
        assert not await may_write(one.guard)


async def test_a_frozen_process_wakes_up_and_writes_nothing() -> None:
    store, now = Store(), 1000.0
    async with working(store, ONE, clock=lambda: now) as one:
        await one.until(LeaseState.HOLDING)
        assert await may_write(one.guard)
        now += TIMING.duration  # as when the machine slept
        assert not await may_write(one.guard)
        # Meanwhile another pod has it: not even the Lease is asked for.
        store.leases["shop"]["spec"]["holderIdentity"] = TWO.holder
        store.leases["shop"]["metadata"]["resourceVersion"] = "99"
        with pytest.raises(LeaseLostError, match="could not be renewed"):
            await one.task
        assert not await may_write(one.guard)


async def test_a_write_that_takes_longer_than_the_lease_is_cut_off() -> None:
    store = Store()
    async with working(store, ONE) as one:
        await one.until(LeaseState.HOLDING)
        with pytest.raises(NotHeldError, match="ran out during a write"):
            async with one.guard.acting("shop"):
                await asyncio.sleep(60)


async def test_a_lease_that_was_edited_by_hand_is_renewed_all_the_same() -> None:
    store = Store()
    async with working(store, ONE) as one:
        await one.until(LeaseState.HOLDING)
        store.write("shop", {"metadata": {"labels": {"a": "b"}}})
        before = len(store.writes)
        await eventually(lambda: len(store.writes) >= before + 3, 5)
        assert not one.task.done()
        del store.leases["shop"]
        await eventually(lambda: "shop" in store.leases, 5)
        assert store.holder() == ONE.holder


async def test_what_follows_from_a_lease_is_tried_until_it_works() -> None:
    store = Store()
    async with working(store, ONE) as one:
        one.callbacks.failing = 2
        await eventually(lambda: one.callbacks.told, 5)
        assert one.callbacks.told == ["held shop"]


async def test_a_namespace_that_is_being_deleted_is_let_go_of_while_its_lease_is_held() -> None:
    store = Store()
    async with working(store, ONE) as one:
        await one.until(LeaseState.HOLDING)
        store.terminating.add("shop")
        await one.until(LeaseState.TERMINATING)
        assert one.callbacks.told == ["held shop", "terminating shop"]
        assert not await may_write(one.guard)
        del store.leases["shop"]
        store.terminating.clear()  # and one of the same name is made
        await one.until(LeaseState.HOLDING)


async def test_a_namespace_without_work_is_left_and_its_lease_goes() -> None:
    store = Store()
    async with working(store, ONE) as one:
        await one.until(LeaseState.HOLDING)
        one.guard.set_namespaces(set())
        await eventually(lambda: not one.guard.leases, 5)
        assert one.callbacks.told == ["held shop", "left shop"]
        assert not store.leases


async def test_what_takes_finalizers_off_waits_for_its_own_and_passes_by_others() -> None:
    store = Store()
    async with working(store, ONE) as one:
        await one.until(LeaseState.HOLDING)
        assert await guarding.acquire(store, STRANGER, "shop", TIMING, 5) is None
        waiting = asyncio.create_task(guarding.acquire(store, TWO, "shop", TIMING, 5))
        await asyncio.sleep(TIMING.retry)
        assert not waiting.done()
        await one.kill()
        await one.guard.close()
        lease = await waiting
        assert lease is not None
        assert lease.holder == TWO.holder
    with pytest.raises(UnreachableError, match="was not free within"):
        await guarding.acquire(store, replace(TWO, pod="c"), "shop", TIMING, 0.1)
