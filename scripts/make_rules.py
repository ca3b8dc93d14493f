"""Writes helm/meshwright/rules/slo.yaml: recording rules and burn-rate alerts of calls, from what the code counts.

Multi-window, multi-burn-rate alerts as in the SRE workbook (chapter 5), for 30 days: a page where a fiftieth of the
budget went within an hour or a twentieth within six, a ticket where a tenth went within a day or within three. The
short window ends the alert soon after the cause has gone. Which calls count and which statuses are failures is what a
rollout goes by (`meshwright.rollout`), so that an alert and an abort mean the same. `${...}` is filled in by the chart.

A call without a response has no version: one of them would be all there is of the version "". Such calls are held
against all calls of the service instead.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from meshwright.rollout.analysis.call_metrics import NO_CALLS
from meshwright.rollout.api.spec import FAILURE_CODES

TARGET = Path(__file__).resolve().parents[1] / "helm/meshwright/rules/slo.yaml"
WINDOWS = {"5m": 300, "30m": 1800, "1h": 3600, "2h": 7200, "6h": 21600, "1d": 86400, "3d": 259200}
FAST = (("1h", "5m", 14.4), ("6h", "30m", 6.0))
SLOW = (("1d", "2h", 3.0), ("3d", "6h", 1.0))
MESH = 'mesh="${mesh}"'
CALLS = f'{MESH},method!~"/?({"|".join(prefix.replace(".", "[.]") for prefix in NO_CALLS)}).*"'
FAILURES = f'status=~"{"|".join(sorted(FAILURE_CODES))}"'
ANSWERED = f'{CALLS},version!=""'
TIMED = f'{ANSWERED},method!~"${{streamingMethods}}"'
TIMED_HTTP = f'{MESH},route!~"${{streamingRoutes}}"'
LE = 'le=~"${latencySeconds}([.]0)?"'
VERSION = "mesh, service, version"
SIDES = "mesh, side, service, version"


def rate(by: str, series: str, labels: str, window: str) -> str:
    return f"sum by ({by}) (rate({series}{{{labels}}}[{window}]))"


def share(part: str, whole: str) -> str:
    """The ratio where there are calls; 0 where none of them is of the part."""
    return f"({part} or 0 * {whole}) / ({whole} > 0)"


def as_side(expression: str, side: str) -> str:
    return f'label_replace({expression}, "side", "{side}", "", "")'


def errors(window: str) -> str:
    """The share of calls that failed, by the side that saw more of them."""
    grpc = share(
        rate(SIDES, "grpc_requests_total", f"{ANSWERED},{FAILURES}", window),
        rate(SIDES, "grpc_requests_total", ANSWERED, window),
    )
    http = share(
        rate(VERSION, "http_requests_total", f'{MESH},status=~"5.."', window),
        rate(VERSION, "http_requests_total", MESH, window),
    )
    return f"max by ({VERSION}) ({grpc} or {as_side(http, 'http')})"


def slow(window: str) -> str:
    """The share of calls that took longer than the threshold, without those that last as long as their caller wants."""
    found = []
    for by, name, labels in (
        (SIDES, "grpc_request_duration_seconds", TIMED),
        (VERSION, "http_request_duration_seconds", TIMED_HTTP),
    ):
        quick = rate(by, f"{name}_bucket", f"{labels},{LE}", window)
        found.append(f"1 - {quick} / ({rate(by, f'{name}_count', labels, window)} > 0)")
    return f"max by ({VERSION}) ({found[0]} or {as_side(found[1], 'http')})"


def unanswered(window: str) -> str:
    """The share of a service's calls that came to no instance."""
    labels = f'{CALLS},side="client"'
    lost = rate("mesh, service", "grpc_requests_total", f'{labels},version="",{FAILURES}', window)
    return share(lost, rate("mesh, service", "grpc_requests_total", labels, window))


