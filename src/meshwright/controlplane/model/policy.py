"""The policy document: what Consul's config entries cannot say about a service.

Consul 1.8 knows how traffic is routed, split and redirected. Load-balancing policy, outlier detection, limits,
faults and a default retry are one JSON document per service in Consul's KV, under `meshwright/policy/<service>`.
docs/reference/policy.md is the reference. A document that does not fit the schema is refused whole, with every problem
and its place; the last good one stays in force.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from meshwright import durations, schema
from meshwright.controlplane.model import expressions
from meshwright.controlplane.model.localities import MODES
from meshwright.errors import ValidationError, Violation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from meshwright.model import ServiceName

KV_PREFIX = "meshwright/policy/"

STATUS_CODES = {
    "CANCELLED": 1,
    "UNKNOWN": 2,
    "INVALID_ARGUMENT": 3,
    "DEADLINE_EXCEEDED": 4,
    "NOT_FOUND": 5,
    "ALREADY_EXISTS": 6,
    "PERMISSION_DENIED": 7,
    "RESOURCE_EXHAUSTED": 8,
    "FAILED_PRECONDITION": 9,
    "ABORTED": 10,
    "OUT_OF_RANGE": 11,
    "UNIMPLEMENTED": 12,
    "INTERNAL": 13,
    "UNAVAILABLE": 14,
    "DATA_LOSS": 15,
    "UNAUTHENTICATED": 16,
}

RETRYABLE = ("cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable")
"""The status codes on which gRPC can retry (gRFC A44); it ignores every other token."""

MAX_ATTEMPTS = 5
"""gRPC's own limit (gRFC A6)."""

MAX_DURATION = "8760h"
"""A year: more is a mistake, and a message holds no duration without bounds."""

MIN_BACKOFF_MS = 10
"""Where a backoff rounds to 0 ms after jitter, gRPC never sends the retry and the call hangs (measured at 1 ms)."""


class Balancing(StrEnum):
    """How one of the healthy instances is picked for a call."""

    ROUND_ROBIN = "round_robin"
    RING_HASH = "ring_hash"


@dataclass(frozen=True, slots=True)
class LoadBalancing:
    """`hash_on_header` names the metadata key that keeps a caller on one instance (ring_hash only)."""

    policy: Balancing = Balancing.ROUND_ROBIN
    hash_on_header: str = ""
    minimum_ring_size: int = 1024
    maximum_ring_size: int = 4096


@dataclass(frozen=True, slots=True)
class OutlierDetection:
    """Ejection of instances whose calls fail too often. Times are in milliseconds, the rest in per cent or counts."""

    failure_percentage: int = 50
    minimum_hosts: int = 2
    request_volume: int = 20
    interval_ms: float = 5_000.0
    base_ejection_time_ms: float = 10_000.0
    maximum_ejection_time_ms: float = 120_000.0
    maximum_ejection_percent: int = 50


@dataclass(frozen=True, slots=True)
class HeaderMatch:
    """A condition on one metadata key; exactly one of the kinds is set (`present` may stand for "absent" by False)."""

    name: str
    exact: str | None = None
    prefix: str | None = None
    suffix: str | None = None
    regex: str | None = None
    present: bool | None = None
    invert: bool = False


@dataclass(frozen=True, slots=True)
class Abort:
    """End the call with a status before it is sent."""

    status: int
    percentage: float = 100.0


@dataclass(frozen=True, slots=True)
class Delay:
    """Hold the call back before it is sent."""

    duration_ms: float
    percentage: float = 100.0


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault for the calls that match all `headers`; the first matching fault of a policy counts."""

    headers: tuple[HeaderMatch, ...] = ()
    abort: Abort | None = None
    delay: Delay | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """Which failures are retried, and how often. `attempts` counts the first one: 1 means no retry."""

    on: tuple[str, ...] = ("unavailable",)
    attempts: int = 3
    base_backoff_ms: float = 25.0
    maximum_backoff_ms: float = 250.0


@dataclass(frozen=True, slots=True)
class Policy:
    """One service's document, parsed. The empty document is `Policy()`."""

    load_balancing: LoadBalancing | None = None
    """None: what Consul's resolver says, and failing that round robin."""
    outlier_detection: OutlierDetection | None = None
    max_concurrent_requests: int | None = None
    prioritize_by_locality: str | None = None
    """One of `localities.MODES`; None: what Consul's resolver says."""
    faults: tuple[Fault, ...] = ()
    retry: Retry = field(default_factory=Retry)
    timeout_ms: float = 0.0
    """The default of routes that set none; 0: no timeout but the caller's own."""
    document: bytes = field(default=b"", compare=False, repr=False)
    """The text that it was parsed from, for people."""


