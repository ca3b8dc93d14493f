"""What servers and callers counted: the worse counts, and calls that name no version are given to one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwright.rollout.analysis import call_metrics
from meshwright.rollout.analysis.sides import answer, seen_by_callers, sides
from meshwright.rollout.api.observed import MetricQuery
from meshwright.rollout.api.spec import Metric
from meshwright.rollout.api.vocabulary import MetricKind

RATE = Metric("rate", MetricKind.SUCCESS_RATE, minimum=0.99)
P50 = Metric("p50", MetricKind.LATENCY, quantile=0.5, maximum=1.0)

Row = tuple[str, str, str, float]
"""Side, version, status, calls."""


def counted(*rows: Row) -> dict[call_metrics.Series, float]:
    found: dict[call_metrics.Series, float] = {}
    for side, version, status, calls in rows:
        labels = {"service": "user", "side": side, "version": version, "status": status, "method": "demo.User/Get"}
        found[call_metrics.CALLS, tuple(sorted(labels.items()))] = calls
    return found


def timed(side: str, version: str, **buckets: float) -> dict[call_metrics.Series, float]:
    labels = {"service": "user", "side": side, "version": version, "method": "demo.User/Get"}
    return {
        (call_metrics.BUCKETS, tuple(sorted((labels | {"le": bound}).items()))): calls
        for bound, calls in {"0.1": buckets["fast"], "1.0": buckets["all"], "+Inf": buckets["all"]}.items()
    }


def rate(*rows: Row, version: str = "2", minimum: float = 0) -> tuple[float | None, float | None, str]:
    found = answer(MetricQuery(RATE, version, 30, minimum_calls=minimum), sides([counted(*rows)], "user"))
    return found.value, found.calls, found.counted_by


def test_no_server_can_flatter_itself() -> None:
    rows = (("server", "2", "OK", 10), ("client", "2", "UNKNOWN", 10))
    assert rate(*rows) == (0.0, 10, "its callers")


def test_no_caller_can_excuse_a_server() -> None:
    assert rate(("server", "2", "INTERNAL", 10), ("client", "2", "OK", 10)) == (0.0, 10, "its servers")


def test_without_callers_the_servers_are_believed_and_the_other_way_round() -> None:
    assert rate(("server", "2", "OK", 10)) == (1.0, 10, "its servers")
    assert rate(("client", "2", "OK", 10)) == (1.0, 10, "its callers")
    assert rate() == (None, 0, "")


@pytest.mark.parametrize(("minimum", "expected"), [(0, 0.0), (1, 0.0), (5, 1.0), (100, 0.0)])
def test_a_side_with_too_few_calls_says_nothing_beside_one_with_enough(minimum: float, expected: float) -> None:
    value, *_ = rate(("server", "2", "OK", 20), ("client", "2", "INTERNAL", 1), minimum=minimum)
    assert value == expected


def test_a_call_without_a_version_belongs_to_the_servers_that_counted_the_same() -> None:
    rows = (
        ("server", "1", "OK", 90),
        ("server", "1", "CANCELLED", 5),
        ("client", "1", "OK", 90),
        ("server", "2", "OK", 5),
        ("server", "2", "DEADLINE_EXCEEDED", 5),
        ("client", "2", "OK", 5),
        ("client", "", "DEADLINE_EXCEEDED", 5),
        ("client", "", "CANCELLED", 5),
    )
    found = sides([counted(*rows)], "user")
    assert seen_by_callers(found, "2").by_status == {"OK": 5, "DEADLINE_EXCEEDED": 5, "CANCELLED": 0}
    assert seen_by_callers(found, "1").by_status == {"OK": 90, "CANCELLED": 5, "DEADLINE_EXCEEDED": 0}


def test_a_server_that_counts_timeouts_as_something_else_is_found_by_what_its_callers_miss() -> None:
    rows = (
        ("server", "1", "OK", 90),
        ("client", "1", "OK", 90),
        ("server", "2", "CANCELLED", 10),
        ("client", "", "DEADLINE_EXCEEDED", 10),
    )
    assert rate(*rows) == (0.0, 10, "its callers")
    assert rate(*rows, version="1") == (1.0, 90, "its servers")


def test_calls_that_no_server_has_counted_belong_to_no_version() -> None:
    rows = (("server", "2", "OK", 10), ("client", "2", "OK", 10), ("client", "", "UNAVAILABLE", 50))
    assert rate(*rows)[0] == 1.0


def test_the_slower_side_counts() -> None:
    servers, callers = timed("server", "2", fast=10, all=10), timed("client", "2", fast=0, all=10)
    calls = counted(("server", "2", "OK", 10), ("client", "2", "OK", 10))
    found = answer(MetricQuery(P50, "2", 30), sides([servers, callers, calls], "user"))
    assert (found.value, found.counted_by) == (pytest.approx(0.55), "its callers")


STATUSES = st.sampled_from(["OK", "INTERNAL", "CANCELLED", "DEADLINE_EXCEEDED"])
ROWS = st.lists(
    st.tuples(st.sampled_from(["server", "client"]), st.sampled_from(["", "1", "2", "3"]), STATUSES, st.integers(0, 50))
)


@given(ROWS)
def test_what_is_given_to_versions_was_there_and_was_missing(rows: list[Row]) -> None:
    found = sides([counted(*rows)], "user")
    before = {version: found.callers[version].calls for version in ("", "1", "2", "3")}
    given_to = {version: seen_by_callers(found, version).calls - before[version] for version in ("1", "2", "3")}
    assert sum(given_to.values()) <= before[""] + 1e-6
    for version, calls in given_to.items():
        statuses = found.servers[version].by_status
        most = sum(
            max(0.0, count - found.callers[version].by_status.get(status, 0.0)) for status, count in statuses.items()
        )
        assert -1e-9 <= calls <= most + 1e-6
    for version in ("1", "2", "3"):
        value, *_ = rate(*rows, version=version)
        own = found.servers[version].success_rate(RATE.failure_codes)
        assert own is None or (value is not None and value <= own + 1e-9), "never better than the servers say"
