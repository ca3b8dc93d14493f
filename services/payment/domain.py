"""Accounts and their bookings.

A charge is identified by its key, and each key has one outcome: CHARGED and possibly REFUNDED later, or DECLINED, or
REFUNDED before the charge. Every function takes the payment stored under the key and returns the change to store; a
repeated request finds the stored outcome and books nothing. So callers can retry, and requests can arrive in any order:
a Refund that arrives before its Charge stores a REFUNDED payment, and the late Charge takes no money.

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
    """The request is invalid. `fields` maps each invalid field to its problem."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.fields = dict(fields)
        super().__init__("; ".join(f"{field} {what}" for field, what in self.fields.items()))


class AccountNotFoundError(Exception):
    """The user has no account."""

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
    """State of a payment."""

    CHARGED = "CHARGED"
    REFUNDED = "REFUNDED"
    DECLINED = "DECLINED"


class BookingKind(Enum):
    """Kind of a booking; kind and key are unique."""

    DEPOSIT = "deposit"
    CHARGE = "charge"
    REFUND = "refund"


@dataclass(frozen=True, slots=True)
class Payment:
    key: str
    state: PaymentState
    user_id: str = ""
    """Empty, without an amount, if it was refunded before it was charged."""
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
    """Amount added to the account; negative for charges."""
    balance_after_cents: int
    booked_at: datetime


@dataclass(frozen=True, slots=True)
class PaymentChange:
    """The change to store: nothing unless `new`; no booking if no money moves."""

    payment: Payment
    booking: Booking | None = None
    new: bool = False


def charge(
    known: Payment | None, key: str, user_id: str, amount_cents: int, account: Account | None, *, now: datetime
) -> PaymentChange:
    """Charges the account, or declines; raises ChargeDiffersError."""
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
    """Refunds a charge; a declined payment stays declined."""
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
    """The booking to store; None if it is stored already. Raises DepositDiffersError and InvalidRequestError."""
    if known is not None:
        if (known.user_id, known.amount_cents) != (user_id, amount_cents):
            raise DepositDiffersError
        return None
    after = (account.balance_cents if account else 0) + amount_cents
    if after > MAX_BALANCE:
        raise InvalidRequestError({"amount_cents": f"would make a balance of more than {MAX_BALANCE}"})
    return Booking(key, BookingKind.DEPOSIT, user_id, amount_cents, after, now)


def check_key(key: str) -> None:
    """Raises InvalidRequestError for an invalid key."""
    _refuse({"key": _key_problem(key)})


def check_user(user_id: str) -> None:
    """Raises InvalidRequestError for an invalid user id."""
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
