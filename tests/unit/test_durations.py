"""Durations in Go's notation. The tables hold what Go's `time.ParseDuration` and `Duration.String` answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwright import durations

LONGEST = 9_223_372_036_854_775_807


@pytest.mark.parametrize(
    ("text", "nanoseconds", "shown"),
    [
        ("0", 0, "0s"),
        ("-0", 0, "0s"),
        ("+0", 0, "0s"),
        ("0ns", 0, "0s"),
        ("5s", 5_000_000_000, "5s"),
        ("+5s", 5_000_000_000, "5s"),
        ("5.s", 5_000_000_000, "5s"),
        (".5s", 500_000_000, "500ms"),
        ("005s", 5_000_000_000, "5s"),
        ("1500ms", 1_500_000_000, "1.5s"),
        ("100ms", 100_000_000, "100ms"),
        ("1.5h", 5_400_000_000_000, "1h30m0s"),
        ("1h2m3.004s", 3_723_004_000_000, "1h2m3.004s"),
        ("1h2m3.5s", 3_723_500_000_000, "1h2m3.5s"),
        ("2s1h", 3_602_000_000_000, "1h0m2s"),
        ("250us", 250_000, "250µs"),
        ("7µs", 7_000, "7µs"),
        ("7μs", 7_000, "7µs"),
        ("-1.5us", -1_500, "-1.5µs"),
        ("-2.5ms", -2_500_000, "-2.5ms"),
        ("7ns", 7, "7ns"),
        ("1.9ns", 1, "1ns"),
        ("0.5ns", 0, "0s"),
        ("-1s", -1_000_000_000, "-1s"),
        ("90s", 90_000_000_000, "1m30s"),
        ("0.3333333333333333333h", 1_200_000_000_000, "20m0s"),
        ("0.100000000000000000000h", 360_000_000_000, "6m0s"),
        ("1.0000000000000000000000001s", 1_000_000_000, "1s"),
        ("2562047h47m16.854775807s", LONGEST, "2562047h47m16.854775807s"),
        ("9223372036854775807ns", LONGEST, "2562047h47m16.854775807s"),
        ("-9223372036854775808ns", -LONGEST - 1, "-2562047h47m16.854775808s"),
        ("-2562047h47m16.854775808s", -LONGEST - 1, "-2562047h47m16.854775808s"),
    ],
)
def test_a_duration_is_read_and_shown(text: str, nanoseconds: int, shown: str) -> None:
    assert durations.parse(text) == nanoseconds
    assert durations.show(nanoseconds) == shown
    assert durations.parse(shown) == nanoseconds


@pytest.mark.parametrize(
    ("nanoseconds", "shown"),
    [(1, "1ns"), (999, "999ns"), (1_100, "1.1µs"), (2_200_000, "2.2ms"), (3_300_000_000, "3.3s"), (-1, "-1ns")],
)
def test_a_duration_below_a_second_has_a_smaller_unit(nanoseconds: int, shown: str) -> None:
    assert durations.show(nanoseconds) == shown


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", 'time: invalid duration ""'),
        ("x", 'time: invalid duration "x"'),
        ("-", 'time: invalid duration "-"'),
        ("--1s", 'time: invalid duration "--1s"'),
        ("1h-5m", 'time: unknown unit "h-" in duration "1h-5m"'),
        (".", 'time: invalid duration "."'),
        (".s", 'time: invalid duration ".s"'),
        ("1s2", 'time: missing unit in duration "1s2"'),
        ("1.2.3s", 'time: missing unit in duration "1.2.3s"'),
        ("5", 'time: missing unit in duration "5"'),
        ("1e3s", 'time: unknown unit "e" in duration "1e3s"'),
        ("5S", 'time: unknown unit "S" in duration "5S"'),
        ("5 s", 'time: unknown unit " s" in duration "5 s"'),
        ("5s\n", 'time: unknown unit "s\\x0a" in duration "5s\\x0a"'),
        ('5"', 'time: unknown unit "\\"" in duration "5\\""'),
        ("5days", 'time: unknown unit "days" in duration "5days"'),
        ("5é", 'time: unknown unit "\\xc3\\xa9" in duration "5\\xc3\\xa9"'),
        ("٣s", 'time: invalid duration "\\xd9\\xa3s"'),
        ("9223372036854775808ns", 'time: invalid duration "9223372036854775808ns"'),
        ("-9223372036854775809ns", 'time: invalid duration "-9223372036854775809ns"'),
        ("2562047h47m16.854775808s", 'time: invalid duration "2562047h47m16.854775808s"'),
        ("3000000h", 'time: invalid duration "3000000h"'),
        ("9" * 30 + "x", f'time: invalid duration "{"9" * 30}x"'),
    ],
)
def test_what_is_no_duration_is_said_in_gos_words(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match="duration") as caught:
        durations.parse(text)
    assert str(caught.value) == complaint


def test_a_number_of_any_length_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="invalid duration"):
        durations.parse("9" * 100_000 + "s")


@given(st.integers(-LONGEST - 1, LONGEST))
def test_what_is_shown_is_read_as_the_same(nanoseconds: int) -> None:
    assert durations.parse(durations.show(nanoseconds)) == nanoseconds


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (1, "1s"), (1.5, "1.5s"), (300, "5m0s"), (0.0004, "0s")])
def test_seconds_are_said_to_the_millisecond(seconds: float, text: str) -> None:
    assert durations.of_seconds(seconds) == text


@pytest.mark.parametrize(
    ("value", "milliseconds"),
    [("1.5s", 1500), ("-1.5s", -1500), (-2_000_000, -2), (1_500, 0.0015), ("", 0), (None, 0)],
)
def test_what_consul_says_may_be_negative(value: str | int | None, milliseconds: float) -> None:
    assert durations.milliseconds(value, signed=True) == milliseconds
