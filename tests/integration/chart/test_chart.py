"""The chart through the real helm: it lints, renders as committed, is valid for Kubernetes 1.34, and refuses typos."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.kubernetes.chart import CHART, VALUES, golden, helm, parsed, render
from support.processes import ROOT

each_values = pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
DEFAULT = CHART / "ci" / "default-values.yaml"
UNITS = {"m": 0.001, "Mi": 2**20, "Gi": 2**30}


def documents(values: Path) -> list[dict[str, Any]]:
    return parsed(render(values))


def workloads(values: Path) -> list[dict[str, Any]]:
    return [each for each in documents(values) if each["kind"] in ("Deployment", "StatefulSet", "DaemonSet")]


def amount(text: str) -> float:
    unit = next((unit for unit in UNITS if text.endswith(unit)), "")
    return float(text.removesuffix(unit)) * UNITS.get(unit, 1)


@each_values
def test_the_chart_lints(values: Path) -> None:
    done = helm("lint", "--strict", CHART, "--values", values)
    assert done.returncode == 0, done.stdout + done.stderr


@each_values
def test_the_chart_renders_as_committed(values: Path) -> None:
    assert render(values) == golden(values).read_text("utf-8"), (
        "meant? then: cd tests && python -m support.kubernetes.chart"
    )


@each_values
def test_kubernetes_would_take_each_manifest(values: Path, tmp_path: Path) -> None:
    file = tmp_path / "manifests.yaml"
    file.write_text(render(values), "utf-8")
    tool = Path(sys.executable).with_name("kubernetes-validate")
    done = subprocess.run([tool, "--strict", "-k", "1.34", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@each_values
def test_every_workload_is_probed_restricted_and_requests_what_it_needs(values: Path) -> None:
    for each in workloads(values):
        pod = each["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["enableServiceLinks"] is False
        for container in pod["containers"]:
            assert {"readinessProbe", "livenessProbe", "startupProbe"} <= container.keys()
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert container["imagePullPolicy"] == "IfNotPresent"
            # The restricted Pod Security Standard allows this one; coturn's program does not start without it.
            added = {"add": ["NET_BIND_SERVICE"]} if container["name"] == "coturn" else {}
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"], **added},
            }


def replicas(workload: dict[str, Any]) -> int:
    """As the manifest says, or as it wishes of the operator."""
    wish = workload["metadata"].get("annotations", {}).get("meshwright.dev/replicas")
    return int(wish) if wish is not None else int(workload["spec"]["replicas"])


@pytest.mark.parametrize(("services", "memory"), [("all", 2 * 2**30), ("basic", 1.25 * 2**30)])
def test_an_install_requests_less_than_one_cpu_and_what_the_readme_says(
    services: str, memory: float, tmp_path: Path
) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(f"demo: {{services: {services}}}")
    total = {"cpu": 0.0, "memory": 0.0}
    for each in workloads(values):
        for container in each["spec"]["template"]["spec"]["containers"]:
            for name in total:
                total[name] += replicas(each) * amount(container["resources"]["requests"][name])
    assert total["cpu"] < 1
    assert total["memory"] < memory
    stated = f"{total['cpu'] * 1000:.0f}m CPU and {total['memory'] / 2**20:.0f} MiB"
    assert stated in " ".join((CHART / "README.md").read_text("utf-8").split())


@pytest.mark.parametrize(
    ("name", "idle", "most"),
    [
        ("gateway", 125, 490),
        ("user", 90, 128),
        ("calculator", 66, 128),
        ("controlplane", 46, 128),
        ("operator", 68, 128),
    ],
)
def test_a_workload_has_room_for_the_memory_that_was_measured(name: str, idle: int, most: int) -> None:
    """In MiB: what was measured on a cluster, and the most that has to fit; a quarter more is left free. Of the gateway
    alone that is what a cluster under load reported."""
    (pod,) = [each["spec"]["template"]["spec"] for each in workloads(CHART / "values.yaml") if named(each) == name]
    resources = pod["containers"][0]["resources"]
    assert amount(resources["requests"]["memory"]) >= idle * 2**20
    assert amount(resources["limits"]["memory"]) >= 1.25 * most * 2**20


def named(workload: dict[str, Any]) -> str:
    name: str = workload["metadata"]["labels"]["app.kubernetes.io/name"]
    return name


@pytest.mark.parametrize(
    ("typo", "wrong"),
    [
        ("consul.replica=3", "replica"),
        ("imge.tag=1", "imge"),
        ("components.user.replica=2", "replica"),
        ("components.usr.uid=1", "usr"),
        ("networkPolicy.allow[0].ipblock.cidr=10.0.0.0/8", "ipblock"),
    ],
)
def test_a_typo_in_the_values_is_refused(typo: str, wrong: str) -> None:
    done = helm("template", "meshwright", CHART, "--set", typo)
    assert done.returncode != 0
    assert f"additional properties '{wrong}' not allowed" in done.stderr


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("consul.replicas=2", "/consul/replicas"),
        ("database.mode=mysql", "/database/mode"),
        ("operator.replicas=-1", "/operator/replicas"),
        ("nats.replicas=2", "/nats/replicas"),
        ("demo.services=some", "/demo/services"),
        ("components.user.uid=0", "/components/user/uid"),
        ("database.mode=external", "database.url is needed"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_its_name(setting: str, words: str) -> None:
    done = helm("template", "meshwright", CHART, "--set", setting)
    assert done.returncode != 0
    assert words in done.stderr


def test_the_dockerfile_is_clean() -> None:
    tool = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([tool, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
