"""What a REGISTER request makes of an account's bindings: RFC 3261, section 10.3."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.voice.domain import (
    DEFAULT_EXPIRES,
    MAX_BINDINGS,
    MAX_EXPIRES,
    MIN_EXPIRES,
    Binding,
    Contact,
    InvalidDeviceError,
    Registration,
    RegistrationRefusedError,
    check_account,
    current,
    registered,
    remaining,
    without_device,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def asked(*contacts, sequence=1, call_id="call", device="desk", **more):
    return Registration(device, "udp 192.0.2.1:5060", call_id, sequence, contacts, **more)


@pytest.mark.parametrize(
    ("own", "of_request", "kept"),
    [
        (None, None, DEFAULT_EXPIRES),
        (None, 120, 120),
        (90, 120, 90),
        (None, 10**9, MAX_EXPIRES),
        (10**9, 60, MAX_EXPIRES),
    ],
)
def test_a_contact_is_kept_for_its_own_time_or_the_requests_or_the_default(own, of_request, kept):
    (binding,) = registered([], asked(Contact("sip:a@192.0.2.1", own), expires=of_request), NOW)
    assert remaining(binding, NOW) == kept
    assert current([binding], NOW + timedelta(seconds=kept - 1)) == (binding,)
    assert current([binding], NOW + timedelta(seconds=kept)) == ()


def test_one_brief_contact_refuses_the_whole_request():
    with pytest.raises(RegistrationRefusedError) as refused:
        registered([], asked(Contact("sip:a@192.0.2.1"), Contact("sip:a@192.0.2.2", MIN_EXPIRES - 1)), NOW)
    assert (refused.value.status, refused.value.min_expires) == (423, MIN_EXPIRES)


def test_another_device_with_another_call_id_replaces_a_contact_whatever_its_number():
    first = registered([], asked(Contact("sip:a@192.0.2.1"), sequence=9), NOW)
    (binding,) = registered(first, asked(Contact("sip:a@192.0.2.1"), sequence=1, call_id="other", device="b"), NOW)
    assert (binding.device_id, binding.sequence) == ("b", 1)
    assert without_device([binding], "b") == ()


def test_the_same_call_with_no_higher_number_is_out_of_order_even_to_remove():
    first = registered([], asked(Contact("sip:a@192.0.2.1"), sequence=5), NOW)
    for late in (asked(Contact("sip:a@192.0.2.1", 0), sequence=5), asked(everything=True, expires=0, sequence=4)):
        with pytest.raises(RegistrationRefusedError) as refused:
            registered(first, late, NOW)
        assert refused.value.status == 500


@pytest.mark.parametrize(
    "account", ["", "Ada", "9", "a b", "a@b", "a" * 33, "echo", "music", "time", "room-1", "ä", "a\n"]
)
def test_names_that_are_no_address_or_an_extensions_are_refused(account):
    with pytest.raises(InvalidDeviceError, match="account"):
        check_account(account, "desk", "u")


def test_each_invalid_field_is_named():
    with pytest.raises(InvalidDeviceError) as refused:
        check_account("Ada", " ", "")
    assert set(refused.value.fields) == {"account", "label", "user_id"}
    check_account("ada.l_1-2", "desk", "u")


contacts = st.builds(
    Contact, st.sampled_from([f"sip:a@192.0.2.{n}" for n in range(15)]), st.sampled_from([None, 0, 30, 60, 3600])
)
requests = st.builds(
    lambda listed, sequence, expires: asked(*listed, sequence=sequence, expires=expires),
    st.lists(contacts, max_size=4),
    st.integers(1, 30),
    st.sampled_from([None, 0, 100]),
)


@given(st.lists(st.tuples(requests, st.integers(0, 200)), max_size=20))
def test_whatever_is_asked_bindings_are_few_unique_alive_and_unchanged_by_a_refusal(course):
    bindings: tuple[Binding, ...] = ()
    now = NOW
    for request, seconds in course:
        now += timedelta(seconds=seconds)
        before = current(bindings, now)
        try:
            bindings = registered(bindings, request, now)
        except RegistrationRefusedError:
            bindings = before
        assert len(bindings) <= MAX_BINDINGS
        assert len({binding.contact for binding in bindings}) == len(bindings)
        assert all(0 < remaining(binding, now) <= MAX_EXPIRES for binding in bindings)
