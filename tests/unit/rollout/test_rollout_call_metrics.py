"""Figures from pages: windows, restarts, quantiles, what counts as a failure and who calls which API."""

from __future__ import annotations

import math

import pytest

from meshwright.rollout.analysis import call_metrics
from meshwright.rollout.analysis.sides import sides
from meshwright.rollout.api.observed import MetricQuery
from meshwright.rollout.api.spec import FAILURE_CODES, Metric
from meshwright.rollout.api.vocabulary import MetricKind
from meshwright.telemetry.metrics import Metrics

GET = "/demo.user.v1.UserService/Get"
CHECK = "/grpc.health.v1.Health/Check"


def page_of(found: Metrics, at: float, started: float | None = None) -> call_metrics.Page:
    """What a real instance's page says."""
    text = found.page().decode()
    if started is not None:
        text += f"process_start_time_seconds {started}\n"
    return call_metrics.parse_page(text, at)


def counted(*calls: tuple[str, str, float], version: str = "2.0.0", method: str = GET) -> Metrics:
    found = Metrics()
    for status, side, seconds in calls:
        found.method(side, "user", method).end(status, version, seconds)  # type: ignore[arg-type]
    return found


def calls(before: call_metrics.Page | None, after: call_metrics.Page, since: float = 0.0) -> call_metrics.Window:
    return sides([call_metrics.increase(before, after, since)], "user").servers["2.0.0"]


def test_a_window_is_the_difference_of_two_pages() -> None:
    found = counted(("OK", "server", 0.01), ("OK", "server", 0.01))
    before = page_of(found, 10)
    found.method("server", "user", GET).end("UNAVAILABLE", "2.0.0", 0.01)
    found.method("server", "user", GET).end("OK", "2.0.0", 0.01)
    seen = calls(before, page_of(found, 20))
    assert (seen.calls, seen.success_rate(FAILURE_CODES)) == (2, 0.5)


def test_a_restarted_instance_counts_from_zero() -> None:
    before = page_of(counted(*[("OK", "server", 0.01)] * 10), 10, started=1)
    lower = page_of(counted(*[("INTERNAL", "server", 0.01)] * 3), 20, started=15)
    assert calls(before, lower).by_status == {"INTERNAL": 3}
    higher = page_of(counted(*[("OK", "server", 0.01)] * 12), 20, started=15)
    assert calls(before, higher).calls == 12, "the process began anew, although it has counted more by now"


def test_a_counter_that_went_down_was_reset_even_without_a_sign_of_it() -> None:
    before = page_of(counted(*[("OK", "server", 0.01)] * 10), 10)
    assert calls(before, page_of(counted(*[("OK", "server", 0.01)] * 4), 20)).calls == 4


@pytest.mark.parametrize(("started", "expected"), [(95.0, 3), (50.0, 0), (None, 0)])
def test_the_first_page_counts_only_for_a_process_that_began_within_the_window(
    started: float | None, expected: int
) -> None:
    page = page_of(counted(*[("OK", "server", 0.01)] * 3), 100, started=started)
    assert calls(None, page, since=90.0).calls == expected


def test_clients_health_checks_and_other_versions_do_not_count() -> None:
    empty = call_metrics.Page(0)
    for found in (
        counted(("INTERNAL", "client", 0.01)),
        counted(("INTERNAL", "server", 0.01), method=CHECK),
        counted(("INTERNAL", "server", 0.01), method="/grpc.reflection.v1alpha.ServerReflection/Info"),
        counted(("INTERNAL", "server", 0.01), version="1.0.0"),
    ):
        assert calls(empty, page_of(found, 10)).calls == 0


@pytest.mark.parametrize("status", sorted(FAILURE_CODES))
def test_the_servers_fault_is_a_failure(status: str) -> None:
    assert calls(call_metrics.Page(0), page_of(counted((status, "server", 0.01)), 1)).success_rate(FAILURE_CODES) == 0.0


@pytest.mark.parametrize("status", ["OK", "NOT_FOUND", "INVALID_ARGUMENT", "CANCELLED", "UNAUTHENTICATED"])
def test_the_callers_fault_is_none(status: str) -> None:
    assert calls(call_metrics.Page(0), page_of(counted((status, "server", 0.01)), 1)).success_rate(FAILURE_CODES) == 1.0


