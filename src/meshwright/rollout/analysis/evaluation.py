"""Evaluates measurements: from metric values to verdicts.

A measurement is compared with the metric's thresholds and, with `againstStable`, with the stable version's value in the
same window. With too few calls it is skipped in the background (an idle service may be rolled out) and inconclusive in
an analysis step. A source that does not answer is inconclusive in both.

Failures of a step's analysis add up. In the background, which may run for days over overlapping windows, they must be
consecutive. The background analysis continues while the rollout is paused because of it, so that a canary that starts
to fail then is still aborted.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from typing import TYPE_CHECKING

from meshwright.rollout.api.observed import MetricQuery
from meshwright.rollout.api.status import AnalysisRun, MetricResult
from meshwright.rollout.api.vocabulary import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from meshwright.rollout.api.observed import Measurement
    from meshwright.rollout.api.spec import Analysis, Metric

BACKGROUND = "background"


def digest(analysis: Analysis) -> str:
    """A digest of the analysis, equal in every process (the order of a set is not)."""
    metrics = [(replace(one, failure_codes=frozenset()), sorted(one.failure_codes)) for one in analysis.metrics]
    text = repr((replace(analysis, metrics=()), metrics))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def due_at(analysis: Analysis, run: AnalysisRun) -> float:
    """The time of the next measurement."""
    return (run.started_at if run.measured_at is None else run.measured_at) + analysis.interval


def metric_queries(analysis: Analysis, name: str, canary: str, stable: str) -> tuple[MetricQuery, ...]:
    """The queries of one measurement of an analysis."""
    found = []
    for metric in analysis.metrics:
        found.append(MetricQuery(metric, canary, analysis.window, name, analysis.minimum_calls))
        if metric.against_stable is not None and stable:
            found.append(MetricQuery(metric, stable, analysis.window, name, analysis.minimum_calls))
    return tuple(found)


def measure(
    analysis: Analysis, run: AnalysisRun, measurements: Iterable[Measurement], versions: tuple[str, str], now: float
) -> AnalysisRun:
    """The run after one more measurement of (canary, stable); unchanged where `measurements` hold nothing for it."""
    canary, stable = versions
    mine = {(found.metric, found.version): found for found in measurements if found.run == run.name}
    goes_on = run.verdict is Verdict.RUNNING or (run.name == BACKGROUND and run.verdict is Verdict.INCONCLUSIVE)
    if not mine or not goes_on:
        return run
    run = replace(run, verdict=Verdict.RUNNING, message="")
    figures = tuple(
        _evaluate_metric(metric, analysis, mine.get((metric.name, canary)), mine.get((metric.name, stable)))
        for metric in analysis.metrics
    )
    return _with_verdict(
        analysis, _updated_counts(replace(run, measured_at=now, figures=figures), _measurement_verdict(figures))
    )


_TOO_FEW = "too few calls"


def _measurement_verdict(figures: Sequence[MetricResult]) -> Verdict | None:
    """The verdict of one measurement; None where it is skipped."""
    verdicts = {figure.verdict for figure in figures}
    if Verdict.FAILED in verdicts:
        return Verdict.FAILED
    if Verdict.INCONCLUSIVE not in verdicts:
        return Verdict.PASSED
    broken = any(figure.verdict is Verdict.INCONCLUSIVE and figure.message != _TOO_FEW for figure in figures)
    return Verdict.INCONCLUSIVE if broken else None


def _updated_counts(run: AnalysisRun, seen: Verdict | None) -> AnalysisRun:
    background = run.name == BACKGROUND
    if seen is Verdict.PASSED:
        return replace(run, passed=run.passed + 1, inconclusive=0, failed=0 if background else run.failed)
    if seen is Verdict.FAILED:
        return replace(run, failed=run.failed + 1, inconclusive=0)
    if seen is None and background:
        return run
    return replace(run, inconclusive=run.inconclusive + 1)


def _with_verdict(analysis: Analysis, run: AnalysisRun) -> AnalysisRun:
    if run.failed > analysis.failure_limit:
        return replace(run, verdict=Verdict.FAILED, message=_failure_messages(run, Verdict.FAILED))
    if run.inconclusive > analysis.inconclusive_limit:
        return replace(run, verdict=Verdict.INCONCLUSIVE, message=_failure_messages(run, Verdict.INCONCLUSIVE))
    if run.name != BACKGROUND and run.passed >= analysis.count:
        return replace(run, verdict=Verdict.PASSED)
    return run


def _failure_messages(run: AnalysisRun, verdict: Verdict) -> str:
    return "; ".join(f"{figure.metric}: {figure.message}" for figure in run.figures if figure.verdict is verdict)


def _evaluate_metric(
    metric: Metric, analysis: Analysis, canary: Measurement | None, stable: Measurement | None
) -> MetricResult:
    value = _usable(canary)
    calls = canary.calls if canary else None
    if canary is None or canary.error:
        return MetricResult(metric.name, Verdict.INCONCLUSIVE, message=canary.error if canary else "was not measured")
    if value is None or (calls is not None and calls < analysis.minimum_calls):
        return MetricResult(metric.name, Verdict.INCONCLUSIVE, value, calls=calls, message=_TOO_FEW)
    result = MetricResult(metric.name, Verdict.PASSED, value, calls=calls)
    by = f", as {canary.counted_by} counted" if canary.counted_by else ""
    if metric.minimum is not None and value < metric.minimum:
        return replace(result, verdict=Verdict.FAILED, message=f"{value:.4g} is less than {metric.minimum:g}{by}")
    if metric.maximum is not None and value > metric.maximum:
        return replace(result, verdict=Verdict.FAILED, message=f"{value:.4g} is more than {metric.maximum:g}{by}")
    return _compare_with_stable(metric, analysis, result, stable)


def _compare_with_stable(
    metric: Metric, analysis: Analysis, result: MetricResult, stable: Measurement | None
) -> MetricResult:
    """The result after the comparison with the stable version, if the metric has one."""
    if metric.against_stable is None or result.value is None:
        return result
    if stable is not None and stable.error:
        return replace(result, verdict=Verdict.INCONCLUSIVE, message=stable.error)
    base = _usable(stable)
    few = stable is not None and stable.calls is not None and stable.calls < analysis.minimum_calls
    if base is None or few:
        return replace(result, verdict=Verdict.INCONCLUSIVE, message=_TOO_FEW)
    worse = base - result.value if metric.higher_is_better else result.value - base
    result = replace(result, stable=base)
    if worse > metric.against_stable.tolerance * abs(base):
        return replace(result, verdict=Verdict.FAILED, message=f"{result.value:.4g} is worse than stable's {base:.4g}")
    return result


def _usable(measurement: Measurement | None) -> float | None:
    if measurement is None or measurement.value is None or not math.isfinite(measurement.value):
        return None
    return measurement.value
