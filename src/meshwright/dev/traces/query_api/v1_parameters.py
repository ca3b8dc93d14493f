"""Jaeger's query parameters, read as Jaeger's query service reads them, with its words when they are wrong."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from meshwright import durations
from meshwright.dev import booleans
from meshwright.errors import MeshwrightError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from multidict import MultiMapping

NANOS = 1_000_000_000
DEFAULT_LIMIT = 100
DEFAULT_LOOKBACK = 2 * 24 * 3600 * NANOS
DEFAULT_DEPENDENCY_LOOKBACK_MS = 24 * 3600 * 1000
_MAX_ID_DIGITS = 32
_LONG = re.compile(r"([0-9]{1,6})([dw])")
_LONG_UNITS = {"d": 24 * 3600 * NANOS, "w": 7 * 24 * 3600 * NANOS}
_BASE64_LENGTHS = (22, 24)


class BadQueryError(MeshwrightError):
    """A query parameter is wrong."""


@dataclass(frozen=True, slots=True)
class TraceQuery:
    """What to search for. Times and durations are nanoseconds; 0 and the empty string ask for nothing."""

    service: str = ""
    operation: str = ""
    start: int = 0
    end: int = 0
    min_duration: int = 0
    max_duration: int = 0
    limit: int = DEFAULT_LIMIT
    tags: Mapping[str, str] = field(default_factory=dict)
    trace_ids: tuple[bytes, ...] = ()


def parse_trace_query(parameters: MultiMapping[str], now: int, *, service_required: bool = True) -> TraceQuery:
    """Read the parameters of `/api/traces`; `now` is in nanoseconds. Raises `BadQueryError`.

    `lookback` ("1h", "2d") counts where `start` is absent: Jaeger's page computes `start` from it, people with curl do
    not. Jaeger itself never reads it, so one that is no duration ("custom", as its page and Grafana say) is no error.
    """
    end = parse_micros(parameters, "end", now)
    lookback = read_lookback(parameters.get("lookback", "")) or DEFAULT_LOOKBACK
    query = TraceQuery(
        service=parameters.get("service", ""),
        operation=parameters.get("operation", ""),
        start=parse_micros(parameters, "start", end - lookback),
        end=end,
        tags=parse_tags(parameters.getall("tag", []), parameters.getall("tags", [])),
        limit=parse_limit(parameters),
        min_duration=parse_duration(parameters, "minDuration"),
        max_duration=parse_duration(parameters, "maxDuration"),
        trace_ids=tuple(parse_trace_id(text) for text in parameters.getall("traceID", [])),
    )
    if service_required and not query.trace_ids and not query.service:
        raise BadQueryError("parameter 'service' is required")
    if query.min_duration and query.max_duration and query.max_duration < query.min_duration:
        raise BadQueryError("'maxDuration' should be greater than 'minDuration'")
    return query


def parse_dependency_query(parameters: MultiMapping[str], now: int) -> tuple[int, int]:
    """Read `endTs` and `lookback`, in milliseconds, as (start, end) in nanoseconds."""
    end = parse_integer(parameters, "endTs", now // 1_000_000)
    lookback = parse_integer(parameters, "lookback", DEFAULT_DEPENDENCY_LOOKBACK_MS)
    return (end - lookback) * 1_000_000, end * 1_000_000


def parse_trace_id(text: str) -> bytes:
    """A trace id in hex, shorter ones padded with zeros on the left; or in base64, of either alphabet."""
    if len(text) in _BASE64_LENGTHS and not re.fullmatch(r"[0-9a-fA-F]+", text):
        with contextlib.suppress(ValueError):
            decoded = base64.b64decode(text.rstrip("=") + "==", b"-_" if set(text) & set("-_") else None, validate=True)
            if len(decoded) == _MAX_ID_DIGITS // 2:
                return decoded
    if len(text) > _MAX_ID_DIGITS:
        raise BadQueryError(f"TraceID cannot be longer than {_MAX_ID_DIGITS} hex characters: {text}")
    if not re.fullmatch(r"[0-9a-fA-F]+", text):
        raise BadQueryError(f'cannot parse traceID param: strconv.ParseUint: parsing "{text}": invalid syntax')
    return bytes.fromhex(text.zfill(_MAX_ID_DIGITS))


def parse_micros(parameters: MultiMapping[str], name: str, default: int) -> int:
    """A time given in microseconds since the epoch, in nanoseconds."""
    return parse_integer(parameters, name, -1) * 1000 if parameters.get(name) else default


def parse_integer(parameters: MultiMapping[str], name: str, default: int) -> int:
    """An integer, in ASCII digits as Go reads them."""
    text = parameters.get(name, "")
    if not text:
        return default
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise BadQueryError(f"unable to parse param '{name}': strconv.ParseInt: parsing \"{text}\": invalid syntax")
    return int(text)


def parse_limit(parameters: MultiMapping[str]) -> int:
    """The most traces to answer."""
    limit = parse_integer(parameters, "limit", DEFAULT_LIMIT)
    if limit < 1:
        raise BadQueryError(f"unable to parse param 'limit': expected a number above 0, not {limit}")
    return limit


def parse_duration(parameters: MultiMapping[str], name: str) -> int:
    """A duration such as `100ms` or `1m30s`, in nanoseconds; 0 where it is not given."""
    text = parameters.get(name, "")
    try:
        return durations.parse(text) if text else 0
    except ValueError as error:
        raise BadQueryError(f"unable to parse param '{name}': {error}") from None


def check_trace_parameters(parameters: MultiMapping[str]) -> None:
    """Refuse a `start`, `end` or `raw` of `/api/traces/{id}` that cannot be read. They change nothing here."""
    for name in ("start", "end"):
        parse_micros(parameters, name, 0)
    try:
        booleans.parse(parameters.get("raw") or "false")
    except ValueError as error:
        raise BadQueryError(f"unable to parse param 'raw': {error}") from None


def read_lookback(text: str) -> int:
    """How far back to look, in nanoseconds: a duration, or days or weeks ("2d", "1w"); 0 for anything else."""
    if match := _LONG.fullmatch(text):
        return int(match[1]) * _LONG_UNITS[match[2]]
    try:
        return max(0, durations.parse(text))
    except ValueError:
        return 0


def parse_tags(simple: Sequence[str], documents: Sequence[str]) -> dict[str, str]:
    """`tag=key:value` and `tags={"key":"value"}` parameters, together."""
    found = {}
    for text in simple:
        key, colon, value = text.partition(":")
        if not colon:
            raise BadQueryError(f"malformed 'tag' parameter, expecting key:value, received: {text}")
        found[key] = value
    for document in documents:
        found.update(_read_tags(document))
    return found


def _read_tags(document: str) -> dict[str, str]:
    try:
        value = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise BadQueryError(f"malformed 'tags' parameter, cannot unmarshal JSON: {error}") from None
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise BadQueryError("malformed 'tags' parameter, cannot unmarshal JSON: expected an object of strings")
    return value


def now_nanos() -> int:
    """The time, in the unit of this module."""
    return time.time_ns()
