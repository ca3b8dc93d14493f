"""Writes helm/meshwright/dashboards/*.json: Grafana dashboards of the mesh, of one service, of one rollout.

Which calls count and which statuses are failures is taken from the code, as for the rules (scripts/make_rules.py).
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meshwright.rollout.analysis.call_metrics import NO_CALLS
from meshwright.rollout.api.spec import FAILURE_CODES

FOLDER = Path(__file__).resolve().parents[1] / "helm/meshwright/dashboards"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
MESH = 'mesh=~"$mesh"'
CALLS = f'{MESH},method!~"/?({"|".join(prefix.replace(".", "[.]") for prefix in NO_CALLS)}).*"'
FAILURES = f'status=~"{"|".join(sorted(FAILURE_CODES))}"'
WIDTH = 24


@dataclass(frozen=True)
class Panel:
    """One panel: `queries` are pairs of an expression and a legend."""

    title: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    height: int = 8
    description: str = ""
    stacked: bool = False
    more: dict[str, Any] = field(default_factory=dict)

    def render(self, number: int, x: int, y: int) -> dict[str, Any]:
        custom: dict[str, Any] = {}
        if self.kind == "timeseries":
            stacking = {"mode": "normal" if self.stacked else "none"}
            custom = {"fillOpacity": 30 if self.stacked else 5, "showPoints": "never", "stacking": stacking}
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": DATASOURCE,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "fieldConfig": {"defaults": {"unit": self.unit, "custom": custom, **self.more}, "overrides": []},
            "options": self._options(),
            "targets": [self._target(index, *query) for index, query in enumerate(self.queries)],
        }

    def _options(self) -> dict[str, Any]:
        match self.kind:
            case "stat":
                return {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "graphMode": "area"}
            case "state-timeline":
                return {"mergeValues": True, "showValue": "never", "legend": {"showLegend": False}}
            case "table":
                return {"showHeader": True}
            case _:
                legend = {"displayMode": "list", "placement": "bottom", "showLegend": True}
                return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}

    def _target(self, index: int, expression: str, legend: str) -> dict[str, Any]:
        target = {
            "refId": chr(ord("A") + index),
            "datasource": DATASOURCE,
            "editorMode": "code",
            "expr": expression,
            "legendFormat": legend,
        }
        return target | ({"instant": True, "format": "table"} if self.kind == "table" else {"range": True})


def rate(by: str, series: str, labels: str) -> str:
    return f"sum by ({by}) (rate({series}{{{labels}}}[$__rate_interval]))"


def failed(by: str, labels: str) -> str:
    """The share of calls that failed; 0 where none did."""
    whole = rate(by, "grpc_requests_total", labels)
    return f"({rate(by, 'grpc_requests_total', f'{labels},{FAILURES}')} or 0 * {whole}) / ({whole} > 0)"


def quantile(share: float, by: str, series: str, labels: str) -> str:
    return f"histogram_quantile({share}, {rate(f'{by}, le', f'{series}_bucket', labels)})"


def stat(title: str, expression: str, unit: str = "short", **more: Any) -> Panel:
    return Panel(title, ((expression, ""),), unit, "stat", 4, 4, **more)


def mesh() -> list[Panel]:
    server = f'{CALLS},side="server"'
    client = f'{CALLS},side="client"'
    return [
        stat("Control planes that serve", f"sum(meshwright_synced{{{MESH}}})"),
        stat("Clients connected", f"sum(meshwright_ads_streams{{{MESH}}})"),
        stat("Services", f"count(count by (service) (meshwright_instance_registered{{{MESH}}}))"),
        stat("Instances in Consul", f"sum(meshwright_instance_registered{{{MESH}}})"),
        stat("Calls per second", f"sum({rate('mesh', 'grpc_requests_total', server)})", "reqps"),
        stat("Alerts that fire", f'count(ALERTS{{{MESH},alertname=~"Meshwright.*",alertstate="firing"}}) or vector(0)'),
        Panel("Calls", ((rate("service", "grpc_requests_total", server), "{{service}}"),), "reqps", stacked=True),
        Panel(
            "Failed calls",
            ((failed("service", client), "{{service}}"),),
            "percentunit",
            description="As callers saw it: calls that reached no instance are in it.",
        ),
        Panel(
            "Latency, p99",
            ((quantile(0.99, "service", "grpc_request_duration_seconds", server), "{{service}}"),),
            "s",
        ),
        Panel(
            "Responses of the control plane",
            ((rate("type", "meshwright_ads_responses_total", MESH), "{{type}}"),),
            "ops",
        ),
        Panel(
            "Refused by clients (NACK)",
            (
                (f"sum by (type) (meshwright_ads_refusing_streams{{{MESH}}})", "{{type}}, now"),
                (f"sum by (type) (increase(meshwright_ads_nacks_total{{{MESH}}}[$__rate_interval]))", "{{type}}, new"),
            ),
        ),
        Panel(
            "Not honoured, or kept from a Consul that lost it",
            (
                (f"max(meshwright_problems{{{MESH}}})", "problems of config entries and policies"),
                (f"max(meshwright_held_services{{{MESH}}})", "services kept"),
            ),
        ),
        Panel(
            "Consul",
            (
                (f"min(meshwright_consul_up{{{MESH}}})", "control planes reach it"),
                (f"min by (service) (meshwright_instance_registered{{{MESH}}})", "{{service}} registered"),
            ),
            more={"min": 0, "max": 1},
        ),
        Panel(
            "From a change to a snapshot, p99",
            (
                (
                    f"histogram_quantile(0.99, {rate('le', 'meshwright_translate_seconds_bucket', MESH)})",
                    "translation",
                ),
                (f"time() - max(meshwright_snapshot_timestamp_seconds{{{MESH}}})", "age of the newest snapshot"),
            ),
            "s",
        ),
        Panel(
            "Bytes sent to clients",
            ((rate("instance", "meshwright_ads_sent_bytes_total", MESH), "{{instance}}"),),
            "Bps",
        ),
        Panel(
            "Outboxes: age of the oldest event",
            ((f"max by (source) (outbox_oldest_event_age_seconds{{{MESH}}})", "{{source}}"),),
            "s",
        ),
        Panel(
            "Events",
            (
                (rate("source", "outbox_published_events_total", MESH), "{{source}}, published"),
                (rate("service, source", "event_consumer_events_total", MESH), "{{source}}, taken in by {{service}}"),
            ),
            "ops",
        ),
        Panel(
            "Events that wait or fail",
            (
                (
                    f"max by (service, source) (event_consumer_pending_events{{{MESH}}})",
                    "{{source}}, behind: {{service}}",
                ),
                (rate("service, source", "event_consumer_failures_total", MESH), "{{source}}, failing: {{service}}"),
                (f"sum by (service, source) (event_consumer_dead_letters_total{{{MESH}}})", "{{source}}, unreadable"),
            ),
        ),
        Panel(
            "NATS",
            (
                (f"min by (service) (nats_connected{{{MESH}}})", "{{service}} connected"),
                (f"max(nats_refusing_streams{{{MESH}}})", "streams that refuse"),
            ),
        ),
        Panel("Sagas under way", ((f"max by (state) (saga_orders{{{MESH}}})", "{{state}}"),)),
        Panel("Sagas without a driver", ((f"max(saga_overdue_seconds{{{MESH}}})", "the longest"),), "s"),
    ]


def service() -> list[Panel]:
    of = 'service=~"$service",version=~"$version"'
    server, client = (f'{CALLS},side="{side}",{of}' for side in ("server", "client"))
    target = f"{MESH},{of}"
    return [
        stat("Calls per second", f"sum({rate('mesh', 'grpc_requests_total', server)})", "reqps"),
        stat("Failed", failed("mesh", client), "percentunit"),
        stat("p99", quantile(0.99, "mesh", "grpc_request_duration_seconds", server), "s"),
        stat("Instances in Consul", f"sum(meshwright_instance_registered{{{MESH},{of}}})"),
        stat("In flight", f'sum(grpc_requests_in_flight{{{CALLS},side="server",service=~"$service"}})'),
        stat("Versions", f"count(count by (version) (meshwright_instance_registered{{{MESH},{of}}}))"),
        Panel(
            "Calls by version",
            ((rate("version", "grpc_requests_total", server), "{{version}}"),),
            "reqps",
            stacked=True,
        ),
        Panel(
            "Failed calls by version",
            ((failed("side, version", f"{CALLS},{of}"), "{{version}}, {{side}}"),),
            "percentunit",
        ),
        Panel(
            "Latency by version",
            tuple(
                (
                    quantile(share, "version", "grpc_request_duration_seconds", server),
                    f"{{{{version}}}} p{share * 100:g}",
                )
                for share in (0.5, 0.9, 0.99)
            ),
            "s",
        ),
        Panel("Calls by method", ((rate("method", "grpc_requests_total", server), "{{method}}"),), "reqps"),
        Panel(
            "Calls by status", ((rate("status", "grpc_requests_total", client), "{{status}}"),), "reqps", stacked=True
        ),
        Panel(
            "Latency by method, p99",
            ((quantile(0.99, "method", "grpc_request_duration_seconds", server), "{{method}}"),),
            "s",
        ),
        Panel(
            "Calls by caller",
            ((rate("job, instance", "grpc_requests_total", client), "{{job}} {{instance}}"),),
            "reqps",
        ),
        Panel("HTTP requests by status", ((rate("status", "http_requests_total", target), "{{status}}"),), "reqps"),
        Panel(
            "HTTP latency by route, p99",
            ((quantile(0.99, "route", "http_request_duration_seconds", target), "{{route}}"),),
            "s",
        ),
        Panel(
            "Error budget: failed calls of the last hour",
            ((f"mesh_service_version:call_errors:ratio_rate1h{{{MESH},{of}}}", "{{version}}"),),
            "percentunit",
        ),
        Panel(
            "Processor", ((rate("version, instance", "process_cpu_seconds_total", target), "{{version}} {{instance}}"),)
        ),
        Panel(
            "Memory",
            ((f"process_resident_memory_bytes{{{target}}}", "{{version}} {{instance}}"),),
            "bytes",
        ),
    ]


def rollout() -> list[Panel]:
    of = f'{MESH},namespace=~"$namespace",rollout=~"$rollout"'
    calls = f'{CALLS},service=~"$service"'
    server = f'{calls},side="server"'
    return [
        stat(
            "Under way", f'count(meshwright_rollout_phase{{{of},phase!~"Healthy|Aborted|Invalid"}} == 1) or vector(0)'
        ),
        stat("Aborted", f'sum(meshwright_rollout_phase{{{of},phase="Aborted"}})'),
        stat("Last pass", f"time() - min(meshwright_rollout_last_pass_timestamp_seconds{{{of}}})", "s"),
        stat("In this state for", f"time() - max(meshwright_rollout_since_timestamp_seconds{{{of}}})", "s"),
        stat("Rollouts that this operator follows", f"sum(meshwright_operator_rollouts{{{MESH}}})"),
        stat("Leases held", f'sum(meshwright_operator_namespace{{{MESH},state="Holding"}})'),
        Panel(
            "Phase",
            ((f"max by (namespace, rollout, phase) (meshwright_rollout_phase{{{of}}}) > 0", "{{rollout}}: {{phase}}"),),
            kind="state-timeline",
            width=12,
        ),
        Panel(
            "Weight",
            ((f"max by (rollout, version) (meshwright_rollout_weight{{{of}}})", "{{rollout}} {{version}}"),),
            "percent",
            width=12,
            stacked=True,
            description="The share of calls that each version is meant to have.",
        ),
        Panel("What it is about", ((f"meshwright_rollout_info{{{of}}}", ""),), kind="table", width=WIDTH, height=5),
        Panel(
            "Share of calls that came",
            (
                (
                    f"{rate('version', 'grpc_requests_total', server)} / ignoring (version) group_left () "
                    f"(sum(rate(grpc_requests_total{{{server}}}[$__rate_interval])) > 0)",
                    "{{version}}",
                ),
            ),
            "percentunit",
            stacked=True,
        ),
        Panel("Failed calls by version", ((failed("side, version", calls), "{{version}}, {{side}}"),), "percentunit"),
        Panel(
            "Latency by version, p99",
            ((quantile(0.99, "version", "grpc_request_duration_seconds", server), "{{version}}"),),
            "s",
        ),
        Panel(
            "Instances in Consul by version",
            ((f'sum by (version) (meshwright_instance_registered{{{MESH},service=~"$service"}})', "{{version}}"),),
        ),
        Panel(
            "Verdicts of analyses",
            (
                (
                    f"sum by (rollout, analysis, verdict) (meshwright_rollout_analysis_verdicts_total{{{of}}})",
                    "{{rollout}} {{analysis}}: {{verdict}}",
                ),
            ),
        ),
        Panel("Failed passes", ((rate("rollout", "meshwright_rollout_failures_total", of), "{{rollout}}"),), "ops"),
        Panel(
            "Duration of rollouts, median",
            (
                (
                    "histogram_quantile(0.5, sum by (outcome, le) "
                    f"(meshwright_rollout_duration_seconds_bucket{{{of}}}))",
                    "{{outcome}}",
                ),
            ),
            "s",
        ),
    ]


def variable(name: str, query: str, *, several: bool = True) -> dict[str, Any]:
    return {
        "name": name,
        "label": name.capitalize(),
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": several,
        "includeAll": several,
        "allValue": ".*" if several else None,
        "current": {"text": "All", "value": "$__all"} if several else {},
    }


SOURCE = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "current": {}}
OF_MESH = variable("mesh", "label_values(up, mesh)")
DASHBOARDS = {
    "mesh": ("the mesh", mesh, (OF_MESH,)),
    "service": (
        "a service",
        service,
        (
            OF_MESH,
            variable("service", f'label_values(grpc_requests_total{{{MESH},side="server"}}, service)', several=False),
            variable("version", f'label_values(grpc_requests_total{{{MESH},service=~"$service"}}, version)'),
        ),
    ),
    "rollout": (
        "a rollout",
        rollout,
        (
            OF_MESH,
            variable("namespace", f"label_values(meshwright_rollout_phase{{{MESH}}}, namespace)"),
            variable("rollout", f'label_values(meshwright_rollout_phase{{{MESH},namespace=~"$namespace"}}, rollout)'),
            variable(
                "service",
                f'label_values(meshwright_rollout_info{{{MESH},namespace=~"$namespace",rollout=~"$rollout"}}, service)',
            ),
        ),
    ),
}


def laid_out(panels: list[Panel]) -> list[dict[str, Any]]:
    """The panels from left to right, row after row."""
    found, x, y, height = [], 0, 0, 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > WIDTH:
            x, y, height = 0, y + height, 0
        found.append(panel.render(number, x, y))
        x, height = x + panel.width, max(height, panel.height)
    return found


def dashboard(name: str) -> dict[str, Any]:
    title, panels, variables = DASHBOARDS[name]
    links = [
        {"type": "dashboards", "tags": ["meshwright"], "title": "Meshwright", "asDropdown": True, "keepTime": True}
    ]
    return {
        "uid": f"meshwright-{name}",
        "title": f"Meshwright: {title}",
        "tags": ["meshwright"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "links": links,
        "templating": {"list": [SOURCE, *variables]},
        "annotations": {"list": []},
        "panels": laid_out(panels()),
    }


def text(name: str) -> str:
    return json.dumps(dashboard(name), indent=1) + "\n"


if __name__ == "__main__":
    for each in DASHBOARDS:
        (FOLDER / f"{each}.json").write_text(text(each), "utf-8")
        sys.stdout.write(f"{FOLDER / each}.json\n")
