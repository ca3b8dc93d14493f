"""Monitors, rules and dashboards of the chart: what they select, how they are labelled, that they are as generated."""

from __future__ import annotations

import json
import runpy
from typing import Any

import pytest
import yaml

from integration.chart.prometheus import MESH, alerts, of_kind, panels, rendered, rules
from support.kubernetes.chart import CHART, helm
from support.processes import ROOT


def selected(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a label selector takes an object in."""
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for asked in selector.get("matchExpressions", ()):
        if (asked["key"] in labels) is not (asked["operator"] == "Exists"):
            return False
    return True


def pods() -> dict[str, tuple[dict[str, str], set[str]]]:
    """Labels and named ports of the pods of each workload."""
    found = {}
    for each in rendered():
        if each["kind"] in {"Deployment", "StatefulSet", "DaemonSet"}:
            template = each["spec"]["template"]
            ports = {port["name"] for container in template["spec"]["containers"] for port in container["ports"]}
            found[each["metadata"]["name"]] = (template["metadata"]["labels"], ports)
    return found


def monitors_of(labels: dict[str, str], ports: set[str]) -> list[str]:
    """The PodMonitors that scrape such a pod."""
    return [
        each["metadata"]["name"]
        for each in of_kind("PodMonitor")
        for endpoint in each["spec"]["podMetricsEndpoints"]
        if selected(each["spec"]["selector"], labels) and endpoint["port"] in ports
    ]


def test_each_pod_with_metrics_is_scraped_by_one_monitor() -> None:
    services = {each["metadata"]["labels"]["app.kubernetes.io/name"] for each in of_kind("ServiceMonitor")}
    assert services == {"controlplane", "operator"}
    scraped = {name for name, (labels, ports) in pods().items() if monitors_of(labels, ports) == ["mw-services"]}
    with_metrics = {name for name, (_, ports) in pods().items() if "metrics" in ports}
    assert scraped == with_metrics
    assert {"mw-user", "mw-gateway", "mw-order"} <= scraped


def test_pods_of_a_rollout_are_scraped_by_the_monitor_of_rollouts_alone() -> None:
    """A rollout's pods have the labels of the template that they came from, and its own."""
    labels, ports = pods()["mw-user"]
    mine = labels | {"meshwright.dev/rollout": "user", "meshwright.dev/version": "2.0.0"}
    assert monitors_of(mine, ports) == ["mw-rollouts"]
    assert monitors_of({"meshwright.dev/rollout": "user", "app": "mine"}, {"metrics"}) == ["mw-rollouts"]


def test_each_headless_service_is_left_out_where_its_twin_is_scraped() -> None:
    services = [each["metadata"] for each in of_kind("Service", "prometheus.enabled=true")]
    for monitor in of_kind("ServiceMonitor", "prometheus.enabled=true"):
        found = [one["name"] for one in services if selected(monitor["spec"]["selector"], one["labels"])]
        (endpoint,) = monitor["spec"]["endpoints"]
        (dropping,) = [one for one in endpoint["relabelings"] if one.get("action") == "drop"]
        assert dropping["sourceLabels"] == ["__meta_kubernetes_service_name"]
        assert dropping["regex"] == ".+-headless"
        assert [name for name in found if not name.endswith("-headless")] == [monitor["metadata"]["name"]]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ((), None),
        (("operator.namespaces={shop}",), {"matchNames": ["shop", "mesh"]}),
    ],
)
def test_monitors_look_where_the_operator_works(settings: tuple[str, ...], expected: dict[str, Any] | None) -> None:
    (monitor,) = [each for each in of_kind("PodMonitor", *settings) if each["metadata"]["name"] == "mw-rollouts"]
    assert monitor["spec"].get("namespaceSelector") == expected


def test_every_target_says_mesh_service_and_version() -> None:
    for monitor in of_kind("PodMonitor"):
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        assert endpoint["honorLabels"]
        given = {one["targetLabel"]: one for one in endpoint["relabelings"] if "targetLabel" in one}
        assert {"mesh", "service", "version"} <= given.keys()
        assert given["mesh"]["replacement"] == MESH