def test_which_codes_are_failures_can_be_said() -> None:
    seen = calls(call_metrics.Page(0), page_of(counted(("NOT_FOUND", "server", 0.01)), 1))
    assert seen.success_rate({"NOT_FOUND"}) == 0.0


def test_no_calls_are_no_figure() -> None:
    seen = call_metrics.Window()
    assert (seen.success_rate(FAILURE_CODES), seen.quantile(0.99)) == (None, None)


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.5, 0.1), (0.25, 0.05), (0.75, 0.55), (0.95, 1.0), (0.99, 1.0)],
)
def test_a_quantile_is_promqls(share: float, expected: float) -> None:
    """Half of 100 calls up to 0.1 s, 40 more up to 0.82 s: 0.75 lies 25/40 into that bucket; beyond: the last bound."""
    seen = call_metrics.Window(buckets={0.1: 50, 0.82: 90, 1.0: 90, math.inf: 100})
    assert seen.quantile(share) == pytest.approx(expected)


def test_a_quantile_of_a_real_page() -> None:
    found = counted(*[("OK", "server", 0.003)] * 90, *[("OK", "server", 0.3)] * 10)
    seen = calls(call_metrics.Page(0), page_of(found, 10))
    assert seen.quantile(0.5) == pytest.approx(0.0025 + 0.0025 * 50 / 90)
    assert seen.quantile(0.95) == pytest.approx(0.375)


def test_instances_are_added_up() -> None:
    one, other = (page_of(counted((status, "server", 0.01)), 10) for status in ("OK", "INTERNAL"))
    empty = call_metrics.Page(0)
    seen = sides([call_metrics.increase(empty, page, 0) for page in (one, other)], "user").servers["2.0.0"]
    assert seen.success_rate(FAILURE_CODES) == 0.5


def test_a_page_of_anything_else_is_passed_over() -> None:
    lines = ["# HELP x", "nonsense", "go_goroutines 8", 'grpc_requests_total{side="server"} NaN', "", "{} 1"]
    page = call_metrics.parse_page("\n".join([*lines, "process_start_time_seconds x"]), 1)
    assert (page.counters, page.started) == ({}, None)


def test_labels_may_hold_quotes_and_commas() -> None:
    page = call_metrics.parse_page('grpc_requests_total{service="a,\\"b\\"",side="server"} 2\n', 1)
    assert list(page.counters) == [("grpc_requests_total", (("service", 'a,"b"'), ("side", "server")))]


def test_callers_of_an_api_are_those_whose_clients_counted_calls() -> None:
    page = page_of(counted(("OK", "client", 0.01), ("INTERNAL", "client", 0.01)), 10)
    grown = call_metrics.increase(call_metrics.Page(0), page, 0)
    assert call_metrics.used_apis(grown, "user", ["demo.user.v1", "demo.user.v2", "demo.user"]) == {
        "demo.user.v1": 2,
        "demo.user": 2,
    }
    assert call_metrics.used_apis(grown, "calculator", ["demo.user.v1"]) == {}


def test_callers_of_a_rest_version_are_seen_by_its_routes() -> None:
    found = Metrics()
    found.http_requests.labels("user", "1", "GET", "/v1/users/{id}", "200").inc(3)
    grown = call_metrics.increase(call_metrics.Page(0), page_of(found, 10), 0)
    assert call_metrics.used_apis(grown, "user", ["/v1", "/v2", "/v"]) == {"/v1": 3}


def test_queries_name_service_version_and_window() -> None:
    metric = Metric("q", MetricKind.QUERY, query='errors{s="{{service}}",v="{{ version }}"}[{{window}}] {{other}}')
    assert call_metrics.promql(MetricQuery(metric, "2.0.0", 30), "user") == 'errors{s="user",v="2.0.0"}[30s] {{other}}'
    asked = call_metrics.promql_by_metric("user", 30)
    assert asked[call_metrics.CALLS].startswith("sum by (side, version, status) (increase(grpc_requests_total{")
    assert asked[call_metrics.BUCKETS].startswith(
        "sum by (side, version, le) (increase(grpc_request_duration_seconds_bucket{"
    )
    assert all('{service="user",method' in query for query in asked.values())
    assert all(query.endswith("[30s]))") for query in asked.values())
