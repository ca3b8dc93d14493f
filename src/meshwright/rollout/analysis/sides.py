"""The calls counted by a version's servers and by its callers; a query returns the worse of both. Pure.

A server with wrong counters must not pass, so the callers' counters are used as well. A caller learns the version from
the response. A call that ended without a response (its deadline, a lost connection) is counted without a version, and
gRPC does not expose the instance. Such calls are attributed to the versions whose servers ended more calls than the
callers counted: first by equal status, then, for servers with another status, the rest; never more than are missing,
and in proportion to the missing calls where several versions qualify. Calls that no server counted belong to no version
(docs/decisions/0091).

Not all callers need to be known: the calls of unknown callers are missing at every version in proportion to its calls.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from meshwright.rollout.analysis import call_metrics
from meshwright.rollout.analysis.call_metrics import Window
from meshwright.rollout.api.vocabulary import MetricKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshwright.rollout.api.observed import Measurement, MetricQuery

CALLERS = "its callers"
SERVERS = "its servers"


@dataclass(slots=True)
class Sides:
    """All calls of a service within a window, by version; callers' calls without a version are under `""`."""

    servers: dict[str, Window] = field(default_factory=lambda: defaultdict(Window))
    callers: dict[str, Window] = field(default_factory=lambda: defaultdict(Window))


def sides(increases: Iterable[Mapping[call_metrics.Series, float]], service: str) -> Sides:
    """The calls of a service counted by its instances and by their callers."""
    found = Sides()
    for counted in increases:
        for (name, pairs), value in counted.items():
            labels = dict(pairs)
            if labels.get("service") != service or call_metrics.is_no_call(labels.get("method", "")):
                continue
            windows = {"server": found.servers, "client": found.callers}.get(labels.get("side", "server"))
            if windows is not None:
                windows[labels.get("version", "")].add(name, labels, value)
    return found


def seen_by_callers(found: Sides, version: str) -> Window:
    """The calls of a version counted by its callers, including its part of the calls without a version."""
    own = found.callers.get(version, Window())
    statuses: dict[str, float] = defaultdict(float, own.by_status)
    for status, calls in _attributed(found).get(version, {}).items():
        statuses[status] += calls
    return Window(dict(statuses), own.buckets)


def _attributed(found: Sides) -> dict[str, dict[str, float]]:
    """The callers' calls without a version, attributed to versions: version -> status -> calls."""
    unknown = found.callers.get("", Window()).by_status
    given: dict[str, dict[str, float]] = {version: defaultdict(float) for version in found.servers if version}
    left: dict[str, float] = {}
    for status, calls in unknown.items():
        missing = {version: _missing(found, version, status) for version in given}
        shares = _shares(calls, missing)
        for version, share in shares.items():
            given[version][status] += share
        left[status] = calls - sum(shares.values())
    pool = sum(left.values())
    if pool <= 0:
        return given
    missing = {version: max(0.0, _missing(found, version) - sum(given[version].values())) for version in given}
    for version, share in _shares(pool, missing).items():
        for status, calls in left.items():
            given[version][status] += share * calls / pool
    return given


def _missing(found: Sides, version: str, status: str | None = None) -> float:
    """Calls of a version that its servers ended and no caller counted."""
    servers, callers = found.servers[version], found.callers.get(version, Window())
    if status is None:
        return max(0.0, servers.calls - callers.calls)
    return max(0.0, servers.by_status.get(status, 0.0) - callers.by_status.get(status, 0.0))


def _shares(amount: float, missing: Mapping[str, float]) -> dict[str, float]:
    total = sum(missing.values())
    scale = min(1.0, amount / total) if total > 0 else 0.0
    return {version: scale * calls for version, calls in missing.items()}


def answer(query: MetricQuery, found: Sides) -> Measurement:
    """The worse value of both sides; a side with too few calls is ignored."""
    seen = {
        SERVERS: found.servers.get(query.version, Window()),
        CALLERS: seen_by_callers(found, query.version),
    }
    telling = {side: window for side, window in seen.items() if window.calls >= query.minimum_calls} or seen
    values = {side: call_metrics.value(query, window) for side, window in telling.items()}
    known = {side: value for side, value in values.items() if value is not None}
    if not known:
        return query.answer(None, calls=max(window.calls for window in seen.values()))
    pick = min if query.metric.kind is MetricKind.SUCCESS_RATE else max
    side = pick(known, key=lambda name: known[name])
    return query.answer(known[side], calls=telling[side].calls, counted_by=side)
