"""The chart's rules, monitors, dashboards and queries, and a real Prometheus that scrapes what its monitors say.

It is configured as the Prometheus Operator would do it.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import json
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml

from support.kubernetes.chart import CHART, helm
from support.processes import promised_port, running
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
    from pathlib import Path


MESH = "mesh/mw"
ON = "monitoring.scrape.enabled=true,monitoring.rules.enabled=true,monitoring.dashboards.enabled=true"


@functools.cache
def _text(settings: tuple[str, ...]) -> str:
    more = [argument for setting in settings for argument in ("--set", setting)]
    done = helm("template", "mw", CHART, "--namespace", "mesh", "--kube-version", "1.34.0", "--set", ON, *more)
    assert done.returncode == 0, done.stderr
    return done.stdout


@functools.cache
def _documents(settings: tuple[str, ...]) -> list[dict[str, Any]]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [each for each in yaml.load_all(_text(settings), loader) if each]


def rendered(*settings: str) -> list[dict[str, Any]]:
    """The chart's documents as release `mw` in namespace `mesh`, with monitoring on and these settings more."""
    return copy.deepcopy(_documents(settings))


def of_kind(kind: str, *settings: str) -> list[dict[str, Any]]:
    return [each for each in rendered(*settings) if each["kind"] == kind]


def rules(*settings: str) -> dict[str, Any]:
    (rule,) = of_kind("PrometheusRule", *settings)
    found: dict[str, Any] = rule["spec"]
    return found


