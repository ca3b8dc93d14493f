"""The driver ends with its service, whatever it is doing at that moment."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from services.order.adapters import MeshParticipants
from services.order.domain import placed
from services.order.driver import Driver
from services.order.events import Item, OrderPlaced, StepName
from services.order.saga import Do, NoAnswer, RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ORDER = placed("an order", OrderPlaced("k", "ada", (Item("TEA", 1),)), NOW)


class Idle:
    """Nothing is due."""

    def __init__(self) -> None:
        self.looked = asyncio.Event()

    async def due(self, now: datetime, limit: int) -> Sequence[str]:
        self.looked.set()
        return []


class One(Idle):
    """An order is due, and giving it back takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self.given_back = False

    async def due(self, now: datetime, limit: int) -> Sequence[str]:
        return [ORDER.id]

    async def claim(self, *_: object) -> bool:
        return True

    async def get(self, order_id: str) -> Any:
        self.looked.set()
        await asyncio.Event().wait()

    async def give_back(self, *_: object) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        self.given_back = True


def driver(orders: Any) -> Driver:
    participants: Any = None
    return Driver("a", orders, participants, RetryPolicy(), on_change=lambda _: None, jitter=lambda: 0.5)


async def stopped(made: Driver, orders: Idle, *, woken: bool) -> None:
    async def work() -> None:
        async with made.running():
            await orders.looked.wait()
            if woken:
                # The driver's wait ends at the next turn of the loop, and the cancellation arrives together with that.
                made.wake()
                await asyncio.sleep(0)

    await asyncio.wait_for(work(), 5)


async def test_a_driver_that_is_woken_while_it_is_stopped_stops() -> None:
    orders = Idle()
    await stopped(driver(orders), orders, woken=True)


async def test_a_driver_that_is_stopped_gives_back_what_it_drives() -> None:
    orders = One()
    await stopped(driver(orders), orders, woken=False)
    assert orders.given_back


class Broken(One):
    """An order that cannot be read, as one of a later version."""

    async def get(self, order_id: str) -> Any:
        raise ValueError("an event that this version does not know")


async def test_an_order_that_breaks_its_driver_is_left_alone_until_the_lease_has_run_out() -> None:
    orders = Broken()
    with pytest.raises(ValueError, match="an event that this version does not know"):
        await driver(orders).drive(ORDER.id)
    assert not orders.given_back


async def test_a_call_that_fails_in_an_unexpected_way_has_no_answer() -> None:
    class Stub:
        async def Reserve(self, request: Any, timeout: float) -> Any:
            raise RuntimeError("a slip of ours")

    stub: Any = Stub()
    participants = MeshParticipants(stub, stub, 1.0)
    assert await participants.do(Do(StepName.RESERVE, 1), ORDER) == NoAnswer("RuntimeError: a slip of ours")
