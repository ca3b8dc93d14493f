"""Durations in Go's notation, as Consul, Jaeger and our own documents write them: `1h2m3.5s`, `250ms`.

Held as whole nanoseconds, as Go holds them. `parse` and `show` follow Go's `time.ParseDuration` and `Duration.String`
to the nanosecond and to the words of their errors, since what they read and write is compared with the real parts:
a fraction is cut, not rounded; the sum lies in 64 bits with a sign; a sign stands once, in front.
"""

from __future__ import annotations

import re
from typing import Final

NANOSECOND: Final = 1
MICROSECOND: Final = 1_000
MILLISECOND: Final = 1_000_000
SECOND: Final = 1_000_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
LONGEST: Final = 2**63 - 1
"""The longest duration that there is: 292 years, in nanoseconds."""

PATTERN: Final = r"^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$"
"""The form of a duration without a sign, for JSON schemas."""

_UNITS = {
    "ns": NANOSECOND,
    "us": MICROSECOND,
    "µs": MICROSECOND,  # micro sign
    "μs": MICROSECOND,  # Greek letter mu
    "ms": MILLISECOND,
    "s": SECOND,
    "m": MINUTE,
    "h": HOUR,
}
_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?([^0-9.]*)")


def parse(text: str) -> int:
    """Nanoseconds; raises ValueError with Go's words."""
    sign, rest = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if rest == "0":
        return 0
    total, position = 0, 0
    while position < len(rest):
        match = _PART.match(rest, position)
        if match is None or not (match[1] or match[2]) or _is_too_long(match[1]):
            raise _invalid(text)
        if not match[3]:
            raise ValueError(f"time: missing unit in duration {quoted(text)}")
        if match[3] not in _UNITS:
            raise ValueError(f"time: unknown unit {quoted(match[3])} in duration {quoted(text)}")
        total += _part(match[1], match[2] or "", _UNITS[match[3]])
        if total > LONGEST + 1:
            raise _invalid(text)
        position = match.end()
    if not rest or sign * total > LONGEST:
        raise _invalid(text)
    return sign * total


def _is_too_long(whole: str) -> bool:
    digits = whole.lstrip("0")
    return len(digits) > len(str(LONGEST)) or int(digits or 0) > LONGEST + 1


def _part(whole: str, fraction: str, unit: int) -> int:
    """The nanoseconds of one number with its unit. The fraction goes through a float as it does in Go."""
    digits, scale = 0, 1
    for digit in fraction:
        if digits > LONGEST // 10 or digits * 10 + int(digit) > LONGEST + 1:
            break
        digits, scale = digits * 10 + int(digit), scale * 10
    return int(whole.lstrip("0") or 0) * unit + int(float(digits) * (float(unit) / float(scale)))


def _invalid(text: str) -> ValueError:
    return ValueError(f"time: invalid duration {quoted(text)}")


def show(nanoseconds: int) -> str:
    """The duration as Go prints it: `1h30m0s`, `1.5ms`, `0s`."""
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


def seconds(nanoseconds: int) -> float:
    """The same duration in seconds."""
    return nanoseconds / SECOND


def of_seconds(seconds: float) -> str:
    """Seconds in Go's notation, to the millisecond: how requests to Consul say them."""
    return show(round(seconds * 1000) * MILLISECOND)


def milliseconds(value: str | int | float | None, *, signed: bool = False) -> float:
    """What a document of Consul's says, in milliseconds: a duration, or a number of nanoseconds; nothing is 0.

    With `signed` it may be negative, which is how Consul's entries say "none at all". Raises ValueError that says what
    was expected.
    """
    if not value:
        return 0.0
    if isinstance(value, (int, float)):
        return value / MILLISECOND
    try:
        found = parse(value)
    except ValueError:
        found = None
    if found is None or (found < 0 and not signed):
        raise ValueError(f"expected a duration such as 1.5s or 250ms, not {value!r}")
    return found / MILLISECOND


def quoted(text: str) -> str:
    """The text in quotes, as Go's package `time` does it: what is not printable ASCII as its bytes."""
    shown = []
    for byte in text.encode(errors="surrogatepass"):
        if byte in b'"\\':
            shown.append("\\" + chr(byte))
        else:
            shown.append(chr(byte) if 0x20 <= byte < 0x80 else f"\\x{byte:02x}")  # noqa: PLR2004
    return f'"{"".join(shown)}"'
