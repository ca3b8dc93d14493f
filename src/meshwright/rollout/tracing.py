"""One trace for each rollout: the rollout is the root span, each step a child, measurements are events of the step.

A span is told when it has ended, so a shell can export it as it is. Ids are digests of what the span stands for: a
pass that is decided again after a crash tells the same span with the same id.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from meshwright.rollout.decision import FinishedSpan, SpanEvent
from meshwright.rollout.status import TraceState

if TYPE_CHECKING:
    from meshwright.rollout.status import AnalysisRun
    from meshwright.rollout.turn import Turn


def _digest(length: int, *parts: object) -> str:
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()[:length]


def begin(turn: Turn) -> None:
    """Open the trace of a rollout to `status.target`."""
    rollout = turn.rollout
    identity = (rollout.uid, rollout.namespace, rollout.name, turn.status.target, turn.now)
    turn.set(trace=TraceState(_digest(32, "trace", *identity), _digest(16, "root", *identity), turn.now))


def open_step(turn: Turn, name: str) -> None:
    trace = turn.status.trace
    if trace is None:
        return
    span = _digest(16, trace.trace_id, turn.status.step, name, turn.now)
    turn.set(trace=replace(trace, step=span, step_name=name, step_started_at=turn.now))


def close_step(turn: Turn, *, ok: bool = True, message: str = "") -> None:
    trace = turn.status.trace
    if trace is None or not trace.step:
        return
    attributes = {
        **_common(turn),
        "meshwright.step": turn.status.step + 1,
        "meshwright.weight": turn.status.desired_weight,
    }
    runs = [run for run in turn.status.analyses if run.measured_at and run.measured_at >= trace.step_started_at]
    events = tuple(event for run in runs for event in _events(run))
    turn.spans.append(
        FinishedSpan(
            trace.trace_id,
            trace.step,
            trace.root,
            trace.step_name,
            trace.step_started_at,
            turn.now,
            ok=ok,
            message=message,
            attributes=attributes,
            events=events,
        )
    )
    turn.set(trace=replace(trace, step="", step_name=""))


def end(turn: Turn, outcome: str, *, ok: bool, message: str = "") -> None:
    """Close the trace. A step that is still open ends with it."""
    close_step(turn, ok=ok, message=message)
    trace = turn.status.trace
    if trace is None:
        return
    turn.spans.append(
        FinishedSpan(
            trace.trace_id,
            trace.root,
            "",
            f"rollout {turn.rollout.service} {turn.status.target}",
            trace.started_at,
            turn.now,
            ok=ok,
            message=message,
            attributes={**_common(turn), "meshwright.outcome": outcome},
        )
    )
    turn.set(trace=None)


def _common(turn: Turn) -> dict[str, str | int | float | bool]:
    return {
        "meshwright.rollout": f"{turn.rollout.namespace}/{turn.rollout.name}",
        "meshwright.service": turn.rollout.service,
        "meshwright.version": turn.status.target,
        "meshwright.stable": turn.status.stable,
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
