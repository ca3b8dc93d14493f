"""Accounts, and what may be booked on them.

A charge is known by its key, and each key has one fate: CHARGED and then perhaps REFUNDED, or DECLINED, or REFUNDED
before it ever was. Every function takes what is stored under the key and says what to store next; asked again it finds
its own answer there and books nothing. That is what lets callers retry, and messages overtake each other: a Refund
that comes before its Charge leaves a REFUNDED payment behind, on which the late Charge finds no money to take.

Money is whole cents; no account goes below zero. Every change of an account is a booking, so that an account's balance
is the sum of its bookings.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

MAX_AMOUNT = 10**12
"""Cents, of one booking."""
MAX_BALANCE = 10**15
MAX_LIST = 500
DEFAULT_LIST = 50

_KEY = re.compile(r"[!-~]{1,100}")
_USER = re.compile(r"[!-~]{1,64}")


class InvalidRequestError(Exception):
    """The request breaks a rule. `fields` maps each wrong field to what is wrong with it."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.fields = dict(fields)
        super().__init__("; ".join(f"{field} {what}" for field, what in self.fields.items()))


class AccountNotFoundError(Exception):
    """The user never had money here."""

    def __init__(self) -> None:
        super().__init__("this user has no account")


class ChargeDiffersError(Exception):
    """The key was used for another user or amount."""

    def __init__(self) -> None:
        super().__init__("this key was used to charge another user or amount")


class DepositDiffersError(Exception):
    """The key was used for another deposit."""

    def __init__(self) -> None:
        super().__init__("this key was used to deposit another amount, or for another user")


class PaymentState(Enum):
    """What has become of a payment."""

    CHARGED = "CHARGED"
    REFUNDED = "REFUNDED"
    DECLINED = "DECLINED"


class BookingKind(Enum):
    """What a booking is; with its key, no booking is made twice."""

    DEPOSIT = "deposit"
    CHARGE = "charge"
    REFUND = "refund"


@dataclass(frozen=True, slots=True)
class Payment:
    key: str
    state: PaymentState
    user_id: str = ""
    """Empty, with no amount, where it was refunded before it was charged."""
    amount_cents: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    user_id: str
    balance_cents: int = 0


@dataclass(frozen=True, slots=True)
class Booking:
    key: str
    kind: BookingKind
    user_id: str
    amount_cents: int
    """What it adds to the account."""
    balance_after_cents: int
    booked_at: datetime


@dataclass(frozen=True, slots=True)
class PaymentChange:
    """What is to be stored: nothing where not `new`, and no booking where no money moves."""

    payment: Payment
    booking: Booking | None = None
    new: bool = False


def charge(
    known: Payment | None, key: str, user_id: str, amount_cents: int, account: Account | None, *, now: datetime
) -> PaymentChange:
    """Take the money, or decline; raises ChargeDiffersError."""
    if known is not None:
        if known.user_id and (known.user_id, known.amount_cents) != (user_id, amount_cents):
            raise ChargeDiffersError
        return PaymentChange(known)
    balance = account.balance_cents if account else 0
    if balance < amount_cents:
        reason = f"the account holds {balance} cents" if account else "there is no account"
        return PaymentChange(Payment(key, PaymentState.DECLINED, user_id, amount_cents, reason), new=True)
    booking = Booking(key, BookingKind.CHARGE, user_id, -amount_cents, balance - amount_cents, now)
    return PaymentChange(Payment(key, PaymentState.CHARGED, user_id, amount_cents), booking, new=True)


def refund(known: Payment | None, key: str, account: Account | None, *, now: datetime) -> PaymentChange:
    """Give back what was charged; what was declined stays so."""
    if known is None:
        return PaymentChange(Payment(key, PaymentState.REFUNDED), new=True)
    if known.state is not PaymentState.CHARGED:
        return PaymentChange(known)
    balance = account.balance_cents if account else 0
    booking = Booking(key, BookingKind.REFUND, known.user_id, known.amount_cents, balance + known.amount_cents, now)
    return PaymentChange(replace(known, state=PaymentState.REFUNDED), booking, new=True)


def deposit(
    known: Booking | None, key: str, user_id: str, amount_cents: int, account: Account | None, *, now: datetime
) -> Booking | None:
    """The booking to make; None where it is made already. Raises DepositDiffersError and InvalidRequestError."""
    if known is not None:
        if (known.user_id, known.amount_cents) != (user_id, amount_cents):
            raise DepositDiffersError
        return None
    after = (account.balance_cents if account else 0) + amount_cents
    if after > MAX_BALANCE:
        raise InvalidRequestError({"amount_cents": f"would make a balance of more than {MAX_BALANCE}"})
    return Booking(key, BookingKind.DEPOSIT, user_id, amount_cents, after, now)


def check_key(key: str) -> None:
    """Raises InvalidRequestError for what cannot be a key."""
    _refuse({"key": _key_problem(key)})


def check_user(user_id: str) -> None:
    """Raises InvalidRequestError for what cannot be the id of a user."""
    _refuse({"user_id": _user_problem(user_id)})


def check_booking(key: str, user_id: str, amount_cents: int) -> None:
    """Raises InvalidRequestError, which lists every wrong field."""
    amount = "" if 1 <= amount_cents <= MAX_AMOUNT else f"must be 1 to {MAX_AMOUNT}"
    _refuse({"key": _key_problem(key), "user_id": _user_problem(user_id), "amount_cents": amount})


def list_limit(limit: int) -> int:
    """How many are listed; raises InvalidRequestError."""
    _refuse({"limit": "" if 0 <= limit <= MAX_LIST else f"must be 0 to {MAX_LIST}"})
    return limit or DEFAULT_LIST


def _refuse(found: Mapping[str, str]) -> None:
    wrong = {field: what for field, what in found.items() if what}
    if wrong:
        raise InvalidRequestError(wrong)


def _key_problem(key: str) -> str:
    return "" if _KEY.fullmatch(key) else "must be 1 to 100 visible ASCII characters"


def _user_problem(user_id: str) -> str:
    return "" if _USER.fullmatch(user_id) else "must be 1 to 64 visible ASCII characters"
