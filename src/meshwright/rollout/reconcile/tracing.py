"""One trace for each rollout: the rollout is the root span, each step a child, measurements are events of the step.

A span is emitted when it has ended, ready for export. Ids are digests of the span's identity: a pass repeated after a
crash emits the same span with the same id.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from meshwright.rollout.api.status import TraceState
from meshwright.rollout.reconcile.decision import FinishedSpan, SpanEvent

if TYPE_CHECKING:
    from meshwright.rollout.api.status import AnalysisRun
    from meshwright.rollout.reconcile.context import ReconcileContext


def _digest(length: int, *parts: object) -> str:
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()[:length]


def begin(context: ReconcileContext) -> None:
    """Opens the trace of a rollout to `status.target`."""
    rollout = context.rollout
    identity = (rollout.uid, rollout.namespace, rollout.name, context.status.target, context.now)
    context.set(trace=TraceState(_digest(32, "trace", *identity), _digest(16, "root", *identity), context.now))


def open_step(context: ReconcileContext, name: str) -> None:
    """Begin the span of a step; without a trace nothing happens."""
    trace = context.status.trace
    if trace is None:
        return
    span = _digest(16, trace.trace_id, context.status.step, name, context.now)
    context.set(trace=replace(trace, step=span, step_name=name, step_started_at=context.now))


def close_step(context: ReconcileContext, *, ok: bool = True, message: str = "") -> None:
    """End the span of the step that is open, if there is one."""
    trace = context.status.trace
    if trace is None or not trace.step:
        return
    attributes = {
        **_common(context),
        "meshwright.step": context.status.step + 1,
        "meshwright.weight": context.status.desired_weight,
    }
    runs = [run for run in context.status.analyses if run.measured_at and run.measured_at >= trace.step_started_at]
    events = tuple(event for run in runs for event in _events(run))
    context.spans.append(
        FinishedSpan(
            trace.trace_id,
            trace.step,
            trace.root,
            trace.step_name,
            trace.step_started_at,
            context.now,
            ok=ok,
            message=message,
            attributes=attributes,
            events=events,
        )
    )
    context.set(trace=replace(trace, step="", step_name=""))


def end(context: ReconcileContext, outcome: str, *, ok: bool, message: str = "") -> None:
    """Close the trace. A step that is still open ends with it."""
    close_step(context, ok=ok, message=message)
    trace = context.status.trace
    if trace is None:
        return
    context.spans.append(
        FinishedSpan(
            trace.trace_id,
            trace.root,
            "",
            f"rollout {context.rollout.service} {context.status.target}",
            trace.started_at,
            context.now,
            ok=ok,
            message=message,
            attributes={**_common(context), "meshwright.outcome": outcome},
        )
    )
    context.set(trace=None)


def _common(context: ReconcileContext) -> dict[str, str | int | float | bool]:
    return {
        "meshwright.rollout": f"{context.rollout.namespace}/{context.rollout.name}",
        "meshwright.service": context.rollout.service,
        "meshwright.version": context.status.target,
        "meshwright.stable": context.status.stable,
    }


def _events(run: AnalysisRun) -> list[SpanEvent]:
    found = []
    for figure in run.figures:
        facts: dict[str, str | int | float | bool | None] = {
            "analysis": run.name,
            "verdict": figure.verdict.value,
            "value": figure.value,
            "stable": figure.stable,
            "calls": figure.calls,
            "message": figure.message,
            "passed": run.passed,
            "failed": run.failed,
        }
        attributes = {key: value for key, value in facts.items() if value is not None and value != ""}
        found.append(SpanEvent(f"measured {figure.metric}", run.measured_at or run.started_at, attributes))
    return found
