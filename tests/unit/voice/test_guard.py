"""Limits and bans by address, and the bounds of their tables."""

from __future__ import annotations

import pytest

from services.voice.sip import guard as module
from services.voice.sip.guard import Admission, Guard, Limits, network_of

LIMITS = Limits(rate=10.0, burst=20.0, failures=3, window=60.0, ban=100.0)


@pytest.fixture
def guard():
    return Guard(LIMITS)


def admitted(guard, host, times, now):
    return sum(guard.admit(host, now) is Admission.ADMITTED for _ in range(times))


def test_an_address_has_its_burst_and_then_its_rate_and_others_have_theirs(guard):
    assert admitted(guard, "192.0.2.1", 100, 0.0) == 20
    assert admitted(guard, "192.0.2.1", 100, 1.0) == 10
    assert admitted(guard, "192.0.2.2", 100, 1.0) == 20
    assert admitted(guard, "192.0.2.1", 100, 1000.0) == 20


def test_wrong_passwords_ban_for_a_time(guard):
    assert [guard.failed("192.0.2.1", float(second)) for second in range(3)] == [False, False, True]
    assert guard.admit("192.0.2.1", 50.0) is Admission.BANNED
    assert (guard.banned(50.0), guard.banned(103.0)) == (1, 0)
    assert guard.admit("192.0.2.2", 50.0) is Admission.ADMITTED
    assert guard.admit("192.0.2.1", 103.0) is Admission.ADMITTED
    assert not guard.failed("192.0.2.1", 103.0)


def test_few_wrong_passwords_in_a_long_time_and_those_before_a_right_one_do_not_ban(guard):
    assert not any(guard.failed("192.0.2.1", 61.0 * number) for number in range(20))
    for _ in range(10):
        assert not guard.failed("192.0.2.2", 0.0)
        assert not guard.failed("192.0.2.2", 0.0)
        guard.succeeded("192.0.2.2")


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("nonsense", "nonsense"),
    ],
)
def test_an_ipv6_address_stands_for_its_network(host, network):
    assert network_of(host) == network


def test_the_tables_are_bounded(guard, monkeypatch):
    monkeypatch.setattr(module, "MAX_ADDRESSES", 100)
    monkeypatch.setattr(module, "MAX_BANS", 10)
    for number in range(1000):
        for _ in range(3):
            guard.failed(f"10.0.{number // 250}.{number % 250}", float(number) / 100)
    assert guard.banned(10.0) == 10
    assert guard.admit("10.0.3.249", 10.0) is Admission.BANNED
    assert guard.admit("10.0.0.0", 10.0) is Admission.ADMITTED
