"""Durations as Go writes them: `1m30s`, `500ms`. Held as whole nanoseconds, as Consul holds them."""

from __future__ import annotations

import re

NANOSECOND = 1
MICROSECOND = 1_000
MILLISECOND = 1_000_000
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE

_MOST = 2**63 - 1
_UNITS = {
    "ns": NANOSECOND,
    "us": MICROSECOND,
    "µs": MICROSECOND,  # micro sign
    "μs": MICROSECOND,
    "ms": MILLISECOND,
    "s": SECOND,
    "m": MINUTE,
    "h": HOUR,
}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")


def parse(text: str) -> int:
    """Nanoseconds; raises ValueError with Go's wording."""
    sign, rest = (-1, text[1:]) if text[:1] == "-" else (1, text.removeprefix("+"))
    if rest == "0":
        return 0
    total, position = 0, 0
    while match := _PART.match(rest, position):
        whole, _, fraction = match[1].partition(".")
        unit = _UNITS[match[2]]
        total += int(whole or 0) * unit
        if fraction:
            total += int(fraction) * unit // 10 ** len(fraction)
        position = match.end()
    if not rest or position != len(rest):
        raise ValueError(_complaint(text, rest[position:]))
    if total > _MOST:
        raise ValueError(f'time: invalid duration "{text}"')
    return sign * total


def _complaint(text: str, rest: str) -> str:
    number = re.match(r"\d+(?:\.\d*)?|\.\d+", rest)
    if number is None:
        return f'time: invalid duration "{text}"'
    unit = re.match(r"[^\d.]*", rest[number.end() :])
    if unit is not None and unit[0]:
        return f'time: unknown unit "{unit[0]}" in duration "{text}"'
    return f'time: missing unit in duration "{text}"'


def seconds(nanoseconds: int) -> float:
    """The same duration in seconds."""
    return nanoseconds / SECOND


def show(nanoseconds: int) -> str:
    """Go's `Duration.String()`."""
    if nanoseconds == 0:
        return "0s"
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    for name, unit in (("ns", NANOSECOND), ("µs", MICROSECOND), ("ms", MILLISECOND)):
        if rest < min(unit * 1000, SECOND):
            return f"{sign}{_decimal(rest, unit)}{name}"
    hours, rest = divmod(rest, HOUR)
    minutes, rest = divmod(rest, MINUTE)
    text = f"{_decimal(rest, SECOND)}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{text}"
    return f"{sign}{minutes}m{text}" if minutes else f"{sign}{text}"


def _decimal(value: int, unit: int) -> str:
    whole, fraction = divmod(value, unit)
    digits = str(fraction).zfill(len(str(unit)) - 1).rstrip("0") if unit > 1 else ""
    return f"{whole}.{digits}" if digits else str(whole)
