"""The inventory over gRPC: what is reserved, given back and shipped, each once for its key."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from demo.inventory.v1 import inventory_pb2 as pb
from support.demo.saga import refusal

if TYPE_CHECKING:
    from demo.inventory.v1.inventory_pb2_grpc import InventoryServiceStub

TEA, MUG = "TEA", "MUG-1.5"


@pytest.fixture(autouse=True)
async def stocked(inventory: InventoryServiceStub) -> None:
    await restock(inventory, "seed/1", TEA, 10, 250)
    await restock(inventory, "seed/2", MUG, 3, 1200)


async def restock(inventory, key, sku, quantity, price=0, **more) -> pb.Stock:
    return await inventory.Restock(pb.RestockRequest(key=key, sku=sku, quantity=quantity, price_cents=price, **more))


def reserve(inventory, key, **quantities):
    skus = {"tea": TEA, "mug": MUG, "nothing": "NOTHING"}
    items = [pb.Item(sku=skus[name], quantity=quantity) for name, quantity in quantities.items()]
    return inventory.Reserve(pb.ReserveRequest(key=key, items=items))


async def figures(inventory, sku=TEA) -> tuple[int, int, int]:
    stock = await inventory.GetStock(pb.GetStockRequest(sku=sku))
    return stock.available, stock.reserved, stock.shipped


async def test_all_items_are_set_aside_and_shipped(inventory):
    held = await reserve(inventory, "a", tea=4, mug=1)
    assert (held.state, held.total_cents, len(held.items)) == (pb.HELD, 4 * 250 + 1200, 2)
    assert await figures(inventory) == (6, 4, 0)
    shipped = await inventory.Ship(pb.ShipRequest(key="a"))
    assert shipped.state == pb.SHIPPED
    assert await figures(inventory) == (6, 0, 4)
    assert await figures(inventory, MUG) == (2, 0, 1)


async def test_too_little_of_one_item_reserves_none_of_any(inventory):
    answer = await reserve(inventory, "a", tea=2, mug=5)
    assert (answer.state, list(answer.missing)) == (pb.OUT_OF_STOCK, [pb.Item(sku=MUG, quantity=2)])
    assert await figures(inventory) == (10, 0, 0)


async def test_a_key_that_was_out_of_stock_stays_so_when_more_has_come(inventory):
    await reserve(inventory, "a", mug=5)
    await restock(inventory, "more", MUG, 10)
    assert (await reserve(inventory, "a", mug=5)).state == pb.OUT_OF_STOCK
    assert (await reserve(inventory, "b", mug=5)).state == pb.HELD


async def test_whatever_is_asked_again_is_done_once(inventory):
    for _ in range(3):
        assert (await reserve(inventory, "a", tea=4)).state == pb.HELD
    assert await figures(inventory) == (6, 4, 0)
    for _ in range(3):
        assert (await inventory.Release(pb.ReleaseRequest(key="a"))).state == pb.RELEASED
    assert await figures(inventory) == (10, 0, 0)
    assert (await reserve(inventory, "a", tea=4)).state == pb.RELEASED
    assert await figures(inventory) == (10, 0, 0)
    assert (await restock(inventory, "more", TEA, 5)).available == 15
    assert (await restock(inventory, "more", TEA, 5)).available == 15


async def test_of_many_who_ask_with_one_key_at_once_one_reserves(inventory):
    answers = await asyncio.gather(*(reserve(inventory, "a", tea=4) for _ in range(10)))
    assert {answer.state for answer in answers} == {pb.HELD}
    assert await figures(inventory) == (6, 4, 0)


async def test_of_many_who_want_the_last_ones_as_many_get_them_as_there_are(inventory):
    answers = await asyncio.gather(*(reserve(inventory, f"k{number}", mug=1, tea=1) for number in range(8)))
    assert sorted(answer.state for answer in answers) == [pb.HELD] * 3 + [pb.OUT_OF_STOCK] * 5
    assert await figures(inventory, MUG) == (0, 3, 0)
    assert await figures(inventory) == (7, 3, 0)


async def test_of_many_who_bring_a_new_item_at_once_every_piece_counts(inventory):
    await asyncio.gather(*(restock(inventory, f"r{number}", "NEW", 2, 100) for number in range(5)))
    assert await figures(inventory, "NEW") == (10, 0, 0)


async def test_a_release_that_comes_first_leaves_nothing_to_reserve(inventory):
    assert (await inventory.Release(pb.ReleaseRequest(key="a"))).state == pb.RELEASED
    late = await reserve(inventory, "a", tea=4)
    assert (late.state, late.total_cents) == (pb.RELEASED, 0)
    assert await figures(inventory) == (10, 0, 0)


async def test_releases_and_reserves_of_one_key_at_once_leave_nothing_set_aside(inventory):
    calls = [call for _ in range(5) for call in (reserve(inventory, "a", tea=4), release(inventory, "a"))]
    await asyncio.gather(*calls)
    await release(inventory, "a")
    assert await figures(inventory) == (10, 0, 0)


def release(inventory, key):
    return inventory.Release(pb.ReleaseRequest(key=key))


async def test_what_has_left_the_house_is_not_given_back(inventory):
    await reserve(inventory, "a", tea=4)
    await inventory.Ship(pb.ShipRequest(key="a"))
    assert (await release(inventory, "a")).state == pb.SHIPPED
    assert (await inventory.Ship(pb.ShipRequest(key="a"))).state == pb.SHIPPED
    assert await figures(inventory) == (6, 0, 4)


async def test_only_what_is_held_is_shipped(inventory):
    await reserve(inventory, "out", mug=9)
    await reserve(inventory, "gone", tea=1)
    await release(inventory, "gone")
    for key in ("unknown", "out", "gone"):
        found = await refusal(inventory.Ship(pb.ShipRequest(key=key)))
        assert (found.code, found.reason) == ("FAILED_PRECONDITION", "RESERVATION_NOT_HELD")
    assert await figures(inventory) == (10, 0, 0)


async def test_a_key_used_for_something_else_is_refused(inventory):
    await reserve(inventory, "a", tea=4)
    for call in (reserve(inventory, "a", tea=5), reserve(inventory, "a", tea=4, mug=1)):
        found = await refusal(call)
        assert (found.code, found.reason) == ("ALREADY_EXISTS", "RESERVATION_DIFFERS")
    found = await refusal(restock(inventory, "seed/1", MUG, 10))
    assert (found.code, found.reason) == ("ALREADY_EXISTS", "RESTOCK_DIFFERS")
    assert await figures(inventory) == (6, 4, 0)


@pytest.mark.parametrize(
    ("key", "items", "fields"),
    [
        ("", [(TEA, 1)], {"key": "must be 1 to 100 visible ASCII characters"}),
        ("a b", [(TEA, 1)], {"key": "must be 1 to 100 visible ASCII characters"}),
        ("k" * 101, [(TEA, 1)], {"key": "must be 1 to 100 visible ASCII characters"}),
        ("a", [], {"items": "must be 1 to 100 items"}),
        ("a", [(f"S{number}", 1) for number in range(101)], {"items": "must be 1 to 100 items"}),
        ("a", [(TEA, 0), (MUG, -1)], {"items[0].quantity": "must be 1 to 1000000", "items[1].quantity": None}),
        ("a", [(TEA, 2**31 - 1)], {"items[0].quantity": "must be 1 to 1000000"}),
        ("a", [(TEA, 1), (TEA, 2)], {"items[1].sku": "is named twice"}),
        ("a", [("T EA", 1)], {"items[0].sku": "must be 1 to 64 letters, digits, dashes and dots"}),
        ("a", [(TEA, 1), ("NOTHING", 1)], {"items[1].sku": "names no item"}),
    ],
)
async def test_each_wrong_field_of_a_reservation_is_named(inventory, key, items, fields):
    asked = [pb.Item(sku=sku, quantity=quantity) for sku, quantity in items]
    found = await refusal(inventory.Reserve(pb.ReserveRequest(key=key, items=asked)))
    assert (found.code, found.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert set(found.fields) == set(fields)
    assert all(what is None or found.fields[field] == what for field, what in fields.items())
    assert await figures(inventory) == (10, 0, 0)


async def test_each_wrong_field_of_a_restocking_is_named(inventory):
    found = await refusal(restock(inventory, "", "?", -1, -1, title="\n"))
    assert set(found.fields) == {"key", "sku", "quantity", "title", "price_cents"}
    found = await refusal(restock(inventory, "n", "NEW", 1))
    assert found.fields == {"price_cents": "is required for an item that is new"}


async def test_an_item_gets_a_title_and_a_price_and_keeps_them(inventory):
    await restock(inventory, "n", "NEW", 1, 100, title="Something new")
    assert await restock(inventory, "m", "NEW", 1) == pb.Stock(
        sku="NEW", title="Something new", price_cents=100, available=2
    )
    assert (await restock(inventory, "o", "NEW", 1, 200)).price_cents == 200
    listed = await inventory.ListStock(pb.ListStockRequest())
    assert [stock.sku for stock in listed.stock] == sorted(["NEW", TEA, MUG])


@pytest.mark.parametrize("sku", ["NOTHING", "", "not a sku", "x" * 1000])
async def test_an_unknown_item_is_not_found(inventory, sku):
    found = await refusal(inventory.GetStock(pb.GetStockRequest(sku=sku)))
    assert (found.code, found.reason) == ("NOT_FOUND", "ITEM_NOT_FOUND")


async def test_the_largest_reservation_is_counted_exactly(inventory):
    items = [pb.Item(sku=f"G{number}", quantity=1_000_000) for number in range(100)]
    for item in items:  # all at once they could wait longer for a connection than the service lets them
        await restock(inventory, item.sku, item.sku, 1_000_000, 10**9)
    held = await inventory.Reserve(pb.ReserveRequest(key="all", items=items))
    assert (held.state, held.total_cents) == (pb.HELD, 10**17)
