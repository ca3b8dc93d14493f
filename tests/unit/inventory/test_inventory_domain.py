"""What a reservation may become."""

from __future__ import annotations

import itertools

import pytest

from services.inventory import domain
from services.inventory.domain import Item, Reservation, ReservationState, Restock, Stock

STOCK = {"TEA": Stock("TEA", "Tea", 250, available=5), "MUG": Stock("MUG", "Mug", 1200, available=1)}
ITEMS = (Item("TEA", 2), Item("MUG", 1))


def total(stock) -> dict[str, int]:
    return {sku: entry.available + entry.reserved + entry.shipped for sku, entry in stock.items()}


def play(steps, items=ITEMS) -> tuple[Reservation | None, dict[str, Stock]]:
    """What is stored after these steps; what is refused changes nothing."""
    known, stock = None, dict(STOCK)
    for step in steps:
        try:
            if step == "reserve":
                change = domain.reserve(known, "k", items, stock)
            elif step == "release":
                change = domain.release(known, "k", stock)
            else:
                change = domain.ship(known, stock)
        except domain.ReservationNotHeldError:
            continue
        known = change.reservation
        stock |= {entry.sku: entry for entry in change.stock}
    return known, stock


@pytest.mark.parametrize("steps", list(itertools.product(["reserve", "release", "ship"], repeat=4)))
def test_whatever_the_order_no_piece_comes_or_goes_and_the_first_fate_stays(steps):
    known, stock = play(steps)
    assert total(stock) == total(STOCK)
    moves = [step for step in steps if step != "ship" or "reserve" in steps[: steps.index(step)]]
    if moves and moves[0] == "release":
        assert known == Reservation("k", ReservationState.RELEASED)
        assert stock == STOCK
    elif known is not None:
        assert known.total_cents == 2 * 250 + 1200
        after = [step for step in steps[steps.index("reserve") :] if step != "reserve"]
        fate = {"release": ReservationState.RELEASED, "ship": ReservationState.SHIPPED}
        assert known.state is (fate[after[0]] if after else ReservationState.HELD)


def test_what_is_missing_is_counted_for_each_item() -> None:
    change = domain.reserve(None, "k", (Item("TEA", 7), Item("MUG", 1)), STOCK)
    assert change.reservation.state is ReservationState.OUT_OF_STOCK
    assert change.reservation.missing == (Item("TEA", 2),)
    assert (change.stock, change.event) == ((), "")


def test_the_order_of_the_items_makes_no_difference() -> None:
    held = domain.reserve(None, "k", ITEMS, STOCK).reservation
    assert domain.reserve(held, "k", tuple(reversed(ITEMS)), STOCK).reservation == held


def test_an_item_is_not_restocked_beyond_what_can_be_counted() -> None:
    full = Stock("TEA", "Tea", 1, available=domain.MAX_STOCK - 5, shipped=4)
    assert domain.restock(Restock("k", "TEA", 1), full).available == domain.MAX_STOCK - 4
    with pytest.raises(domain.InvalidRequestError, match="quantity would make more than"):
        domain.restock(Restock("k", "TEA", 2), full)
