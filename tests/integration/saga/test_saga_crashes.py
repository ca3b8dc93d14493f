"""Wherever an order service dies or a call goes astray, money and stock add up and every order comes to its end."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integration.saga.saga_chaos import POLICY, Fault, copied, world
from services.order.domain import OrderState
from services.order.events import Resolution

if TYPE_CHECKING:
    from pathlib import Path

NUMBERS = itertools.count()
FAULTS = [fault for fault in Fault if fault is not Fault.NONE]
OF_THE_SERVICE = {Fault.DIES_BEFORE, Fault.DIES_AFTER, Fault.STALLS}
"""At any await. All other faults are of calls."""
MANY = settings(max_examples=50, suppress_health_check=list(HealthCheck), derandomize=True)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Databases with goods and money in them."""
    folder = tmp_path_factory.mktemp("template")

    async def make() -> None:
        async with world(folder):
            pass

    asyncio.run(make())
    return folder


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.lower())
@pytest.mark.parametrize("wanted", [{"tea": 1}, {"tea": 1, "mug": 9}], ids=["done", "undone"])
async def test_one_fault_at_any_await_changes_nothing_of_the_outcome(tmp_path, wanted, fault):
    """`undone` costs more than there is: what was reserved must be given back."""
    async with world(tmp_path) as made:
        await made.place("calm", **wanted)
        [calm] = await made.run()
        points = list(range(made.awaits)) if fault in OF_THE_SERVICE else list(made.calls)
        assert len(points) >= 3
        for point in points:
            made.faults = [Fault.NONE] * point + [fault]
            await made.place(f"at-{point}", **wanted)
            orders = await made.run()
            assert made.faults == []
        await made.check(orders)
        assert [order.state for order in orders] == [calm.state] * (1 + len(points))
        assert made.deaths == (len(points) if fault in {Fault.DIES_BEFORE, Fault.DIES_AFTER} else 0)


@pytest.mark.parametrize("method", ["Reserve", "Charge", "Ship"])
async def test_what_arrives_after_it_was_undone_has_no_effect(tmp_path, method):
    async with world(tmp_path) as made:
        made.always, made.holds_late = {method: Fault.LATE}, True
        await made.place("k", tea=1)
        [order] = await made.run()
        assert (order.state, len(made.late)) == (OrderState.REJECTED, POLICY.attempts)
        await made.check([order])


@MANY
@given(data=st.data())
def test_whatever_goes_wrong_money_and_stock_add_up(template, tmp_path_factory, data):
    faults = data.draw(st.lists(st.sampled_from(Fault), max_size=60), label="faults")
    wanted = data.draw(
        st.lists(st.fixed_dictionaries({"tea": st.integers(1, 12), "mug": st.integers(1, 6)}), min_size=1, max_size=3),
        label="orders",
    )
    hopeless = st.dictionaries(
        st.sampled_from(["Reserve", "Charge", "Ship"]),
        st.sampled_from([Fault.LATE, Fault.UNHEARD, Fault.LOST]),
        max_size=1,
    )
    always = data.draw(hopeless, label="always")
    holds_late = data.draw(st.booleans(), label="late ones come last")
    stuck = data.draw(st.booleans(), label="refunds fail until a person looks")

    async def play() -> None:
        async with world(copied(template, tmp_path_factory.getbasetemp() / f"world{next(NUMBERS)}")) as made:
            made.faults, made.undo_fails = list(faults), stuck
            made.always, made.holds_late = always, holds_late
            for number, quantities in enumerate(wanted):
                await made.place(f"k{number}", **quantities)
            orders = await made.run()
            attention = [order for order in orders if order.state is OrderState.NEEDS_ATTENTION]
            assert stuck or not attention
            made.faults, made.undo_fails = [], False
            for order in attention:
                book, _ = made.service()
                await book.resolve(order.id, Resolution.RETRY, "grace", "looked at it")
            await made.check(await made.run())

    asyncio.run(play())
