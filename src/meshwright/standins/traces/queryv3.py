"""The parameters of Jaeger's API v3, read as its HTTP gateway reads them, with its words when they are wrong.

Each parameter has a name in camelCase and an older one in snake_case; the former wins. Times are RFC 3339, and both
ends of the time are required. Without a service, traces of any service are found, as Jaeger's in-memory store has it.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from meshwright.standins.traces.query import DEFAULT_LIMIT, NANOS, BadQueryError, TraceQuery, read_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

_LAYOUT = "2006-01-02T15:04:05.999999999Z07:00"
_TIME = re.compile(
    r"(?P<second>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:[.,](?P<fraction>\d+))?(?P<zone>Z|[+-]\d\d:\d\d)", re.ASCII
)
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


def parse_v3_query(parameters: Mapping[str, str]) -> TraceQuery:
    """Read the parameters of `/api/v3/traces`. Raises `BadQueryError`."""
    if parameters.get("query.filter"):
        raise BadQueryError("the structured query filter is disabled")
    tags = _attributes(parameters.get("query.attributes", ""))
    start, end = _window(parameters)
    depth = _depth(parameters)
    shortest, longest = (_duration(parameters, f"query.duration{end}") for end in ("Min", "Max"))
    read_boolean(parameters, "query.rawTraces")
    return TraceQuery(
        service=value_of(parameters, "query.serviceName")[0],
        operation=value_of(parameters, "query.operationName")[0],
        start=start,
        end=end,
        min_duration=shortest,
        max_duration=longest,
        limit=depth,
        tags=tags,
    )


def value_of(parameters: Mapping[str, str], name: str) -> tuple[str, str]:
    """The value, and the name by which it was given: the one in camelCase, or else its older form."""
    if found := parameters.get(name):
        return found, name
    older = re.sub("([A-Z])", lambda match: f"_{match[1].lower()}", name)
    return parameters.get(older, ""), older


def read_time(parameters: Mapping[str, str], name: str) -> int:
    """A time in nanoseconds since the epoch; 0 where it is not given."""
    text, given = value_of(parameters, name)
    try:
        return _nanos(text) if text else 0
    except ValueError as error:
        raise _malformed(given, str(error)) from None


def read_boolean(parameters: Mapping[str, str], name: str) -> bool:
    """A truth value, as Go's `strconv.ParseBool` reads one; false where it is not given."""
    text, given = value_of(parameters, name)
    if text and text not in _TRUE | _FALSE:
        raise _malformed(given, f'strconv.ParseBool: parsing "{text}": invalid syntax')
    return text in _TRUE


def _window(parameters: Mapping[str, str]) -> tuple[int, int]:
    names = ("query.startTimeMin", "query.startTimeMax")
    if not all(value_of(parameters, name)[0] for name in names):
        raise BadQueryError(f"{names[0]} and {names[1]} are required")
    start, end = (read_time(parameters, name) for name in names)
    if start >= end:
        raise BadQueryError(f"{names[0]} must be before {names[1]}")
    return start, end


def _nanos(text: str) -> int:
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f'parsing time "{text}" as "{_LAYOUT}": cannot parse "{text}" as "2006"')
    try:
        moment = datetime.fromisoformat(match["second"] + match["zone"].replace("Z", "+00:00"))
    except ValueError:
        raise ValueError(f'parsing time "{text}": out of range') from None
    elapsed = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    fraction = int((match["fraction"] or "0")[:9].ljust(9, "0"))
    return (elapsed.days * 86400 + elapsed.seconds) * NANOS + fraction


def _depth(parameters: Mapping[str, str]) -> int:
    text, given = value_of(parameters, "query.searchDepth")
    if not text:
        text, given = parameters.get("query.num_traces", ""), "query.num_traces"
    if not text:
        return DEFAULT_LIMIT
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise _malformed(given, f'strconv.Atoi: parsing "{text}": invalid syntax')
    return int(text)


def _duration(parameters: Mapping[str, str], name: str) -> int:
    text, given = value_of(parameters, name)
    try:
        return read_duration(text) if text else 0
    except ValueError as error:
        raise _malformed(given, str(error)) from None


def _attributes(text: str) -> dict[str, str]:
    if not text:
        return {}
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _malformed("query.attributes", str(error)) from None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise _malformed("query.attributes", "expected an object of strings")
    return found


def _malformed(name: str, why: str) -> BadQueryError:
    return BadQueryError(f"malformed parameter {name}: {why}")