def calls(window: str) -> str:
    grpc = rate(SIDES, "grpc_requests_total", ANSWERED, window)
    http = rate(VERSION, "http_requests_total", MESH, window)
    return f"max by ({VERSION}) ({grpc} or {as_side(http, 'http')})"


def all_calls(window: str) -> str:
    return rate("mesh, service", "grpc_requests_total", f'{CALLS},side="client"', window)


RECORDED = {
    "mesh_service_version:call_errors:ratio_rate": errors,
    "mesh_service_version:call_slow:ratio_rate": slow,
    "mesh_service:call_unanswered:ratio_rate": unanswered,
    "mesh_service_version:calls:rate": calls,
    "mesh_service:calls:rate": all_calls,
}


@dataclass(frozen=True)
class Objective:
    """What is alerted on: a ratio, its objective in per cent, and words."""

    alert: str
    ratio: str
    calls: str
    objective: str
    what: str
    of: str

    def burning(self, windows: tuple[tuple[str, str, float], ...]) -> str:
        budget = f"(1 - {self.objective} / 100)"
        return "\nor\n".join(
            f"({self.ratio}{long} > {factor:g} * {budget} and {self.ratio}{short} > {factor:g} * {budget}"
            f" and {self.calls}{long} * {WINDOWS[long]} >= ${{minCalls}})"
            for long, short, factor in windows
        )

    def rules(self) -> list[dict[str, Any]]:
        return [self._rule("Fast", FAST, "critical"), self._rule("Slow", SLOW, "warning")]

    def _rule(self, pace: str, windows: tuple[tuple[str, str, float], ...], severity: str) -> dict[str, Any]:
        spent = {"Fast": "within hours", "Slow": "within days"}[pace]
        return {
            "alert": f"Meshwright{self.alert}{pace}",
            "expr": self.burning(windows),
            "for": {"Fast": "2m", "Slow": "15m"}[pace],
            "labels": {"severity": severity},
            "annotations": {
                "summary": f"{self.of}: {{{{ $value | humanizePercentage }}}} of calls {self.what}",
                "description": f"{self.of} spends the error budget of 30 days {spent}: over the long window "
                f"{{{{ $value | humanizePercentage }}}} of calls {self.what}; the objective is {self.objective} %.",
                "runbook_url": f"${{runbookUrl}}#meshwright{self.alert.lower()}{pace.lower()}",
            },
        }


OF_VERSION = "{{ $labels.service }} {{ $labels.version }}"
OBJECTIVES = (
    Objective(
        "ErrorBudgetBurn",
        "mesh_service_version:call_errors:ratio_rate",
        "mesh_service_version:calls:rate",
        "${successObjective}",
        "failed",
        OF_VERSION,
    ),
    Objective(
        "LatencyBudgetBurn",
        "mesh_service_version:call_slow:ratio_rate",
        "mesh_service_version:calls:rate",
        "${latencyObjective}",
        "took longer than ${latencySeconds} s",
        OF_VERSION,
    ),
    Objective(
        "UnansweredCalls",
        "mesh_service:call_unanswered:ratio_rate",
        "mesh_service:calls:rate",
        "${successObjective}",
        "reached no instance",
        "{{ $labels.service }}",
    ),
)


def groups() -> list[dict[str, Any]]:
    recording = [
        {
            "name": f"meshwright-calls-{window}",
            "rules": [{"record": f"{name}{window}", "expr": make(window)} for name, make in RECORDED.items()],
        }
        for window in WINDOWS
    ]
    alerts = [rule for objective in OBJECTIVES for rule in objective.rules()]
    return [*recording, {"name": "meshwright-slo", "rules": alerts}]


def text() -> str:
    note = "# Written by scripts/make_rules.py: change that, and run it.\n"
    return note + yaml.safe_dump({"groups": groups()}, sort_keys=False, width=1000, allow_unicode=True)


if __name__ == "__main__":
    TARGET.write_text(text(), "utf-8")
    sys.stdout.write(f"{TARGET}\n")
