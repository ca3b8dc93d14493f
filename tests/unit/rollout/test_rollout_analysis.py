"""Verdicts from measurements."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshwright.rollout.analysis import evaluation
from meshwright.rollout.api.observed import Measurement
from meshwright.rollout.api.spec import AgainstStable, Analysis, Metric
from meshwright.rollout.api.status import AnalysisRun
from meshwright.rollout.api.vocabulary import MetricKind, Verdict

RATE = Metric("rate", MetricKind.SUCCESS_RATE, minimum=0.95, higher_is_better=True)
LATENCY = Metric("p99", MetricKind.LATENCY, against_stable=AgainstStable(0.5))
ASKED = Analysis(count=3, failure_limit=1, inconclusive_limit=1, minimum_calls=10, metrics=(RATE,))
VERSIONS = ("2.0.0", "1.0.0")


def found(
    value: float | None, *, calls: float = 100, version: str = "2.0.0", metric: str = "rate", error: str = ""
) -> Measurement:
    return Measurement(metric, version, value, calls, error, "step-1")


def after(asked: Analysis, *rounds: tuple[Measurement, ...], name: str = "step-1") -> AnalysisRun:
    run = AnalysisRun(name, 0.0)
    for number, measurements in enumerate(rounds, 1):
        mine = tuple(replace(one, run=name) for one in measurements)
        run = evaluation.measure(asked, run, mine, VERSIONS, float(number))
    return run


def test_enough_good_measurements_pass() -> None:
    assert after(ASKED, *[(found(1.0),)] * 2).verdict is Verdict.RUNNING
    assert after(ASKED, *[(found(1.0),)] * 3).verdict is Verdict.PASSED


def test_failures_of_a_step_add_up() -> None:
    run = after(ASKED, (found(0.5),), (found(1.0),), (found(0.5),))
    assert run.verdict is Verdict.FAILED
    assert run.message == "rate: 0.5 is less than 0.95"


def test_failures_in_the_background_must_come_in_a_row() -> None:
    bad, good = (found(0.5),), (found(1.0),)
    assert after(ASKED, bad, good, bad, good, bad, name="background").verdict is Verdict.RUNNING
    assert after(ASKED, bad, bad, name="background").verdict is Verdict.FAILED


def test_too_few_calls_say_nothing() -> None:
    few = (found(0.0, calls=9),)
    assert after(ASKED, few, few).verdict is Verdict.INCONCLUSIVE
    assert after(ASKED, *[few] * 50, name="background").verdict is Verdict.RUNNING


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_no_number_is_no_verdict(value: float | None) -> None:
    run = after(ASKED, (found(value),))
    assert (run.passed, run.failed, run.inconclusive) == (0, 0, 1)


def test_a_source_that_does_not_answer_is_inconclusive_everywhere() -> None:
    away = (found(None, error="Prometheus is away"),)
    run = after(ASKED, away, away, name="background")
    assert (run.verdict, run.message) == (Verdict.INCONCLUSIVE, "rate: Prometheus is away")


def test_a_measurement_that_is_missing_is_inconclusive() -> None:
    asked = replace(ASKED, metrics=(RATE, LATENCY))
    assert after(asked, (found(1.0),)).inconclusive == 1


def test_a_failure_outweighs_what_could_not_be_measured() -> None:
    asked = replace(ASKED, metrics=(RATE, LATENCY), failure_limit=0)
    assert after(asked, (found(0.1),)).verdict is Verdict.FAILED


@pytest.mark.parametrize(
    ("canary", "verdict"), [(0.14, Verdict.PASSED), (0.16, Verdict.FAILED), (0.01, Verdict.PASSED)]
)
def test_worse_than_the_stable_version_by_more_than_the_tolerance_fails(canary: float, verdict: Verdict) -> None:
    asked = replace(ASKED, metrics=(LATENCY,), count=1, failure_limit=0)
    measurements = (found(canary, metric="p99"), found(0.1, metric="p99", version="1.0.0"))
    run = after(asked, measurements)
    assert run.verdict is verdict
    assert run.figures[0].stable == 0.1


@pytest.mark.parametrize(("canary", "verdict"), [(0.91, Verdict.PASSED), (0.89, Verdict.FAILED)])
def test_where_higher_is_better_lower_is_worse(canary: float, verdict: Verdict) -> None:
    metric = replace(RATE, minimum=None, against_stable=AgainstStable(0.1))
    asked = replace(ASKED, metrics=(metric,), count=1, failure_limit=0)
    assert after(asked, (found(canary), found(1.0, version="1.0.0"))).verdict is verdict


def test_a_stable_version_without_calls_cannot_be_compared_with() -> None:
    asked = replace(ASKED, metrics=(LATENCY,))
    measurements = (found(0.2, metric="p99"), found(None, metric="p99", version="1.0.0", calls=0))
    assert after(asked, measurements).inconclusive == 1


def test_a_maximum_is_one() -> None:
    asked = replace(ASKED, metrics=(replace(LATENCY, against_stable=None, maximum=0.5),), failure_limit=0)
    run = after(asked, (found(0.6, metric="p99"),))
    assert run.message == "p99: 0.6 is more than 0.5"


def test_a_verdict_is_final() -> None:
    run = after(ASKED, *[(found(0.5),)] * 2, *[(found(1.0),)] * 5)
    assert run.verdict is Verdict.FAILED


def test_a_measurement_is_due_an_interval_after_the_last() -> None:
    run = AnalysisRun("a", 10.0)
    assert evaluation.due_at(ASKED, run) == 12.0
    assert evaluation.due_at(ASKED, replace(run, measured_at=15.0)) == 17.0
