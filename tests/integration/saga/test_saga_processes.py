"""The services as processes, killed with -9 in the middle of every call that the saga makes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from demo.order.v1 import order_pb2 as pb
from support.sagaprocesses import Town, on_one, town

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

DOING = ("Reserve", "Charge", "Ship")
UNDOING = ("Release", "Refund")


@pytest.fixture(params=["sqlite", "postgresql"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Town]:
    database = on_one(request.getfixturevalue("postgres").new_database()) if request.param == "postgresql" else None
    async with town(tmp_path, database) as made:
        yield made


async def through(town: Town, method: str, *, after: bool, participant: bool = False) -> None:
    """An order in whose call of `method` somebody is killed."""
    town.refuse_shipping(refused=method in UNDOING)
    happened = town.kill_during(method, after=after, participant=participant)
    order = await town.place("ab"[len(town.placed) % 2])
    done = await town.settled(order)
    assert happened.is_set(), f"nobody was killed during {method}"
    assert done.state == (pb.REJECTED if method in UNDOING else pb.COMPLETED), done
    await town.up()


@pytest.mark.slow
async def test_a_participant_killed_before_or_after_any_step_loses_and_doubles_nothing(place: Town):
    for method in (*DOING, *UNDOING):
        for after in (False, True):
            await through(place, method, after=after, participant=True)
    await place.redeliver()
    await place.check()


@pytest.mark.slow
async def test_an_order_service_killed_before_or_after_any_step_is_taken_over_from(place: Town):
    for method in (*DOING, *UNDOING):
        for after in (False, True):
            await through(place, method, after=after)
    await place.redeliver()
    await place.check()
