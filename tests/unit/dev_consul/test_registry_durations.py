"""Durations as Go reads and writes them."""

from __future__ import annotations

import pytest

from meshwright.dev.consul import durations


@pytest.mark.parametrize(
    ("text", "nanoseconds", "shown"),
    [
        ("0", 0, "0s"),
        ("5s", 5_000_000_000, "5s"),
        ("1500ms", 1_500_000_000, "1.5s"),
        ("1.5h", 5_400_000_000_000, "1h30m0s"),
        ("1h2m3.004s", 3_723_004_000_000, "1h2m3.004s"),
        ("250us", 250_000, "250µs"),
        ("7ns", 7, "7ns"),
        ("-1s", -1_000_000_000, "-1s"),
        ("90s", 90_000_000_000, "1m30s"),
    ],
)
def test_a_duration_is_read_and_shown(text: str, nanoseconds: int, shown: str) -> None:
    assert durations.parse(text) == nanoseconds
    assert durations.show(nanoseconds) == shown
    assert durations.parse(shown) == nanoseconds


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", 'time: invalid duration ""'),
        ("x", 'time: invalid duration "x"'),
        ("5", 'time: missing unit in duration "5"'),
        ("5 s", 'time: unknown unit " s" in duration "5 s"'),
        ("5days", 'time: unknown unit "days" in duration "5days"'),
    ],
)
def test_what_is_no_duration_is_said_in_gos_words(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match="duration") as caught:
        durations.parse(text)
    assert str(caught.value) == complaint