def _object(properties: Mapping[str, Any], required: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    document = {"type": "object", "additionalProperties": False, "properties": dict(properties), **more}
    return {**document, "required": list(required)} if required else document


def _whole(minimum: int, maximum: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": minimum, "maximum": maximum}


_PERCENTAGE = {"type": "number", "minimum": 0, "maximum": 100}
_DURATION = {"type": "string", "pattern": durations.PATTERN, "description": "a duration such as 1.5s or 250ms"}
_HEADER_NAME = {
    "type": "string",
    "pattern": r"^(?!.*-[bB][iI][nN]$)[A-Za-z0-9_.-]+$",
    "description": "a metadata key of letters, digits, '-', '_' and '.' that does not end in -bin",
}
_TEXT = {"type": "string", "minLength": 1}
_HEADER_KINDS = ("exact", "prefix", "suffix", "regex", "present")

_HEADER = _object(
    {
        "name": _HEADER_NAME,
        "exact": _TEXT,
        "prefix": _TEXT,
        "suffix": _TEXT,
        "regex": _TEXT,
        "present": {"type": "boolean"},
        "invert": {"type": "boolean"},
    },
    required=("name",),
    oneOf=[{"required": [kind]} for kind in _HEADER_KINDS],
    description=f"exactly one of {', '.join(_HEADER_KINDS)}",
)
_STATUS = {
    "enum": [*STATUS_CODES, *STATUS_CODES.values()],
    "description": "the name or the number of a gRPC status code",
}

POLICY_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Meshwright policy document",
    **_object(
        {
            "load_balancing": _object(
                {
                    "policy": {"enum": [policy.value for policy in Balancing]},
                    "hash_on_header": _HEADER_NAME,
                    "minimum_ring_size": _whole(1, 4096),
                    "maximum_ring_size": _whole(1, 4096),
                }
            ),
            "outlier_detection": _object(
                {
                    "failure_percentage": _whole(1, 100),
                    "minimum_hosts": _whole(1, 10_000),
                    "request_volume": _whole(1, 1_000_000),
                    "interval": _DURATION,
                    "base_ejection_time": _DURATION,
                    "maximum_ejection_time": _DURATION,
                    "maximum_ejection_percent": _whole(1, 100),
                }
            ),
            "max_concurrent_requests": _whole(1, 1_000_000),
            "prioritize_by_locality": {"enum": list(MODES)},
            "faults": {
                "type": "array",
                "maxItems": 20,
                "items": _object(
                    {
                        "headers": {"type": "array", "minItems": 1, "items": _HEADER},
                        "abort": _object({"status": _STATUS, "percentage": _PERCENTAGE}, required=("status",)),
                        "delay": _object({"duration": _DURATION, "percentage": _PERCENTAGE}, required=("duration",)),
                    },
                    anyOf=[{"required": ["abort"]}, {"required": ["delay"]}],
                    description="an abort, a delay, or both",
                ),
            },
            "retry": _object(
                {
                    "on": {"type": "array", "minItems": 1, "uniqueItems": True, "items": {"enum": list(RETRYABLE)}},
                    "attempts": _whole(1, MAX_ATTEMPTS),
                    "base_backoff": _DURATION,
                    "maximum_backoff": _DURATION,
                }
            ),
            "timeout": _DURATION,
        }
    ),
}


def parse_policy(service: ServiceName, document: bytes) -> Policy:
    """Read the document of one service; raises `ValidationError` that names the KV key and every problem."""
    source = f"policy {KV_PREFIX}{service}"
    try:
        content = json.loads(document, parse_float=_number, parse_constant=_refuse)
        _check_text(content)
    except (ValueError, RecursionError) as error:
        raise ValidationError(source, [Violation("", f"is not JSON: {error}")]) from error
    schema.check(content, POLICY_SCHEMA, source)
    policy = _policy(content)
    problems = [*_too_long(content, ()), *_contradictions(content, policy)]
    if problems:
        raise ValidationError(source, problems)
    return replace(policy, document=document)


def _number(text: str) -> float:
    """JSON knows one kind of number: 3.0 is the integer 3."""
    value = float(text)
    return int(value) if value.is_integer() else value


def _refuse(text: str) -> None:
    raise ValueError(f"{text} is not a number of JSON")


def _check_text(content: Any) -> None:
    """JSON can write what is no text, and no message can hold: half of a surrogate pair."""
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError("it holds half of a surrogate pair, which is no text") from error


def _policy(content: Mapping[str, Any]) -> Policy:
    outliers = content.get("outlier_detection")
    retry = dict(content.get("retry", {}))
    if "on" in retry:
        retry["on"] = tuple(sorted(retry["on"]))
    return Policy(
        load_balancing=_load_balancing(content["load_balancing"]) if "load_balancing" in content else None,
        outlier_detection=None if outliers is None else OutlierDetection(**_in_milliseconds(outliers)),
        max_concurrent_requests=content.get("max_concurrent_requests"),
        prioritize_by_locality=content.get("prioritize_by_locality"),
        faults=tuple(_fault(fault) for fault in content.get("faults", ())),
        retry=Retry(**_in_milliseconds(retry)),
        timeout_ms=_milliseconds(content.get("timeout", "")),
    )


def _load_balancing(content: Mapping[str, Any]) -> LoadBalancing:
    balancing = dict(content)
    if "policy" in balancing:
        balancing["policy"] = Balancing(balancing["policy"])
    if "hash_on_header" in balancing:
        balancing["hash_on_header"] = balancing["hash_on_header"].lower()
    return LoadBalancing(**balancing)


_DURATIONS = frozenset(
    {"interval", "base_ejection_time", "maximum_ejection_time", "base_backoff", "maximum_backoff", "duration"}
)


def _too_long(content: Any, path: tuple[str | int, ...]) -> Iterator[Violation]:
    """The durations that no message can hold, or that are longer than a year."""
    if isinstance(content, (dict, list)):
        for key, value in content.items() if isinstance(content, dict) else enumerate(content):
            yield from _too_long(value, (*path, key))
    elif path[-1] in (*_DURATIONS, "timeout") and _milliseconds(content) > _milliseconds(MAX_DURATION):
        yield Violation(schema.place(path), f"must not exceed {MAX_DURATION}")


def _milliseconds(duration: str) -> float:
    """A duration whose form the schema has accepted; infinite where it is longer than durations can be."""
    try:
        return durations.milliseconds(duration)
    except ValueError:
        return math.inf


def _in_milliseconds(content: Mapping[str, Any]) -> dict[str, Any]:
    return {
        f"{key}_ms" if key in _DURATIONS else key: _milliseconds(value) if key in _DURATIONS else value
        for key, value in content.items()
    }


def _fault(content: Mapping[str, Any]) -> Fault:
    abort, delay = content.get("abort"), content.get("delay")
    return Fault(
        headers=tuple(
            HeaderMatch(**{**header, "name": header["name"].lower()}) for header in content.get("headers", ())
        ),
        abort=None if abort is None else Abort(**{**abort, "status": _status(abort["status"])}),
        delay=None if delay is None else Delay(**_in_milliseconds(delay)),
    )


def _status(code: str | int) -> int:
    return STATUS_CODES[code] if isinstance(code, str) else code


def _contradictions(content: Mapping[str, Any], policy: Policy) -> list[Violation]:
    """What a schema cannot say: fields that make sense only together, and bounds in the wrong order."""
    problems = []
    balancing = policy.load_balancing or LoadBalancing()
    if balancing.policy is Balancing.RING_HASH and not balancing.hash_on_header:
        problems.append(Violation("load_balancing.hash_on_header", "is required by ring_hash and missing"))
    if balancing.policy is Balancing.ROUND_ROBIN and len(content.get("load_balancing", {})) > (
        "policy" in content.get("load_balancing", {})
    ):
        problems.append(Violation("load_balancing", "hash_on_header and ring sizes need the policy ring_hash"))
    if balancing.minimum_ring_size > balancing.maximum_ring_size:
        problems.append(Violation("load_balancing.minimum_ring_size", "must not exceed maximum_ring_size"))
    if policy.retry.base_backoff_ms > policy.retry.maximum_backoff_ms:
        problems.append(Violation("retry.base_backoff", "must not exceed maximum_backoff"))
    if policy.retry.base_backoff_ms < MIN_BACKOFF_MS:
        problems.append(Violation("retry.base_backoff", f"must be at least {MIN_BACKOFF_MS}ms"))
    for number, fault in enumerate(policy.faults):
        if fault.delay and fault.delay.duration_ms < 1:  # an Envoy refuses a delay of 0, with the table of all services
            problems.append(Violation(f"faults[{number}].delay.duration", "must be at least 1ms"))
        for index, header in enumerate(fault.headers):
            wrong = expressions.problem(header.regex or "")
            if wrong:
                problems.append(Violation(f"faults[{number}].headers[{index}].regex", wrong))
    outliers = policy.outlier_detection
    if outliers and outliers.base_ejection_time_ms > outliers.maximum_ejection_time_ms:
        problems.append(Violation("outlier_detection.base_ejection_time", "must not exceed maximum_ejection_time"))
    if outliers and outliers.interval_ms < 1:
        problems.append(Violation("outlier_detection.interval", "must be at least 1ms"))
    return problems
