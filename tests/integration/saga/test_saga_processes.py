"""The services as processes, killed with -9 in the middle of every call that the saga makes."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from demo.order.v1 import order_pb2 as pb
from integration.saga.saga_processes import REPLICAS, Town, on_one, refused_shipping, town
from support.demo.saga import doubled, lost_answer, lost_request, passed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.demo.saga import Fault

DOING = ("Reserve", "Charge", "Ship")
UNDOING = ("Release", "Refund")


@pytest.fixture(params=["sqlite", "postgresql"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Town]:
    database = on_one(request.getfixturevalue("postgres").new_database()) if request.param == "postgresql" else None
    async with town(tmp_path, database) as made:
        yield made


async def through(town: Town, method: str, *, after: bool, participant: bool = False) -> None:
    """An order in whose call of `method` a process is killed."""
    town.refuse_shipping(refused=method in UNDOING)
    happened = town.kill_during(method, after=after, participant=participant)
    order = await town.place("ab"[len(town.placed) % 2])
    done = await town.settled(order)
    assert happened.is_set(), f"nobody was killed during {method}"
    assert done.state == (pb.REJECTED if method in UNDOING else pb.COMPLETED), done
    await town.up()


@pytest.mark.slow
async def test_a_participant_killed_before_or_after_any_step_loses_and_doubles_nothing(place: Town) -> None:
    for method in (*DOING, *UNDOING):
        for after in (False, True):
            await through(place, method, after=after, participant=True)
    await place.redeliver()
    await place.check()


@pytest.mark.slow
async def test_an_order_service_killed_before_or_after_any_step_is_taken_over_from(place: Town) -> None:
    for method in (*DOING, *UNDOING):
        for after in (False, True):
            await through(place, method, after=after)
    await place.redeliver()
    await place.check()


@pytest.mark.slow
async def test_money_and_stock_add_up_whichever_process_is_killed_under_many_orders(place: Town) -> None:
    """All at once: two order services, lost and doubled calls, refusals, and again and again a killed process."""
    chosen = random.Random(7)
    kills = [(method, chosen.random() < 0.5, whom) for method in (*DOING, *UNDOING) for whom in (False, True)]
    chosen.shuffle(kills)
    done = asyncio.Event()

    def fault(method: str) -> Fault:
        if method == "Ship" and chosen.random() < 0.3:
            return refused_shipping
        return chosen.choice((passed, passed, passed, lost_request, lost_answer, doubled))

    async def buy(replica: str) -> None:
        while not done.is_set():
            await place.settled(await place.place(replica, 1 + len(place.placed) % 3))

    buyers = [asyncio.create_task(buy(replica)) for replica in REPLICAS]
    for method, after, participant in kills:
        place.disturb(fault)
        await asyncio.wait_for(place.kill_during(method, after=after, participant=participant).wait(), 60)
        await place.up()
    place.leave_alone()
    done.set()
    await asyncio.gather(*buyers)
    await place.redeliver()
    await place.check()
