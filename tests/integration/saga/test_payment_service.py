"""The payment service over gRPC: what is charged, given back and deposited, each once for its key."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from demo.payment.v1 import payment_pb2 as pb
from support.demo.saga import refusal

if TYPE_CHECKING:
    from demo.payment.v1.payment_pb2_grpc import PaymentServiceStub

ADA = "01890000-0000-7000-8000-000000000001"


@pytest.fixture(autouse=True)
async def rich(payment: PaymentServiceStub) -> None:
    await deposit(payment, "seed", 1000)


async def deposit(payment, key, amount, user=ADA) -> pb.Account:
    return await payment.Deposit(pb.DepositRequest(key=key, user_id=user, amount_cents=amount))


async def charge(payment, key, amount, user=ADA) -> pb.Payment:
    return await payment.Charge(pb.ChargeRequest(key=key, user_id=user, amount_cents=amount))


async def refund(payment, key) -> pb.Payment:
    return await payment.Refund(pb.RefundRequest(key=key))


async def balance(payment, user=ADA) -> int:
    return (await payment.GetAccount(pb.GetAccountRequest(user_id=user))).balance_cents


async def bookings(payment, limit=0) -> list[tuple[str, str, int, int]]:
    listed = await payment.ListBookings(pb.ListBookingsRequest(user_id=ADA, limit=limit))
    return [(entry.key, entry.kind, entry.amount_cents, entry.balance_after_cents) for entry in listed.bookings]


async def test_money_is_taken_and_given_back(payment):
    taken = await charge(payment, "a", 400)
    assert (taken.state, taken.user_id, taken.amount_cents) == (pb.CHARGED, ADA, 400)
    assert await balance(payment) == 600
    assert (await refund(payment, "a")).state == pb.REFUNDED
    assert await bookings(payment) == [
        ("a", "refund", 400, 1000),
        ("a", "charge", -400, 600),
        ("seed", "deposit", 1000, 1000),
    ]
    assert await bookings(payment, 1) == [("a", "refund", 400, 1000)]


async def test_too_little_money_is_an_answer_that_stays(payment):
    declined = await charge(payment, "a", 1001)
    assert (declined.state, declined.reason) == (pb.DECLINED, "the account holds 1000 cents")
    await deposit(payment, "more", 1000)
    assert (await charge(payment, "a", 1001)).state == pb.DECLINED
    assert (await refund(payment, "a")).state == pb.DECLINED
    assert (await charge(payment, "b", 1001)).state == pb.CHARGED
    assert await balance(payment) == 999


async def test_a_user_without_an_account_is_declined(payment):
    declined = await charge(payment, "a", 1, user="nobody")
    assert (declined.state, declined.reason) == (pb.DECLINED, "there is no account")
    found = await refusal(balance(payment, "nobody"))
    assert (found.code, found.reason) == ("NOT_FOUND", "ACCOUNT_NOT_FOUND")


async def test_whatever_is_asked_again_is_booked_once(payment):
    for _ in range(3):
        assert (await charge(payment, "a", 400)).state == pb.CHARGED
        assert (await deposit(payment, "seed", 1000)).balance_cents == 600
    for _ in range(3):
        assert (await refund(payment, "a")).state == pb.REFUNDED
    assert (await charge(payment, "a", 400)).state == pb.REFUNDED
    assert await balance(payment) == 1000
    assert len(await bookings(payment)) == 3


async def test_of_many_who_ask_with_one_key_at_once_one_is_booked(payment):
    answers = await asyncio.gather(*(charge(payment, "a", 400) for _ in range(10)))
    assert {answer.state for answer in answers} == {pb.CHARGED}
    await asyncio.gather(*(deposit(payment, "first", 5, user="new") for _ in range(10)))
    assert (await balance(payment), await balance(payment, "new")) == (600, 5)


async def test_of_many_who_spend_the_same_money_as_many_can_as_it_lasts_for(payment):
    answers = await asyncio.gather(*(charge(payment, f"k{number}", 300) for number in range(8)))
    assert sorted(answer.state for answer in answers) == [pb.CHARGED] * 3 + [pb.DECLINED] * 5
    assert await balance(payment) == 100


async def test_a_refund_that_comes_first_leaves_nothing_to_charge(payment):
    assert (await refund(payment, "a")).state == pb.REFUNDED
    late = await charge(payment, "a", 400)
    assert (late.state, late.amount_cents) == (pb.REFUNDED, 0)
    assert await balance(payment) == 1000


async def test_charges_and_refunds_of_one_key_at_once_leave_nothing_taken(payment):
    await asyncio.gather(*(call for _ in range(5) for call in (charge(payment, "a", 400), refund(payment, "a"))))
    await refund(payment, "a")
    assert await balance(payment) == 1000


async def test_a_key_used_for_something_else_is_refused(payment):
    await charge(payment, "a", 400)
    for call in (charge(payment, "a", 401), charge(payment, "a", 400, user="bob")):
        found = await refusal(call)
        assert (found.code, found.reason) == ("ALREADY_EXISTS", "CHARGE_DIFFERS")
    for call in (deposit(payment, "seed", 1), deposit(payment, "seed", 1000, user="bob")):
        found = await refusal(call)
        assert (found.code, found.reason) == ("ALREADY_EXISTS", "DEPOSIT_DIFFERS")
    assert await balance(payment) == 600


@pytest.mark.parametrize("amount", [0, -1, -(2**63), 10**12 + 1, 2**63 - 1])
async def test_an_amount_that_cannot_be_is_refused(payment, amount):
    for call in (charge(payment, "a", amount), deposit(payment, "a", amount)):
        found = await refusal(call)
        assert (found.code, found.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
        assert found.fields == {"amount_cents": "must be 1 to 1000000000000"}
    assert await balance(payment) == 1000


async def test_each_wrong_field_is_named(payment):
    found = await refusal(charge(payment, "", 0, user="no such user"))
    assert set(found.fields) == {"key", "user_id", "amount_cents"}
    assert set((await refusal(refund(payment, "k" * 101))).fields) == {"key"}
    assert (await refusal(bookings(payment, 501))).fields == {"limit": "must be 0 to 500"}
    assert set((await refusal(balance(payment, ""))).fields) == {"user_id"}


async def test_of_many_who_open_one_account_at_once_every_deposit_counts(payment):
    await asyncio.gather(*(deposit(payment, f"d{number}", 10**12, user="rich") for number in range(5)))
    assert await balance(payment, "rich") == 5 * 10**12


async def test_a_change_says_where_it_will_be_found_and_what_changes_nothing_does_not(payment):
    told = []
    for method, request in (
        (payment.Deposit, pb.DepositRequest(key="d", user_id=ADA, amount_cents=5)),
        (payment.Charge, pb.ChargeRequest(key="c", user_id=ADA, amount_cents=5)),
        (payment.Refund, pb.RefundRequest(key="c")),
        (payment.Refund, pb.RefundRequest(key="c")),
        (payment.Charge, pb.ChargeRequest(key="much", user_id=ADA, amount_cents=10**9)),
    ):
        call = method(request)
        await call
        told.append(dict(await call.trailing_metadata()).get("demo-position"))
    assert told == ["payment/2", "payment/3", "payment/4", None, None]
