"""What a caller's service-defaults say of the services that it calls: limits, and when to keep away from an instance.

Consul's `UpstreamConfig` (since 1.10) is about the calls of the service whose entry it is: `Defaults` for all that it
calls, `Overrides` for some by name. So a cluster is not the same for all callers: a node whose `cluster` names a
service with such an entry gets its own. Where the policy document of the called service says something, it wins.

gRPC has one limit, that of concurrent requests, and cannot count failures in a row. What is sure to be a row it can
see: an instance all of whose calls in an interval failed, `MaxFailures` of them at least, is ejected. An Envoy gets all
of it as written (docs/explanation/control-plane.md).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from meshwright import durations
from meshwright.model import ServiceName, folded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_MOST = 4_294_967_295
_LONGEST_MS = 315_360_000_000.0
"""Ten years: what a message holds in any case."""


@dataclass(frozen=True, slots=True)
class PassiveHealthCheck:
    """Ejection by failures in a row. Times are in milliseconds; the defaults are Envoy's."""

    interval_ms: float = 10_000.0
    maximum_failures: int = 5
    enforcing: int = 100
    """How likely an instance is really ejected, in per cent."""
    maximum_ejection_percent: int = 10
    base_ejection_time_ms: float = 30_000.0


@dataclass(frozen=True, slots=True)
class UpstreamRule:
    """What a caller's entry says of one of the services that it calls. None: nothing."""

    concurrent_requests: int | None = None
    pending_requests: int | None = None
    connections: int | None = None
    passive: PassiveHealthCheck | None = None


@dataclass(frozen=True, slots=True)
class CallerRules:
    """What one caller's entry says."""

    defaults: UpstreamRule = UpstreamRule()
    overrides: Mapping[str, UpstreamRule] = field(default_factory=dict)
    """By the name of the called service, in lower case: Consul compares it so."""
    problems: tuple[str, ...] = ()

    def rule(self, service: str) -> UpstreamRule | None:
        """What counts for calls to that service; None where nothing is said."""
        found = self.overrides.get(folded(service), self.defaults)
        return None if found == UpstreamRule() else found


def read(entries: Iterable[Mapping[str, Any]]) -> dict[ServiceName, CallerRules]:
    """The rules of all service-defaults entries that have some. What makes no sense is left out, and is a problem."""
    found = {}
    for entry in entries:
        try:
            rules = _rules(entry.get("UpstreamConfig") or {})
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            rules = CallerRules(problems=(f"UpstreamConfig cannot be read: {error}",))
        if rules != CallerRules():
            found[ServiceName(folded(str(entry["Name"])))] = rules
    return found


def rules_of(caller: str, callers: Mapping[ServiceName, CallerRules]) -> CallerRules | None:
    """The rules for a node that says it is this service."""
    return callers.get(ServiceName(folded(caller))) if callers and caller else None


def _rules(document: Mapping[str, Any]) -> CallerRules:
    problems: list[str] = []
    base = document.get("Defaults") or {}
    defaults = _rule(base)
    problems.extend(_lost("Defaults", defaults))
    overrides = {}
    for entry in document.get("Overrides") or ():
        place = f"Overrides[{entry['Name']}]"
        if entry.get("Peer") or any(entry.get(key) not in (None, "", "default") for key in ("Partition", "Namespace")):
            problems.append(f"UpstreamConfig.{place} is about a service elsewhere; it is ignored")
            continue
        rule = _rule({**base, **{key: value for key, value in entry.items() if value is not None}})
        overrides[folded(str(entry["Name"]))] = rule
        problems.extend(_lost(place, rule))
    return CallerRules(defaults, overrides, tuple(problems))


def _rule(document: Mapping[str, Any]) -> UpstreamRule:
    limits = document.get("Limits") or {}
    passive = document.get("PassiveHealthCheck")
    return UpstreamRule(
        concurrent_requests=_limit(limits.get("MaxConcurrentRequests")),
        pending_requests=_limit(limits.get("MaxPendingRequests")),
        connections=_limit(limits.get("MaxConnections")),
        passive=None if passive is None else _passive(passive),
    )


def _limit(value: Any) -> int | None:
    return min(int(value), _MOST) if value and int(value) > 0 else None


def _passive(document: Mapping[str, Any]) -> PassiveHealthCheck:
    default = PassiveHealthCheck()
    enforcing, percent = document.get("EnforcingConsecutive5xx"), document.get("MaxEjectionPercent")
    return PassiveHealthCheck(
        interval_ms=_time(document.get("Interval"), default.interval_ms),
        maximum_failures=_limit(document.get("MaxFailures")) or default.maximum_failures,
        enforcing=default.enforcing if enforcing is None else min(100, max(0, int(enforcing))),
        maximum_ejection_percent=(
            default.maximum_ejection_percent if percent is None else min(100, max(0, int(percent)))
        ),
        base_ejection_time_ms=_time(document.get("BaseEjectionTime"), default.base_ejection_time_ms),
    )


def _time(value: Any, default: float) -> float:
    found = durations.milliseconds(value)
    return min(max(found, 1.0), _LONGEST_MS) if found else default


def _lost(place: str, rule: UpstreamRule) -> Iterator[str]:
    limits = {"MaxConnections": rule.connections, "MaxPendingRequests": rule.pending_requests}
    for name, value in limits.items():
        if value is not None:
            yield f"UpstreamConfig.{place}: gRPC clients have no {name}; it is ignored"
    if rule.passive is not None:
        yield (
            f"UpstreamConfig.{place}: gRPC clients cannot count failures in a row; they eject an instance all of whose "
            f"calls in an interval failed, {rule.passive.maximum_failures} at least"
        )
