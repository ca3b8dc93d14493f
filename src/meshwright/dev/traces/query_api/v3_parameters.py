"""The parameters of Jaeger's API v3, read as its HTTP gateway reads them, with its words when they are wrong.

Each parameter has a name in camelCase and an older one in snake_case; the former wins. Times are RFC 3339, and both
ends of the time are required. Without a service, traces of any service are found, as Jaeger's in-memory store has it.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from meshwright import durations
from meshwright.dev import booleans
from meshwright.dev.traces.query_api.gotime import read_rfc3339
from meshwright.dev.traces.query_api.v1_parameters import (
    DEFAULT_LIMIT,
    BadQueryError,
    TraceQuery,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST = 2**63
_LONGEST = 100
_GO_TYPES = {bool: "bool", int: "number", float: "number", list: "array", dict: "object", str: "string"}


def parse_v3_query(parameters: Mapping[str, str]) -> TraceQuery:
    """Read the parameters of `/api/v3/traces`. Raises `BadQueryError`."""
    if parameters.get("query.filter"):
        gate = 'enable the "jaeger.query.structuredFilters" feature gate to use it'
        raise BadQueryError(f"the structured query filter is disabled: {gate}")
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
        return read_rfc3339(text) if text else 0
    except ValueError as error:
        raise _malformed(given, str(error)) from None


def read_boolean(parameters: Mapping[str, str], name: str) -> bool:
    """A truth value, as Go's `strconv.ParseBool` reads one; false where it is not given."""
    text, given = value_of(parameters, name)
    try:
        return bool(text) and booleans.parse(text)
    except ValueError as error:
        raise _malformed(given, str(error)) from None


def _window(parameters: Mapping[str, str]) -> tuple[int, int]:
    names = ("query.startTimeMin", "query.startTimeMax")
    if not all(value_of(parameters, name)[0] for name in names):
        raise BadQueryError(f"{names[0]} and {names[1]} are required")
    start, end = (read_time(parameters, name) for name in names)
    if start >= end:
        raise BadQueryError(f"{names[0]} must be before {names[1]}")
    return start, end


def _depth(parameters: Mapping[str, str]) -> int:
    text, given = value_of(parameters, "query.searchDepth")
    if not text:
        text, given = parameters.get("query.num_traces", ""), "query.num_traces"
    if not text:
        return DEFAULT_LIMIT
    valid = re.fullmatch(r"[+-]?[0-9]+", text)
    if valid is None or len(text) > _LONGEST or not -_MOST <= int(text) < _MOST:
        why = "value out of range" if valid else "invalid syntax"
        raise _malformed(given, f'strconv.Atoi: parsing "{text}": {why}')
    return int(text)


def _duration(parameters: Mapping[str, str], name: str) -> int:
    text, given = value_of(parameters, name)
    try:
        return durations.parse(text) if text else 0
    except ValueError as error:
        raise _malformed(given, str(error)) from None


def _attributes(text: str) -> dict[str, str]:
    if not text:
        return {}
    try:
        found: Any = json.loads(text)
    except RecursionError:
        raise _malformed("query.attributes", "exceeded max depth") from None
    except json.JSONDecodeError as error:
        raise _malformed("query.attributes", _syntax(error)) from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise _malformed("query.attributes", _type_error(found, "map[string]string"))
    for value in found.values():
        if value is not None and not isinstance(value, str):
            raise _malformed("query.attributes", _type_error(value, "string"))
    return {key: value or "" for key, value in found.items()}


def _syntax(error: json.JSONDecodeError) -> str:
    """What Go says where JSON begins wrong or ends too early; elsewhere our own words."""
    if not error.doc[error.pos :].strip():
        return "unexpected end of JSON input"
    if error.msg == "Expecting value":
        return f"invalid character {error.doc[error.pos]!r} looking for beginning of value"
    return str(error)


def _type_error(value: Any, wanted: str) -> str:
    return f"json: cannot unmarshal {_GO_TYPES[type(value)]} into Go value of type {wanted}"


def _malformed(name: str, why: str) -> BadQueryError:
    return BadQueryError(f"malformed parameter {name}: {why}")
