"""A user is the sum of what happened to it."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.event_sourcing.event_store import folded
from services.common.event_sourcing.event_types import StoredEvent
from services.common.messaging.events import Event
from services.common.runtime.ids import new_id
from services.user import domain
from services.user.events import (
    TYPES,
    BalanceUpdated,
    EmailChanged,
    UserCreated,
    UserDeleted,
    events_between,
    evolve,
)
from services.user.payment_consumer import balance_of

if TYPE_CHECKING:
    from services.user.domain import User

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ADA = domain.new_user("Ada", "ada@example.org", "", id=new_id(NOW, bytes), now=NOW)
TEXT = st.text("abc", min_size=1, max_size=3)
STATES = st.builds(
    lambda name, email, phone, avatar, active: replace(
        ADA, name=name, email=f"{email}@example.org", phone=phone, avatar=avatar, active=active
    ),
    *(TEXT, TEXT, TEXT, TEXT, st.booleans()),
)


@given(st.lists(STATES, min_size=1, max_size=6))
def test_the_facts_between_states_add_up_to_the_last_of_them(states: list[User]) -> None:
    happened: list[StoredEvent[Any]] = []
    before: User | None = None
    for number, state in enumerate(states):
        at = NOW + timedelta(seconds=number)
        after = replace(state, updated_at=before.updated_at if before else NOW)
        facts = events_between(before, after)
        after = replace(after, updated_at=at) if before and facts else after
        happened += [StoredEvent(len(happened) + 1, fact, at, "ada") for fact in facts]
        assert folded(evolve, happened, ADA.id) == after
        before = after


def test_nothing_happened_between_equal_states() -> None:
    assert events_between(ADA, ADA) == []
    assert events_between(None, None) == []


@given(STATES, STATES)
def test_stored_facts_come_back_as_they_were(before: User, after: User) -> None:
    facts = [
        *events_between(None, before),
        *events_between(before, after),
        UserDeleted(),
        BalanceUpdated(1, 2, "x", "k"),
    ]
    assert [
        TYPES.event_of(f"demo.user.{TYPES.type_of(fact)}", {**asdict(fact), "actor": "ada"}) for fact in facts
    ] == facts


def test_every_kind_of_fact_can_be_applied() -> None:
    for kind in TYPES.kinds.values():
        values = {name: 5 if "cents" in name else "a@example.org" for name in kind.__slots__}
        if kind is UserCreated:
            values |= {"active": True, "updated_at": ""}
        assert (evolve(ADA, kind(**values), NOW, ADA.id) is None) == (kind is UserDeleted)


def test_a_balance_is_no_new_version_of_the_user() -> None:
    later = NOW + timedelta(days=1)
    after = evolve(ADA, BalanceUpdated(0, 500, "deposit", "payment/1"), later, ADA.id)
    assert after == replace(ADA, balance_cents=500)


def test_a_field_that_a_later_version_added_is_left_out() -> None:
    data = {"old_email": "a", "new_email": "b", "actor": "ada", "verified": True}
    assert TYPES.event_of("demo.user.EmailChanged.v1", data) == EmailChanged("a", "b")


@pytest.mark.parametrize(("name", "old"), [("Deposited", 200), ("Refunded", 200), ("Charged", 400)])
def test_what_payment_tells_becomes_a_balance(name: str, old: int) -> None:
    data = {"user_id": "u", "amount_cents": 100, "balance_after_cents": 300, "key": "k"}
    event = Event("payment", 7, f"demo.payment.{name}.v1", "u", NOW, data)
    found = balance_of(event)
    assert found is not None
    assert (found.old_balance_cents, found.new_balance_cents, found.key) == (old, 300, "payment/7")


def test_other_events_of_payment_say_nothing_of_a_balance() -> None:
    assert balance_of(Event("payment", 7, "demo.payment.Audited.v1", "u", NOW)) is None
