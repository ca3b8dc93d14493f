"""Orders over gRPC, carried through inventory and payment."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from demo.order.v1 import order_pb2 as pb
from meshwright.auth import Auth
from meshwright.testing import Issuer
from services.order.server import PUBLIC
from support.demo.saga import ADA, MUG, TEA, doubled, lost_answer, lost_request, order_request, refusal, settled, shop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from demo.order.v1.order_pb2_grpc import OrderServiceStub
    from support.demo.saga import Shop

NOBODY = "01890000-0000-7000-8000-00000000dead"


@pytest.fixture
async def market(new_database) -> AsyncIterator[Shop]:
    async with shop(new_database) as made:
        yield made


@pytest.fixture
async def orders(market: Shop) -> OrderServiceStub:
    return (await market.replica("a")).stub


def states(order: pb.Order) -> list[str]:
    return [pb.SagaStepState.Name(step.state).removeprefix("STEP_") for step in order.steps]


async def test_an_order_is_reserved_paid_and_shipped(market, orders):
    placed = await orders.PlaceOrder(order_request("k", tea=2, mug=1))
    assert (placed.state, placed.version, placed.user_id) == (pb.PENDING, 1, ADA)
    done = await settled(orders, placed)
    assert (done.state, done.total_cents, states(done)) == (pb.COMPLETED, 1700, ["DONE"] * 3)
    assert [step.name for step in done.steps] == ["reserve_inventory", "charge_payment", "ship_items"]
    assert await market.balance() == 5000 - 1700
    assert (await market.stock(), await market.stock(MUG)) == ((8, 0, 2), (9, 0, 1))
    assert await orders.GetOrder(pb.GetOrderRequest(id=placed.id)) == done


async def test_what_is_out_of_stock_is_an_outcome(market, orders):
    done = await settled(orders, await orders.PlaceOrder(order_request("k", tea=11)))
    assert (done.state, done.reason) == (pb.REJECTED, "out of stock: TEA (1 too few)")
    assert states(done) == ["REFUSED", "WAITING", "WAITING"]
    assert (await market.balance(), await market.stock()) == (5000, (10, 0, 0))


async def test_who_cannot_pay_gets_nothing_and_nothing_stays_set_aside(market, orders):
    done = await settled(orders, await orders.PlaceOrder(order_request("k", mug=5)))
    assert (done.state, done.reason) == (pb.REJECTED, "payment declined: the account holds 5000 cents")
    assert states(done) == ["COMPENSATED", "REFUSED", "WAITING"]
    assert (await market.balance(), await market.stock(MUG)) == (5000, (10, 0, 0))


async def test_an_unknown_item_is_refused_by_name(market, orders):
    done = await settled(orders, await orders.PlaceOrder(order_request("k", nothing=1)))
    assert (done.state, done.reason) == (pb.REJECTED, "INVALID_REQUEST: items[0].sku names no item")


@pytest.mark.parametrize("fault", [lost_request, lost_answer, doubled], ids=lambda fault: fault.__name__)
async def test_whatever_is_lost_or_doubled_on_the_way_is_done_once(market, orders, fault):
    inventory, payment = market.proxies["inventory"], market.proxies["payment"]
    inventory.once("Reserve", fault)
    payment.once("Charge", fault)
    inventory.once("Ship", fault)
    done = await settled(orders, await orders.PlaceOrder(order_request("k", tea=2)))
    assert done.state == pb.COMPLETED
    await inventory.redeliver()
    await payment.redeliver()
    assert (await market.balance(), await market.stock()) == (4500, (8, 0, 2))


@pytest.mark.parametrize("fault", [lost_request, lost_answer, doubled], ids=lambda fault: fault.__name__)
async def test_whatever_is_lost_or_doubled_is_undone_once(market, orders, fault):
    inventory, payment = market.proxies["inventory"], market.proxies["payment"]
    inventory.always("Ship", lost_request)
    inventory.once("Release", fault)
    payment.once("Refund", fault)
    done = await settled(orders, await orders.PlaceOrder(order_request("k", tea=2)))
    assert done.state == pb.REJECTED
    assert done.reason.startswith("no answer to ship_items, tried 4 times: ")
    assert states(done) == ["COMPENSATED"] * 3
    await inventory.redeliver()
    await payment.redeliver()
    assert (await market.balance(), await market.stock()) == (5000, (10, 0, 0))


async def test_a_charge_that_is_not_answered_in_time_is_given_back_even_if_it_comes_later(market, orders):
    market.proxies["payment"].always("Charge", lost_answer)
    done = await settled(orders, await orders.PlaceOrder(order_request("k", tea=2)))
    assert (done.state, states(done)) == (pb.REJECTED, ["COMPENSATED", "COMPENSATED", "WAITING"])
    await market.proxies["payment"].redeliver()
    assert (await market.balance(), await market.stock()) == (5000, (10, 0, 0))


async def test_what_has_left_the_house_unheard_completes_the_order(market, orders):
    market.proxies["inventory"].always("Ship", lost_answer)
    done = await settled(orders, await orders.PlaceOrder(order_request("k", tea=2)))
    assert (done.state, states(done), done.reason) == (pb.COMPLETED, ["DONE"] * 3, "")
    assert (await market.balance(), await market.stock()) == (4500, (8, 0, 2))


async def test_a_compensation_that_keeps_failing_needs_attention_and_may_be_retried(market, orders):
    market.proxies["inventory"].always("Ship", lost_request)
    market.proxies["payment"].always("Refund", lost_request)
    stuck = await settled(orders, await orders.PlaceOrder(order_request("k", tea=2)))
    assert (stuck.state, states(stuck)) == (pb.NEEDS_ATTENTION, ["DONE", "STUCK", "COMPENSATED"])
    assert stuck.reason.startswith("charge_payment cannot be undone: tried 4 times: ")
    assert market.proxies["payment"].calls.count("Refund") % 4 == 0
    assert (await market.balance(), await market.stock()) == (4500, (10, 0, 0))
    market.proxies["payment"].always("Refund", None)
    request = pb.ResolveOrderRequest(id=stuck.id, resolution=pb.RETRY, actor="grace", reason="the bank is back")
    again = await orders.ResolveOrder(request)
    assert again.state == pb.COMPENSATING
    done = await settled(orders, again)
    assert (done.state, states(done)) == (pb.REJECTED, ["COMPENSATED"] * 3)
    assert (await market.balance(), await market.stock()) == (5000, (10, 0, 0))
    found = await refusal(orders.ResolveOrder(request))
    assert (found.code, found.reason) == ("FAILED_PRECONDITION", "NO_ATTENTION_NEEDED")


async def test_a_step_may_be_given_up_and_the_others_are_undone(market, orders):
    market.proxies["inventory"].always("Ship", lost_request)
    market.proxies["payment"].always("Refund", lost_request)
    stuck = await settled(orders, await orders.PlaceOrder(order_request("k", tea=2)))
    assert await market.stock() == (10, 0, 0)
    request = pb.ResolveOrderRequest(id=stuck.id, resolution=pb.GIVE_UP, actor="grace", reason="paid in cash")
    done = await settled(orders, await orders.ResolveOrder(request))
    assert (done.state, states(done)) == (pb.REJECTED, ["COMPENSATED", "STUCK", "COMPENSATED"])
    assert done.reason.endswith("; charge_payment was given up by grace: paid in cash")
    assert (await market.balance(), await market.stock()) == (4500, (10, 0, 0))
    history = await orders.GetHistory(pb.GetHistoryRequest(id=done.id))
    decided = next(event for event in history.events if event.type == "AttentionResolved")
    assert json.loads(decided.data) == {
        "step": "charge_payment",
        "resolution": "GIVE_UP",
        "actor": "grace",
        "reason": "paid in cash",
    }


async def test_where_callers_are_verified_an_admin_of_no_tenant_decides_and_is_remembered(market):
    issuer = Issuer()
    orders = (await market.replica("a", auth=Auth(issuer.verifier(), PUBLIC))).stub
    market.proxies["payment"].always("Charge", lost_request)
    market.proxies["payment"].always("Refund", lost_request)
    ada, grace = issuer.metadata(ADA), issuer.metadata("grace", roles=["admin"])
    founder = issuer.metadata("eve", roles=["admin"], tenant="eves")
    placed = await orders.PlaceOrder(order_request("k", tea=1), metadata=ada)
    watch = orders.WatchOrder(pb.WatchOrderRequest(id=placed.id), timeout=30, metadata=ada)
    assert [change async for change in watch][-1].state == pb.NEEDS_ATTENTION
    stuck, decision = (
        pb.ListOrdersRequest(states=[pb.NEEDS_ATTENTION]),
        pb.ResolveOrderRequest(id=placed.id, resolution=pb.GIVE_UP, actor="somebody else", reason="paid in cash"),
    )
    for nobody in (ada, founder):
        for call in (orders.ListOrders(stuck, metadata=nobody), orders.ResolveOrder(decision, metadata=nobody)):
            found = await refusal(call)
            assert (found.code, found.reason) == ("PERMISSION_DENIED", "NOT_ALLOWED")
    assert [order.id for order in (await orders.ListOrders(stuck, metadata=grace)).orders] == [placed.id]
    await orders.ResolveOrder(decision, metadata=grace)
    history = await orders.GetHistory(pb.GetHistoryRequest(id=placed.id), metadata=ada)
    decided = next(event for event in history.events if event.type == "AttentionResolved")
    assert json.loads(decided.data)["actor"] == "grace"


async def test_one_key_makes_one_order(orders):
    placed = await asyncio.gather(*(orders.PlaceOrder(order_request("k", tea=1)) for _ in range(8)))
    assert len({order.id for order in placed}) == 1
    done = await settled(orders, placed[0])
    assert (await orders.PlaceOrder(order_request("k", tea=1))).id == done.id
    listed = await orders.ListOrders(pb.ListOrdersRequest())
    assert [order.id for order in listed.orders] == [done.id]
    for other in (order_request("k", tea=2), order_request("k", user="bob", tea=1)):
        found = await refusal(orders.PlaceOrder(other))
        assert (found.code, found.reason) == ("ALREADY_EXISTS", "ORDER_DIFFERS")


async def test_a_watch_shows_each_change_until_the_order_rests(market, orders):
    market.proxies["payment"].once("Charge", lost_request, lost_request)
    placed = await orders.PlaceOrder(order_request("k", tea=1))
    seen = [change async for change in orders.WatchOrder(pb.WatchOrderRequest(id=placed.id), timeout=30)]
    assert [change.version for change in seen] == list(range(seen[0].version, seen[-1].version + 1))
    assert seen[-1].state == pb.COMPLETED
    late = [change async for change in orders.WatchOrder(pb.WatchOrderRequest(id=placed.id), timeout=30)]
    assert late == [seen[-1]]


async def test_a_watch_at_another_replica_misses_nothing(market, orders):
    watching = (await market.replica("b", driving=False)).stub
    market.proxies["inventory"].once("Reserve", lost_request)
    placed = await orders.PlaceOrder(order_request("k", tea=1))
    seen = [change async for change in watching.WatchOrder(pb.WatchOrderRequest(id=placed.id), timeout=30)]
    assert [change.version for change in seen] == list(range(seen[0].version, seen[-1].version + 1))
    assert seen[-1].state == pb.COMPLETED


async def test_the_history_is_every_event_as_it_was_stored(market, orders):
    market.proxies["payment"].once("Charge", lost_request)
    done = await settled(orders, await orders.PlaceOrder(order_request("k", tea=1)))
    history = (await orders.GetHistory(pb.GetHistoryRequest(id=done.id))).events
    assert [event.version for event in history] == list(range(1, done.version + 1))
    assert [event.type for event in history][:5] == [
        "OrderPlaced",
        "StepStarted",
        "StepCompleted",
        "StepStarted",
        "StepFailed",
    ]
    assert history[-1].type == "OrderCompleted"
    assert json.loads(history[2].data) == {"step": "reserve_inventory", "total_cents": 250}
    first = json.loads(history[0].data)
    assert first["items"] == [{"sku": TEA, "quantity": 1}]


async def test_what_the_saga_does_belongs_to_the_trace_in_which_the_order_was_placed(market, orders):
    await settled(orders, await orders.PlaceOrder(order_request("k", tea=1)))
    server = next(span for span in market.proxied["payment"].spans.spans if span.name.endswith("Charge"))
    [placed] = await market.events("order", 1)
    trace = placed.traceparent.split("-")[1]
    assert trace == f"{server.context.trace_id:032x}"
    charged = (await market.events("payment", 10))[-1]
    assert (charged.name, charged.traceparent.split("-")[1]) == ("Charged", trace)


async def test_orders_are_listed_newest_first_by_user_state_and_place(market, orders):
    await market.deposit("bob", 100_000, user="bob")
    placed = [await orders.PlaceOrder(order_request(f"k{number}", user="bob", tea=1)) for number in range(3)]
    poor = await settled(orders, await orders.PlaceOrder(order_request("poor", user="eve", tea=1)))
    for order in placed:
        await settled(orders, order)

    async def ids(**wanted) -> list[str]:
        return [order.id for order in (await orders.ListOrders(pb.ListOrdersRequest(**wanted))).orders]

    newest = [order.id for order in reversed(placed)]
    assert await ids() == [poor.id, *newest]
    assert await ids(user_id="bob", limit=2) == newest[:2]
    assert await ids(user_id="bob", before=newest[1]) == newest[2:]
    assert await ids(states=[pb.REJECTED]) == [poor.id]
    assert await ids(states=[pb.PENDING, pb.NEEDS_ATTENTION]) == []
    assert await ids(user_id="nobody") == []


async def test_an_unknown_order_is_not_found(orders):
    for wrong in (NOBODY, "", "no id", "x" * 1000):
        for call in (
            orders.GetOrder(pb.GetOrderRequest(id=wrong)),
            orders.GetHistory(pb.GetHistoryRequest(id=wrong)),
            orders.WatchOrder(pb.WatchOrderRequest(id=wrong)).read(),
            orders.ResolveOrder(pb.ResolveOrderRequest(id=wrong, resolution=pb.RETRY, actor="a", reason="b")),
        ):
            found = await refusal(call)
            assert (found.code, found.reason) == ("NOT_FOUND", "ORDER_NOT_FOUND")


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (pb.PlaceOrderRequest(), {"idempotency_key", "user_id", "items"}),
        (order_request("k k", user="a b", tea=0), {"idempotency_key", "user_id", "items[0].quantity"}),
        (order_request("k" * 101, tea=-(2**31)), {"idempotency_key", "items[0].quantity"}),
        (order_request("k", tea=2**31 - 1), {"items[0].quantity"}),
        (order_request("k", **{f"s{number}": 1 for number in range(101)}), {"items"}),
        (order_request("k", **{"té": 1, "x" * 65: 1}), {"items[0].sku", "items[1].sku"}),
        (
            pb.PlaceOrderRequest(
                idempotency_key="k",
                user_id="u",
                items=[pb.OrderItem(sku=TEA, quantity=1), pb.OrderItem(sku=TEA, quantity=2)],
            ),
            {"items[1].sku"},
        ),
    ],
)
async def test_each_wrong_field_of_an_order_is_named(orders, request_, fields):
    found = await refusal(orders.PlaceOrder(request_))
    assert (found.code, found.reason, set(found.fields)) == ("INVALID_ARGUMENT", "INVALID_ORDER", fields)


async def test_wrong_questions_are_refused_with_their_fields(orders):
    asked = pb.ListOrdersRequest(limit=501, before="no id", user_id="u" * 65)
    assert set((await refusal(orders.ListOrders(asked))).fields) == {"limit", "before", "user_id"}
    assert set((await refusal(orders.ListOrders(pb.ListOrdersRequest(states=[0, 1, 77])))).fields) == {
        "states[0]",
        "states[2]",
    }
    wrong = pb.ResolveOrderRequest(id=NOBODY, resolution=pb.RETRY, actor="", reason=" ")
    assert set((await refusal(orders.ResolveOrder(wrong))).fields) == {"actor", "reason"}
    undecided = pb.ResolveOrderRequest(id=NOBODY, actor="a", reason="b")
    assert set((await refusal(orders.ResolveOrder(undecided))).fields) == {"resolution"}


async def test_a_placed_order_says_where_it_will_be_found(market, orders):
    call = orders.PlaceOrder(order_request("k", tea=1))
    placed = await call
    assert dict(await call.trailing_metadata())["demo-position"] == "order/1"
    await settled(orders, placed)
    again = orders.PlaceOrder(order_request("k", tea=1))
    assert (await again).id == placed.id
    assert "demo-position" not in dict(await again.trailing_metadata())
