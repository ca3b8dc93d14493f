"""Durations as Consul and Go write them: `1h2m3.5s`, `250ms`, or an integer of nanoseconds."""

from __future__ import annotations

import re
from decimal import Decimal

PATTERN = r"^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$"
"""The form of a duration string, for schemas."""

_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h)")
_NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}


def milliseconds(value: str | int | float | None) -> float:
    """A duration in milliseconds; nothing is 0. Raises ValueError that says what was expected."""
    if not value:
        return 0.0
    if isinstance(value, (int, float)):
        return value / 1_000_000
    if value == "0":
        return 0.0
    if not re.match(PATTERN, value):
        raise ValueError(f"expected a duration such as 1.5s or 250ms, not {value!r}")
    nanoseconds = sum(Decimal(number) * _NANOSECONDS[unit] for number, unit in _PART.findall(value))
    return float(nanoseconds / 1_000_000)


def signed_milliseconds(value: str | int | float | None) -> float:
    """A duration that may be negative, which is how Consul's entries say "none at all"."""
    if isinstance(value, str) and value.startswith("-"):
        return -milliseconds(value[1:])
    return milliseconds(value)
