"""A time of RFC 3339, read as Go's `time.Parse` reads one, with its words where it cannot.

The text is held against the layout element by element, so an error names the rest of the text and the element that it
does not begin with. Two digits are asked for everywhere but in the hour, which may have one.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

from meshwright.durations import quoted

NANOS = 1_000_000_000
_LAYOUT = "2006-01-02T15:04:05.999999999Z07:00"
_NUMBERS = {"2006": r"\d{4}", "01": r"\d\d", "02": r"\d\d", "15": r"\d\d?", "04": r"\d\d", "05": r"\d\d"}
_ELEMENTS = ("2006", "-", "01", "-", "02", "T", "15", ":", "04", ":", "05")
_RANGES = {"01": ("month", 1, 12), "15": ("hour", 0, 23), "04": ("minute", 0, 59), "05": ("second", 0, 59)}
_FRACTION = re.compile(r"[.,](\d+)", re.ASCII)
_ZONE = re.compile(r"Z|([+-])(\d\d):(\d\d)", re.ASCII)


def read_rfc3339(text: str) -> int:
    """Nanoseconds since the epoch; raises ValueError with Go's words."""
    numbers, rest = _date_and_clock(text)
    fraction = 0
    if match := _FRACTION.match(rest):
        fraction = int(match[1][:9].ljust(9, "0"))
        rest = rest[match.end() :]
    zone = _ZONE.match(rest)
    if zone is None:
        raise ValueError(_mismatch(text, rest, "Z07:00"))
    if rest[zone.end() :]:
        raise ValueError(f"parsing time {quoted(text)}: extra text: {quoted(rest[zone.end() :])}")
    offset = timedelta()
    if zone[1]:
        offset = timedelta(hours=int(zone[2]), minutes=int(zone[3])) * (-1 if zone[1] == "-" else 1)
    try:
        year, month, day, hour, minute, second = numbers
        moment = datetime(year, month, day, hour, minute, second, tzinfo=timezone(offset))
        elapsed = moment - datetime(1970, 1, 1, tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"parsing time {quoted(text)}: day out of range") from None
    return (elapsed.days * 86400 + elapsed.seconds) * NANOS + fraction


def _date_and_clock(text: str) -> tuple[list[int], str]:
    """The numbers of the text, and what follows them."""
    numbers = []
    rest = text
    for element in _ELEMENTS:
        match = re.match(_NUMBERS.get(element, element), rest, re.ASCII)
        if match is None:
            raise ValueError(_mismatch(text, rest, element))
        rest = rest[match.end() :]
        if element in _NUMBERS:
            numbers.append(int(match[0]))
        name, least, most = _RANGES.get(element, ("", 0, 0))
        if name and not least <= numbers[-1] <= most:
            raise ValueError(f"parsing time {quoted(text)}: {name} out of range")
    return numbers, rest


def _mismatch(text: str, rest: str, element: str) -> str:
    return f'parsing time {quoted(text)} as "{_LAYOUT}": cannot parse {quoted(rest)} as "{element}"'
