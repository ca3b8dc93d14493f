"""Metrics of calls: parsed from /metrics pages, or as PromQL queries. Pure.

A page holds counters since the process started. The increase within a window is the difference of two pages of the same
instance: a counter that decreased was reset by a restart and counts from zero; a new one began at zero. The first page
of an instance counts only for a process that started within the window.

Failures are calls with a server-side status code; health checks, reflection and the admin services are excluded. The
quantile is PromQL's `histogram_quantile`: linear within a bucket, the last finite bound beyond it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from meshwright.rollout.api.vocabulary import MetricKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshwright.rollout.api.observed import MetricQuery

CALLS = "grpc_requests_total"
BUCKETS = "grpc_request_duration_seconds_bucket"
HTTP_CALLS = "http_requests_total"
STARTED = "process_start_time_seconds"
NO_CALLS = ("grpc.health.", "grpc.reflection.", "grpc.channelz.", "grpc.admin.", "envoy.")
"""Prefixes of excluded methods."""

_LINE = re.compile(r"^([a-z_]+)(?:\{(.*)\})? ([^ ]+)")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")

Series = tuple[str, tuple[tuple[str, str], ...]]
"""A metric's name and its labels, sorted."""


@dataclass(frozen=True, slots=True)
class Page:
    """One instance's counters at one moment."""

    at: float
    counters: Mapping[Series, float] = field(default_factory=dict)
    started: float | None = None
    """The start of the process, if the page has it."""


@dataclass(slots=True)
class Window:
    """Calls of one version within a window."""

    by_status: dict[str, float] = field(default_factory=dict)
    buckets: dict[float, float] = field(default_factory=dict)
    """Cumulative, by upper bound in seconds."""

    def add(self, name: str, labels: Mapping[str, str], value: float) -> None:
        """Adds the increase of one series: calls, or those of at most `le` seconds."""
        if name == CALLS:
            status = labels.get("status", "")
            self.by_status[status] = self.by_status.get(status, 0.0) + value
        elif name == BUCKETS:
            bound = _bound(labels.get("le", ""))
            self.buckets[bound] = self.buckets.get(bound, 0.0) + value

    @property
    def calls(self) -> float:
        return sum(self.by_status.values())

    def success_rate(self, failure_codes: Iterable[str]) -> float | None:
        """The share of calls that did not fail; None without calls."""
        calls = self.calls
        failures = sum(self.by_status.get(code, 0.0) for code in failure_codes)
        return None if calls <= 0 else 1.0 - failures / calls

    def quantile(self, share: float) -> float | None:
        """As PromQL's histogram_quantile; None without calls."""
        bounds = sorted(self.buckets)
        total = self.buckets[bounds[-1]] if bounds else 0.0
        if total <= 0:
            return None
        rank = share * total
        below, lower = 0.0, 0.0
        for bound in bounds:
            count = self.buckets[bound]
            if count >= rank:
                if math.isinf(bound):
                    return lower
                inside = count - below
                return bound if inside <= 0 else lower + (bound - lower) * (rank - below) / inside
            below, lower = count, bound
        return lower


def parse_page(text: str, at: float) -> Page:
    """The call counters of a /metrics page; other series are ignored."""
    counters: dict[Series, float] = {}
    started = None
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        name, labels, value = match.groups()
        if name == STARTED:
            started = _number(value)
        elif name in (CALLS, BUCKETS, HTTP_CALLS):
            number = _number(value)
            if number is not None:
                counters[name, _labels(labels or "")] = number
    return Page(at, counters, started)


def _labels(text: str) -> tuple[tuple[str, str], ...]:
    found = ((name, _ESCAPED.sub(_unescaped, value)) for name, value in _LABEL.findall(text))
    return tuple(sorted(found))


def _unescaped(match: re.Match[str]) -> str:
    return "\n" if match.group(1) == "n" else match.group(1)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def increase(before: Page | None, after: Page, since: float) -> dict[Series, float]:
    """The increase between two pages of an instance, or from `since` without an earlier page."""
    if before is None:
        began_within = after.started is not None and after.started >= since
        return dict(after.counters) if began_within else {}
    restarted = before.started is not None and after.started is not None and after.started > before.started
    found = {}
    for series, value in after.counters.items():
        base = 0.0 if restarted else before.counters.get(series, 0.0)
        found[series] = value - base if value >= base else value
    return found


def _bound(text: str) -> float:
    return math.inf if text in ("+Inf", "Inf", "") else float(text)


def is_no_call(method: str) -> bool:
    """Whether a method is excluded: health checks, reflection, admin services."""
    return method.removeprefix("/").startswith(NO_CALLS)


def called_services(page: Page) -> set[str]:
    """The services called by the process of this page."""
    labels = (dict(pairs) for (name, pairs) in page.counters if name == CALLS)
    return {one["service"] for one in labels if one.get("side") == "client" and "service" in one}


def used_apis(counted: Mapping[Series, float], service: str, apis: Iterable[str]) -> dict[str, float]:
    """Calls to each API of a service: made by one instance, or (REST) received by the service's HTTP server."""
    found: dict[str, float] = {}
    asked = tuple(apis)
    for (name, pairs), value in counted.items():
        labels = dict(pairs)
        if value <= 0 or labels.get("service") != service:
            continue
        for api in asked:
            if _uses(name, labels, api):
                found[api] = found.get(api, 0.0) + value
    return found


def _uses(name: str, labels: Mapping[str, str], api: str) -> bool:
    if api.startswith("/"):
        route = labels.get("route", "")
        return name == HTTP_CALLS and (route == api or route.startswith(api.rstrip("/") + "/"))
    called = labels.get("method", "").removeprefix("/").startswith(f"{api}.")
    return name == CALLS and labels.get("side") == "client" and called


def value(query: MetricQuery, seen: Window) -> float | None:
    """The value of a query's metric in a window."""
    if query.metric.kind is MetricKind.SUCCESS_RATE:
        return seen.success_rate(query.metric.failure_codes)
    return seen.quantile(query.metric.quantile)


def promql(query: MetricQuery, service: str) -> str:
    """The metric's PromQL with its placeholders filled in."""
    facts = {"service": service, "version": query.version, "window": _span(query.seconds)}
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: facts.get(match[1], match[0]), query.metric.query)


def promql_by_metric(service: str, seconds: float) -> dict[str, str]:
    """PromQL for the calls of a service counted by both sides: by metric name, with the labels of a page."""
    no_calls = "|".join(prefix.replace(".", "[.]") for prefix in NO_CALLS)
    labels = f'service="{service}",method!~"/?({no_calls}).*"'
    return {
        CALLS: f"sum by (side, version, status) (increase({CALLS}{{{labels}}}[{_span(seconds)}]))",
        BUCKETS: f"sum by (side, version, le) (increase({BUCKETS}{{{labels}}}[{_span(seconds)}]))",
    }


def _span(seconds: float) -> str:
    return f"{max(1, round(seconds))}s"
