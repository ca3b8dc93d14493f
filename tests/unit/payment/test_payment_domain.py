"""What a payment may become."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest

from services.payment import domain
from services.payment.domain import Account, PaymentState

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("steps", list(itertools.product(["charge", "refund"], repeat=4)))
@pytest.mark.parametrize("balance", [100, 60, 59])
def test_whatever_the_order_money_is_taken_at_most_once_and_given_back_at_most_once(steps, balance):
    known, account, booked = None, Account("ada", balance), []
    for step in steps:
        if step == "charge":
            change = domain.charge(known, "k", "ada", 60, account, now=NOW)
        else:
            change = domain.refund(known, "k", account, now=NOW)
        known = change.payment
        if change.booking:
            booked.append(change.booking.amount_cents)
            account = Account("ada", change.booking.balance_after_cents)
    taken = steps[0] == "charge" and balance >= 60
    assert booked == [-60, 60][: taken + (taken and "refund" in steps)]
    assert account.balance_cents == balance + sum(booked)
    if steps[0] == "charge" and balance < 60:
        assert known.state is PaymentState.DECLINED
    else:
        assert known.state is (PaymentState.REFUNDED if "refund" in steps else PaymentState.CHARGED)


def test_no_balance_grows_beyond_what_can_be_counted() -> None:
    full = Account("ada", domain.MAX_BALANCE - 1)
    assert domain.deposit(None, "k", "ada", 1, full, now=NOW).balance_after_cents == domain.MAX_BALANCE
    with pytest.raises(domain.InvalidRequestError, match="amount_cents would make a balance of more than"):
        domain.deposit(None, "k", "ada", 2, full, now=NOW)
