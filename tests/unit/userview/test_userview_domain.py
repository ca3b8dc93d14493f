"""What events do to views does not depend on how two logs are interleaved, nor on how they are cut into batches."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.userview.domain import (
    InvalidRequestError,
    UserView,
    ViewEvent,
    apply_event,
    best_first,
    payment_seen,
    terms,
    words,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)

_USER = st.one_of(
    st.builds(lambda name: ("NameChanged", {"old": "", "new": name}), st.text(max_size=5)),
    st.builds(lambda name: ("EmailChanged", {"old_email": "", "new_email": name}), st.text(max_size=5)),
    st.builds(
        lambda cents: ("BalanceUpdated", {"new_balance_cents": cents, "key": "payment/3"}), st.integers(-100, 100)
    ),
    st.sampled_from([(name, {}) for name in ("UserDeactivated", "UserReactivated", "AvatarChanged", "Unknown")]),
)
_ORDER = st.sampled_from(["OrderPlaced", "OrderCompleted", "OrderRejected", "OrderNeedsAttention"])


def folded(happenings) -> UserView:
    view = UserView("ada")
    for one in happenings:
        view = apply_event(view, one)
    return view


@given(st.lists(_USER, max_size=8), st.lists(_ORDER, max_size=8), st.booleans(), st.data())
def test_the_order_between_the_logs_does_not_matter(of_user, of_order, gone, data):
    named = [("UserCreated", {"name": "Ada", "email": "a@b", "phone": ""}), *of_user]
    named += [("UserDeleted", {})] if gone else []
    users = [
        ViewEvent("user", name, "ada", NOW + timedelta(seconds=number), fields)
        for number, (name, fields) in enumerate(named)
    ]
    orders = [
        ViewEvent("order", name, f"o{number}", NOW + timedelta(seconds=number * 1.5), {"user_id": "ada"})
        for number, name in enumerate(of_order)
    ]
    expected = folded([*users, *orders])
    left, right, mixed = list(users), list(orders), []
    while left or right:
        first = bool(left) and (not right or data.draw(st.booleans()))
        mixed.append((left if first else right).pop(0))
    assert folded(mixed) == expected
    assert expected.total_orders == of_order.count("OrderCompleted")
    assert (expected.status == "deleted") is gone
    assert bool(expected.words) is (not gone and bool(words(f"{expected.name} {expected.email}")))


def test_an_order_belongs_to_the_user_that_it_names_and_steps_to_no_user() -> None:
    assert ViewEvent("order", "OrderCompleted", "o", NOW, {"user_id": "ada"}).user_id == "ada"
    assert ViewEvent("order", "StepStarted", "o", NOW, {"step": "x"}).user_id is None
    assert ViewEvent("chat", "Said", "c", NOW, {"user_id": "ada"}).user_id is None


@pytest.mark.parametrize(
    ("name", "data", "position"),
    [
        ("BalanceUpdated", {"key": "payment/17"}, 17),
        ("BalanceUpdated", {"key": "other/17"}, 0),
        ("BalanceUpdated", {"key": "payment/x"}, 0),
        ("BalanceUpdated", {}, 0),
        ("UserCreated", {"key": "payment/17"}, 0),
    ],
)
def test_a_balance_says_which_payment_it_follows(name, data, position):
    assert payment_seen(ViewEvent("user", name, "ada", NOW, data)) == position


def test_words_are_runs_of_letters_and_digits_without_marks_and_case() -> None:
    assert words("José-García_X, 42% ÅNGSTRÖM Straße ﬁn") == [
        *("jose", "garcia", "x", "42", "angstrom", "strasse", "fin")
    ]


def test_words_that_are_cut_again_stay_as_they_are() -> None:
    every = "".join(chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF)
    once = [word for char in every for word in words(f"ab{char}yz")]
    assert [word for word in once if words(word) != [word]] == []


def test_whole_words_come_before_beginnings_and_names_before_addresses() -> None:
    views = [
        UserView("1", "Adam Smith", "x@y", known=True),
        UserView("2", "Zoe", "ada@y", known=True),
        UserView("3", "Ada", "x@y", known=True),
    ]
    assert [view.id for view in best_first(views, terms("ada"))] == ["3", "2", "1"]


@pytest.mark.parametrize("query", ["", "  ", "🙂", "_", "a" * 201, " ".join("abcdefghijk")])
def test_a_search_without_words_or_with_too_many_is_refused(query):
    with pytest.raises(InvalidRequestError) as caught:
        terms(query)
    assert set(caught.value.fields) == {"query"}
