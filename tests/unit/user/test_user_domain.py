"""What makes a user, by table."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.common.runtime.ids import new_id
from services.user import domain

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def ada(**changes) -> domain.User:
    given = {"name": "Ada", "email": "ada@example.org", "phone": "", "id": "x", "now": NOW} | changes
    return domain.new_user(**given)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("Ada", "Ada"),
        ("  Ada   King ", "Ada King"),
        ("Zoe\u0308", "Zo\u00eb"),
        ("x" * 100, "x" * 100),
        ("李小龍", "李小龍"),
        ("O'Neill-Smith, Jr.", "O'Neill-Smith, Jr."),
    ],
)
def test_a_name_is_kept_in_one_form(name, kept):
    assert ada(name=name).name == kept


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("", "is required"),
        ("   ", "is required"),
        ("x" * 101, "must be at most 100 characters long"),
        ("Ada\x00", "must not hold control characters"),
        ("Ada\nKing", "must not hold control characters"),
    ],
)
def test_a_name_that_is_none_is_refused(name, what):
    with pytest.raises(domain.InvalidUserError) as caught:
        ada(name=name)
    assert caught.value.fields == {"name": what}


@pytest.mark.parametrize(
    "email",
    [
        "a@b.co",
        "Ada.Lovelace@Example.ORG",
        "a+tag@sub.example.org",
        "o'neill@example.ie",
        "x_1@a-b.example",
        " a@b.co ",
    ],
)
def test_usual_addresses_are_taken(email):
    assert ada(email=email).email == email.strip()


@pytest.mark.parametrize(
    "email",
    [
        "ada",
        "@example.org",
        "ada@",
        "ada@example",
        "ada@@example.org",
        ".ada@example.org",
        "ada.@example.org",
        "a..b@example.org",
        "ada@-example.org",
        "ada@example-.org",
        "ada@example..org",
        "a da@example.org",
        "ada@exa mple.org",
        "ada@exam\nple.org",
        "ädä@example.org",
        "ada@example.org\x00",
    ],
)
def test_what_is_no_address_is_refused(email):
    with pytest.raises(domain.InvalidUserError) as caught:
        ada(email=email)
    assert caught.value.fields == {"email": "must be an e-mail address, as in ada@example.org"}


@pytest.mark.parametrize("email", ["x" * 65 + "@example.org", "a@" + "x" * 60 + ".example" * 30])
def test_an_address_has_a_length(email):
    with pytest.raises(domain.InvalidUserError, match="at most 254 characters long, and 64 before the @"):
        ada(email=email)


@pytest.mark.parametrize(
    ("phone", "kept"),
    [
        ("", ""),
        ("+4930123456", "+4930123456"),
        ("+49 (30) 123-456", "+4930123456"),
        ("+1.202.555.0100", "+12025550100"),
    ],
)
def test_a_number_is_kept_without_punctuation(phone, kept):
    assert ada(phone=phone).phone == kept


@pytest.mark.parametrize(
    "phone", ["030123456", "+0301234567", "+123456", "+1234567890123456", "+49x30123456", "call me"]
)
def test_what_is_no_number_is_refused(phone):
    with pytest.raises(domain.InvalidUserError) as caught:
        ada(phone=phone)
    assert caught.value.fields == {"phone": "must be a number with its country code, as in +4930123456, or empty"}


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(domain.InvalidUserError) as caught:
        ada(name="", email="", phone="1")
    assert set(caught.value.fields) == {"name", "email", "phone"}


def test_addresses_are_the_same_whatever_their_case() -> None:
    assert ada(email="ADA@Example.org").email_key == ada(email="ada@example.ORG").email_key


def test_a_change_writes_what_it_carries_and_a_new_version() -> None:
    later = NOW + timedelta(hours=1)
    after = domain.changed(ada(phone="+4930123456"), domain.Changes(name="Ada King", phone=""), now=later)
    assert after == replace(ada(), name="Ada King", updated_at=later)


def test_a_change_of_nothing_is_the_same_user() -> None:
    user = ada()
    assert domain.changed(user, domain.Changes(name="Ada "), now=NOW + timedelta(hours=1)) is user


@pytest.mark.parametrize("step", [timedelta(0), timedelta(seconds=-5)])
def test_versions_rise_even_where_the_clock_does_not(step):
    after = domain.changed(ada(), domain.Changes(active=False), now=NOW + step)
    assert after.updated_at == NOW + timedelta(microseconds=1)


def test_a_change_is_held_to_the_rules() -> None:
    with pytest.raises(domain.InvalidUserError, match="name is required"):
        domain.changed(ada(), domain.Changes(name=""), now=NOW)


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        (ada(), domain.Validation(is_valid=True)),
        (None, domain.Validation(is_valid=False, reason="there is no such user")),
        (replace(ada(), active=False), domain.Validation(is_valid=False, reason="the user is not active")),
        (
            replace(ada(), phone="123"),
            domain.Validation(
                is_valid=False, reason="phone must be a number with its country code, as in +4930123456, or empty"
            ),
        ),
    ],
    ids=["good", "unknown", "inactive", "of an older rule"],
)
def test_others_may_act_for_an_active_user_within_the_rules(user, expected):
    assert domain.validated(user) == expected


@pytest.mark.parametrize(
    ("passed", "days"),
    [
        (timedelta(0), 1),
        (timedelta(hours=23), 1),
        (timedelta(days=1), 2),
        (timedelta(days=30), 31),
        (timedelta(days=-1), 1),
    ],
)
def test_the_first_day_counts(passed, days):
    assert domain.member_days(ada(), NOW + passed) == days


def test_ids_are_uuids_of_version_7_that_sort_by_time() -> None:
    ids = [new_id(NOW + timedelta(milliseconds=step), lambda size: b"\xff" * size) for step in range(3)]
    assert ids == sorted(ids)
    parsed = uuid.UUID(ids[0])
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert parsed.int >> 80 == int(NOW.timestamp() * 1000)
    assert domain.parse_id(ids[0].upper()) == ids[0]


@pytest.mark.parametrize("text", ["", "1", "x" * 36, "0" * 10_000, "a\x00", "../etc"])
def test_what_cannot_be_an_id_is_none(text):
    assert domain.parse_id(text) is None