def test_labels_intervals_and_relabelings_are_values() -> None:
    settings = (
        "monitoring.scrape.labels.release=kps",
        "monitoring.scrape.interval=7s",
        "monitoring.scrape.relabelings[0].action=labeldrop",
        "monitoring.scrape.relabelings[0].regex=pod",
        "monitoring.scrape.metricRelabelings[0].action=drop",
        "monitoring.rules.labels.role=alerts",
        "monitoring.rules.alertLabels.team=mesh",
        "monitoring.rules.disabled={MeshwrightTargetDown}",
        "monitoring.rules.runbookUrl=https://wiki.example/runbooks",
        "monitoring.rules.thresholds.outboxAgeSeconds=1234567",
        "monitoring.rules.thresholds.latencySeconds=1",
        "monitoring.dashboards.namespace=grafana",
    )
    for kind, key in (("PodMonitor", "podMetricsEndpoints"), ("ServiceMonitor", "endpoints")):
        for monitor in of_kind(kind, *settings):
            (endpoint,) = monitor["spec"][key]
            assert monitor["metadata"]["labels"]["release"] == "kps"
            assert endpoint["interval"] == "7s"
            assert endpoint["relabelings"][-1] == {"action": "labeldrop", "regex": "pod"}
            assert endpoint["metricRelabelings"] == [{"action": "drop"}]
    (rule,) = of_kind("PrometheusRule", *settings)
    assert rule["metadata"]["labels"]["role"] == "alerts"
    found = alerts(*settings)
    assert "MeshwrightTargetDown" not in found
    assert found["MeshwrightXdsRefused"]["labels"] == {"severity": "warning", "team": "mesh"}
    assert found["MeshwrightXdsRefused"]["annotations"]["runbook_url"].startswith("https://wiki.example/runbooks#")
    assert float(found["MeshwrightOutboxStopped"]["expr"].rpartition(">")[2]) == 1234567
    slow = next(rule for group in rules(*settings)["groups"] for rule in group["rules"] if "call_slow" in str(rule))
    assert 'le=~"1([.]0)?"' in slow["expr"]
    assert {each["metadata"].get("namespace") for each in of_kind("ConfigMap", *settings)} == {"grafana"}


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("monitoring.rules.thresholds.latencySeconds=0.3", "latencySeconds"),
        ("monitoring.rules.thresholds.outboxAge=3", "outboxAge"),
        ("monitoring.rules.thresholds.successObjective=100", "successObjective"),
        ("monitoring.rules.thresholds.busLostFor=2 minutes", "busLostFor"),
        ("monitoring.scrape.intervall=3s", "intervall"),
        ("monitoring.dashboard.enabled=true", "dashboard"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_its_name(setting: str, words: str) -> None:
    done = helm("template", "mw", CHART, "--set", setting)
    assert done.returncode != 0
    assert words in done.stderr


def test_without_an_operator_or_a_demo_there_are_no_alerts_on_them() -> None:
    found = alerts("operator.enabled=false", "demo.enabled=false")
    assert "MeshwrightControlPlaneDown" in found
    assert not {name for name in found if "Rollout" in name or "Operator" in name or "Outbox" in name or "Saga" in name}


def test_nothing_of_it_is_installed_unless_asked_for() -> None:
    done = helm("template", "mw", CHART)
    assert "monitoring.coreos.com" not in done.stdout
    assert "grafana_dashboard" not in done.stdout


def test_the_charts_own_prometheus_loads_the_same_rules() -> None:
    (config,) = [each for each in of_kind("ConfigMap", "prometheus.enabled=true") if "prometheus.yml" in each["data"]]
    assert yaml.safe_load(config["data"]["rules.yml"]) == rules("prometheus.enabled=true")
    prometheus = yaml.safe_load(config["data"]["prometheus.yml"])
    assert prometheus["rule_files"] == ["/config/rules.yml"]
    for job in prometheus["scrape_configs"]:
        given = {one["target_label"]: one for one in job["relabel_configs"] if "target_label" in one}
        assert given["mesh"]["replacement"] == MESH
        assert "service" in given
        assert job["honor_labels"]


def test_generated_files_are_as_their_scripts_write_them() -> None:
    make_rules = runpy.run_path(str(ROOT / "scripts/make_rules.py"))
    assert (CHART / "rules/slo.yaml").read_text("utf-8") == make_rules["text"](), "run scripts/make_rules.py"
    make_dashboards = runpy.run_path(str(ROOT / "scripts/make_dashboards.py"))
    for name in make_dashboards["DASHBOARDS"]:
        written = (CHART / f"dashboards/{name}.json").read_text("utf-8")
        assert written == make_dashboards["text"](name), "run scripts/make_dashboards.py"


def test_dashboards_are_what_grafanas_sidecar_takes() -> None:
    found = [each for each in of_kind("ConfigMap") if "grafana_dashboard" in each["metadata"]["labels"]]
    assert {each["metadata"]["name"] for each in found} == {
        f"mw-dashboard-{name}" for name in ("mesh", "rollout", "service")
    }
    for each in found:
        assert each["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert each["metadata"]["annotations"] == {"grafana_folder": "Meshwright"}
        (text,) = each["data"].values()
        dashboard = json.loads(text)
        names = {one["name"] for one in dashboard["templating"]["list"]}
        assert {"datasource", "mesh"} <= names
        ids = [panel["id"] for panel in dashboard["panels"]]
        assert len(ids) == len(set(ids))
        for panel in dashboard["panels"]:
            assert panel["datasource"]["uid"] == "${datasource}"
            assert panel["fieldConfig"]["defaults"]["unit"]


def test_no_two_panels_lie_on_each_other() -> None:
    for path in (CHART / "dashboards").glob("*.json"):
        taken: set[tuple[int, int]] = set()
        for panel in json.loads(path.read_text("utf-8"))["panels"]:
            place = panel["gridPos"]
            assert place["x"] + place["w"] <= 24
            cells = {(place["x"] + i, place["y"] + j) for i in range(place["w"]) for j in range(place["h"])}
            assert not cells & taken
            taken |= cells


def test_every_panel_asks_for_the_mesh() -> None:
    for dashboard, title, expression in panels():
        assert 'mesh=~"$mesh"' in expression, f"{dashboard}: {title}"
