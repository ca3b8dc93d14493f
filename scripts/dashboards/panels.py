"""Panels of Grafana, and the queries that they share.

Which calls count and which statuses are failures is taken from the code, as for the rules (scripts/make_rules.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from meshwright.rollout.analysis.call_metrics import NO_CALLS
from meshwright.rollout.api.spec import FAILURE_CODES

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


def laid_out(panels: list[Panel]) -> list[dict[str, Any]]:
    """The panels from left to right, row after row."""
    found, x, y, height = [], 0, 0, 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > WIDTH:
            x, y, height = 0, y + height, 0
        found.append(panel.render(number, x, y))
        x, height = x + panel.width, max(height, panel.height)
    return found


@dataclass(frozen=True)
class Dashboard:
    """One dashboard: `title` is what it is of, `variables` are its menus."""

    title: str
    panels: list[Panel]
    variables: tuple[dict[str, Any], ...]

    def render(self, name: str) -> dict[str, Any]:
        """The document that Grafana imports."""
        links = [
            {"type": "dashboards", "tags": ["meshwright"], "title": "Meshwright", "asDropdown": True, "keepTime": True}
        ]
        return {
            "uid": f"meshwright-{name}",
            "title": f"Meshwright: {self.title}",
            "tags": ["meshwright"],
            "schemaVersion": 39,
            "editable": True,
            "refresh": "30s",
            "time": {"from": "now-1h", "to": "now"},
            "links": links,
            "templating": {"list": [SOURCE, *self.variables]},
            "annotations": {"list": []},
            "panels": laid_out(self.panels),
        }
