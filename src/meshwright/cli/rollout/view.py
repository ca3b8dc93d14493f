"""Renders a rollout as a tree of versions, steps and analyses. Pure: a document in, lines out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from meshwright.cli import output
from meshwright.errors import ValidationError
from meshwright.rollout.api import status_document
from meshwright.rollout.api.parsing import parse_on_laptop
from meshwright.rollout.api.vocabulary import Phase, Verdict
from meshwright.rollout.reconcile import plan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from meshwright.rollout.api.status import AnalysisRun, RolloutStatus, VersionState

_PHASES = {
    Phase.HEALTHY: ("green", "✔"),
    Phase.PROGRESSING: ("cyan", "◌"),
    Phase.INITIALIZING: ("cyan", "◌"),
    Phase.UPDATING: ("cyan", "◌"),
    Phase.PENDING: ("cyan", "◌"),
    Phase.PAUSED: ("yellow", "॥"),
    Phase.ABORTING: ("red", "✖"),
    Phase.ABORTED: ("red", "✖"),
    Phase.INVALID: ("red", "✖"),
}
_VERDICTS = {Verdict.PASSED: "green", Verdict.FAILED: "red", Verdict.INCONCLUSIVE: "yellow"}
_BAR = 20
Line = tuple[str, str]
"""A line and its colour."""


def tree(document: Mapping[str, Any], now: float | None = None) -> list[Line]:
    """The lines of one rollout."""
    status = status_document.read(document.get("status"))
    colour, mark = _PHASES[status.phase]
    asked = document["spec"].get("version") or status.target or "-"
    lines = [(f"{mark} {document['metadata']['name']}  {status.phase}  {status.message or status.reason}", colour)]
    facts = [f"version {asked}", f"stable {status.stable or '-'}"]
    if status.started_at is not None and not status.outcome:
        facts.append(f"for {output.span((now or time.time()) - status.started_at)}")
    elif status.outcome and status.duration is not None:
        facts.append(f"{status.outcome.lower()} after {output.span(status.duration)}")
    lines.append((f"  {'   '.join(facts)}", ""))
    lines += [(f"  {text}", shade) for text, shade in _versions(status)]
    lines += [(f"  ! {one.version}: {one.object}: {one.reason}: {one.message}", "yellow") for one in status.troubles]
    lines += [(f"  {text}", shade) for text, shade in _steps(document, status)]
    lines += [(f"  {text}", shade) for text, shade in _analyses(status)]
    return lines


def summary(document: Mapping[str, Any]) -> str:
    """One line with a rollout's state, without metric values: each measurement would be a change."""
    status = status_document.read(document.get("status"))
    facts = [f"{document['metadata']['name']}: {status.phase}"]
    if status.steps and status.phase in {Phase.PROGRESSING, Phase.PAUSED}:
        facts[0] += f", step {min(status.step + 1, status.steps)} of {status.steps}"
    if said := status.message or status.reason:
        facts.append(said)
    facts += [
        f"{one.version} {one.role} {one.weight} %, {one.healthy} of {one.desired} healthy"
        for one in sorted(status.versions, key=lambda one: (-one.weight, one.version))
    ]
    facts += [f"analysis {run.name} {run.verdict.lower()}" for run in status.analyses]
    return "; ".join(facts)


def _branches(items: list[Any]) -> Iterator[tuple[str, Any]]:
    for index, item in enumerate(items):
        yield "└─" if index == len(items) - 1 else "├─", item


def _versions(status: RolloutStatus) -> Iterator[Line]:
    yield "versions", "bright_black"
    for branch, version in _branches(sorted(status.versions, key=lambda one: (-one.weight, one.version))):
        yield f"{branch} {_version(version)}", "green" if version.role == "stable" else ""


def _version(version: VersionState) -> str:
    filled = round(version.weight / 100 * _BAR)
    bar = "█" * filled + "░" * (_BAR - filled)
    return (
        f"{version.version:<10} {version.role:<9} {bar} {version.weight:>3} %   "
        f"{version.healthy} of {version.desired} healthy"
        + (f", revision {version.revision}" if version.revision else "")
        + (f", {version.old} of the template before" if version.old else "")
    )


def _steps(document: Mapping[str, Any], status: RolloutStatus) -> Iterator[Line]:
    try:
        steps = plan.steps(parse_on_laptop({**document, "status": {}}), skip=status.skip_steps)
    except ValidationError:
        return
    if not steps or status.phase is Phase.INITIALIZING:
        return
    yield "steps", "bright_black"
    over = status.phase in {Phase.HEALTHY, Phase.UPDATING}
    for branch, (index, step) in _branches(list(enumerate(steps))):
        if over or index < status.step:
            yield f"{branch} ✔ {plan.describe(step)}", "green"
        elif index == status.step and status.phase in {Phase.PROGRESSING, Phase.PAUSED}:
            yield f"{branch} ▶ {plan.describe(step)}", "cyan"
        else:
            yield f"{branch} · {plan.describe(step)}", "bright_black"


def _analyses(status: RolloutStatus) -> Iterator[Line]:
    if status.analyses:
        yield "analyses", "bright_black"
    for branch, run in _branches(list(status.analyses)):
        text = f"{branch} {run.name:<12} {run.verdict}  {run.passed} passed, {run.failed} failed"
        if run.inconclusive:
            text += f", {run.inconclusive} inconclusive in a row"
        yield text, _VERDICTS.get(run.verdict, "")
        yield from _figures(run)


def _figures(run: AnalysisRun) -> Iterator[Line]:
    for figure in run.figures:
        value = "no value" if figure.value is None else f"{figure.value:.4g}"
        against = "" if figure.stable is None else f" (stable {figure.stable:.4g})"
        calls = "" if figure.calls is None else f" of {figure.calls:.0f} calls"
        message = f": {figure.message}" if figure.message else ""
        yield f"     {figure.metric} {value}{against}{calls}{message}", _VERDICTS.get(figure.verdict, "")