def alerts(*settings: str) -> dict[str, dict[str, Any]]:
    groups = rules(*settings)["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def panels() -> Iterator[tuple[str, str, str]]:
    """(dashboard, panel, expression) of each query."""
    for path in sorted((CHART / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text("utf-8"))["panels"]:
            for target in panel["targets"]:
                yield path.stem, panel["title"], target["expr"]


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("no promtool on PATH: scripts/system-packages.sh installs Debian's package prometheus")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=300)


SELECTOR = re.compile(r"\b([a-z][a-zA-Z0-9_:]*)(\{[^{}]*\})")
NO_PROMETHEUS = "no prometheus on PATH: scripts/system-packages.sh installs Debian's package prometheus"


@dataclass(frozen=True)
class Target:
    """A port of a pod, or of a Service's endpoint where `service` says which Service."""

    address: str
    namespace: str
    pod: str
    port: str
    labels: dict[str, str] = field(default_factory=dict)
    """Of the pod, or of the Service."""
    service: str = ""

    def discovered(self) -> dict[str, Any]:
        """As service discovery has it."""
        kind = "service" if self.service else "pod"
        found = {
            "__meta_kubernetes_namespace": self.namespace,
            "__meta_kubernetes_pod_name": self.pod,
            "__meta_kubernetes_pod_container_name": "main",
            "__meta_kubernetes_role": kind,
        }
        port = "endpoint_port_name" if self.service else "pod_container_port_name"
        found[f"__meta_kubernetes_{port}"] = self.port
        if self.service:
            found["__meta_kubernetes_service_name"] = self.service
        for name, value in self.labels.items():
            found[f"__meta_kubernetes_{kind}_label_{_plain(name)}"] = value
            found[f"__meta_kubernetes_{kind}_labelpresent_{_plain(name)}"] = "true"
        return {"targets": [self.address], "labels": found}


def _plain(name: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_]", "_", name)


def configuration(
    monitors: Iterable[dict[str, Any]], targets: str, rules: str, namespace: str = "mesh"
) -> dict[str, Any]:
    """Prometheus's configuration, as the Prometheus Operator makes it of ServiceMonitors and PodMonitors."""
    jobs = [job for monitor in monitors for job in _jobs(monitor, targets, namespace)]
    return {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [rules],
        "scrape_configs": jobs,
    }


def _jobs(monitor: dict[str, Any], targets: str, namespace: str) -> list[dict[str, Any]]:
    spec, name = monitor["spec"], monitor["metadata"]["name"]
    kind = "service" if monitor["kind"] == "ServiceMonitor" else "pod"
    selecting = _selecting(spec, kind, namespace)
    jobs = []
    for index, endpoint in enumerate(spec.get("endpoints") or spec.get("podMetricsEndpoints")):
        port = "endpoint_port_name" if kind == "service" else "pod_container_port_name"
        given: list[dict[str, Any]] = [
            *selecting,
            {"action": "keep", "source_labels": [f"__meta_kubernetes_{port}"], "regex": endpoint["port"]},
            {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
            {"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "pod"},
            {"source_labels": ["__meta_kubernetes_pod_container_name"], "target_label": "container"},
            {"target_label": "job", "replacement": f"{namespace}/{name}"},
            {"target_label": "endpoint", "replacement": endpoint["port"]},
        ]
        if kind == "service":
            given.append({"source_labels": ["__meta_kubernetes_service_name"], "target_label": "service"})
        own = [{_snake(key): value for key, value in rule.items()} for rule in endpoint["relabelings"]]
        jobs.append(
            {
                "job_name": f"{kind}Monitor/{namespace}/{name}/{index}",
                "honor_labels": endpoint["honorLabels"],
                "metrics_path": endpoint["path"],
                "file_sd_configs": [{"files": [targets]}],
                "relabel_configs": [
                    {"action": "keep", "source_labels": ["__meta_kubernetes_role"], "regex": kind},
                    *given,
                    *own,
                ],
            }
        )
    return jobs


def _selecting(spec: dict[str, Any], kind: str, namespace: str) -> list[dict[str, Any]]:
    places = spec.get("namespaceSelector", {})
    found: list[dict[str, Any]] = []
    if not places.get("any"):
        names = "|".join(places.get("matchNames", [namespace]))
        found.append({"action": "keep", "source_labels": ["__meta_kubernetes_namespace"], "regex": names})
    for name, value in spec["selector"].get("matchLabels", {}).items():
        labels = [f"__meta_kubernetes_{kind}_{part}_{_plain(name)}" for part in ("label", "labelpresent")]
        found.append({"action": "keep", "source_labels": labels, "regex": f"({re.escape(value)});true"})
    for asked in spec["selector"].get("matchExpressions", ()):
        action = {"Exists": "keep", "DoesNotExist": "drop"}[asked["operator"]]
        label = f"__meta_kubernetes_{kind}_labelpresent_{_plain(asked['key'])}"
        found.append({"action": action, "source_labels": [label], "regex": "true"})
    return found


def _snake(name: str) -> str:
    return re.sub(r"([A-Z])", lambda match: f"_{match[1].lower()}", name)


class Prometheus:
    """A running one."""

    def __init__(self, url: str, client: httpx.AsyncClient) -> None:
        self.url = url
        self._client = client

    async def ask(self, path: str, **params: str) -> Any:
        answer = (await self._client.get(f"{self.url}/api/v1/{path}", params=params)).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """The vector, without samples that are no number."""
        found = await self.ask("query", query=expression)
        rows = found["result"] if found["resultType"] == "vector" else [{"metric": {}, "value": found["result"]}]
        return [row for row in rows if row["value"][1] != "NaN"]

    async def targets(self) -> list[dict[str, Any]]:
        active: list[dict[str, Any]] = (await self.ask("targets"))["activeTargets"]
        return active


@contextlib.asynccontextmanager
async def prometheus(
    folder: Path,
    monitors: Iterable[dict[str, Any]],
    rules: dict[str, Any],
    targets: Iterable[Target],
    *,
    namespace: str = "mesh",
    around: Sequence[str] = (),
    host: str = "127.0.0.1",
) -> AsyncIterator[Prometheus]:
    """A Prometheus on these targets. `around`: a command that runs it, as in another network namespace."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip(NO_PROMETHEUS)
    (folder / "targets.json").write_text(json.dumps([target.discovered() for target in targets]), "utf-8")
    (folder / "rules.yml").write_text(yaml.safe_dump(rules), "utf-8")
    config = configuration(monitors, str(folder / "targets.json"), str(folder / "rules.yml"), namespace)
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config, sort_keys=False), "utf-8")
    address = f"{host}:{promised_port()}"
    argv = [
        *around,
        program,
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={address}",
        "--log.level=warn",
    ]
    async with (
        running(argv, folder / "prometheus.log") as process,
        httpx.AsyncClient(trust_env=False, timeout=20) as client,
    ):
        made = Prometheus(f"http://{address}", client)

        async def ready() -> bool:
            assert process.running, process.tail()
            return bool(await made.ask("targets"))

        await eventually(ready, 30, ignore=(httpx.TransportError, ValueError))
        yield made


def filled_in(expression: str, **variables: str) -> str:
    """A panel's query as Grafana sends it."""
    for name, value in ({"__rate_interval": "30s", "mesh": ".*", "version": ".*"} | variables).items():
        expression = expression.replace(f"${name}", value)
    return expression


def selectors(expression: str) -> list[str]:
    """The series that an expression reads: for alerts, which give nothing until they fire."""
    return [name + labels for name, labels in SELECTOR.findall(expression)]


EMPTY = {
    'reason="PauseStep"': "no rollout is in a timed pause at this moment",
    "meshwright_translate_seconds_bucket": "nothing changed within the window",
    "meshwright_rollout_duration_seconds": "no rollout has ended yet",
    "meshwright_rollout_analysis_verdicts_total": "no analysis has come to a verdict yet",
    "meshwright_rollout_failures_total": "no pass has failed",
    'status=~"5..': "no request was answered 5xx",
    'version="",status=~': "each call reached an instance",
    'status=~"DATA_LOSS': "no call has failed",
    'alertstate="firing"': "no alert fires",
}
"""Selectors by a part of theirs, and why there may be no such series."""


def allowed(selector: str) -> bool:
    return any(part in selector for part in EMPTY)


async def without_data(prometheus: Prometheus, rules: dict[str, Any], **variables: str) -> list[str]:
    """The panels and rules whose queries give nothing, and need not.

    A panel, and what is recorded, gives a row. An alert gives none until it fires: each series that it reads is there.
    """
    lacking = []
    for dashboard, title, expression in panels():
        asked = filled_in(expression, **variables)
        if not await prometheus.query(asked) and not any(allowed(each) for each in selectors(asked)):
            lacking.append(f"{dashboard}, {title}: {asked}")
    for group in rules["groups"]:
        for rule in group["rules"]:
            if "record" in rule:
                if not await prometheus.query(rule["expr"]):
                    lacking.append(f"{rule['record']}: {rule['expr']}")
                continue
            await prometheus.query(rule["expr"])
            needed = [each for each in selectors(rule["expr"]) if not allowed(each)]
            counted = [(each, await prometheus.query(f"count({each})")) for each in needed]
            lacking += [f"{rule['alert']}: {each}" for each, found in counted if not found]
    return lacking
