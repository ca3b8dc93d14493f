"""What switches of the chart make of it: replicas, configuration that restarts, notes, and what Consul is told."""

from __future__ import annotations

import re
import subprocess
import tomllib
from typing import Any

import httpx
import pytest
import yaml

from meshwright.dev.traces import TracesConfig, serving
from support.consul.servers import find_consul
from support.kubernetes.chart import CHART, helm, parsed
from support.processes import ROOT, promised_port, running
from support.waiting import eventually


def rendered(*settings: str) -> list[dict[str, Any]]:
    sets = [part for setting in settings for part in ("--set", setting)]
    done = helm("template", "meshwright", CHART, "--namespace", "mesh", "--kube-version", "1.34.0", *sets)
    assert done.returncode == 0, done.stderr
    return parsed(done.stdout)


def one(documents: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = [each for each in documents if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


def container(workload: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = workload["spec"]["template"]["spec"]["containers"][0]
    return found


def variables(workload: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each.get("value", "") for each in container(workload)["env"]}


def checksum(documents: list[dict[str, Any]], kind: str, name: str) -> str:
    found: str = one(documents, kind, name)["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
    return found


def test_a_new_operator_stands_by_until_the_one_before_has_ended() -> None:
    operator = one(rendered(), "Deployment", "meshwright-operator")
    assert operator["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert variables(operator)["MESHWRIGHT_OPERATOR_INSTALLATION"] == "mesh/meshwright"
    probes = {name: container(operator)[name]["httpGet"]["path"] for name in ("readinessProbe", "livenessProbe")}
    assert probes == {"readinessProbe": "/readyz", "livenessProbe": "/healthz"}


def test_what_a_rollout_may_take_over_has_no_number_of_pods_but_a_wish() -> None:
    for settings, is_ours in [
        ((), True),
        (("operator.enabled=false",), False),
        (("operator.namespaces={shop}",), False),
        (("operator.clusterwide=true",), True),
    ]:
        user = one(rendered(*settings, "components.user.replicas=3"), "Deployment", "meshwright-user")
        wish = user["metadata"].get("annotations", {}).get("meshwright.dev/replicas")
        assert (user["spec"].get("replicas"), wish) == ((None, "3") if is_ours else (3, None)), settings
    for name in ("gateway", "controlplane", "operator"):
        assert "replicas" in one(rendered(), "Deployment", f"meshwright-{name}")["spec"], name


def test_a_changed_configuration_restarts_only_the_pods_that_read_it() -> None:
    before = rendered("prometheus.enabled=true")
    after = rendered("prometheus.enabled=true", "consul.external=consul.infra:8500", "database.password=another")
    for kind, name in [
        ("Deployment", "meshwright-prometheus"),
        ("Deployment", "meshwright-user"),
        ("StatefulSet", "meshwright-postgresql"),
    ]:
        assert checksum(before, kind, name) != checksum(after, kind, name), name
    for documents in (before, after):
        assert "annotations" not in one(documents, "Deployment", "meshwright-jaeger")["spec"]["template"]["metadata"]
    opened = rendered("prometheus.enabled=true", "demo.operatorPassword=another-secret")
    for name, restarts in (("gateway", True), ("user", False)):
        place = "Deployment", f"meshwright-{name}"
        assert (checksum(before, *place) != checksum(opened, *place)) is restarts, name


def test_prometheus_scrapes_what_consul_lists_and_each_replica_of_the_mesh() -> None:
    documents = rendered("prometheus.enabled=true")
    config = yaml.safe_load(one(documents, "ConfigMap", "meshwright-prometheus")["data"]["prometheus.yml"])
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    assert jobs["services"]["consul_sd_configs"] == [{"server": "meshwright-consul:8500"}]
    for name in ("controlplane", "operator"):
        (found,) = jobs[name]["dns_sd_configs"]
        service = one(documents, "Service", found["names"][0])
        assert service["spec"]["clusterIP"] == "None"
        assert found["port"] in [each["port"] for each in service["spec"]["ports"]]
        ports = container(one(documents, "Deployment", f"meshwright-{name}"))["ports"]
        assert found["port"] in [each["containerPort"] for each in ports]


def test_a_pod_ends_later_than_its_server_does() -> None:
    for name in ("calculator", "user", "gateway", "controlplane"):
        pod = one(rendered(), "Deployment", f"meshwright-{name}")["spec"]["template"]["spec"]
        assert "sleep(2)" in pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][-1]
        # preStop, then MESHWRIGHT_PROPAGATION and MESHWRIGHT_GRACE, as config.py has them by default
        assert pod["terminationGracePeriodSeconds"] > 2 + 0.5 + 10


def test_the_notes_say_how_to_get_in() -> None:
    done = helm("install", "mine", CHART, "--namespace", "mesh", "--dry-run=client", "--set", "operator.replicas=2")
    assert done.returncode == 0, done.stderr
    assert "helm -n mesh test mine" in done.stdout
    assert "kubectl -n mesh get secret mine-gateway -o jsonpath='{.data.operatorPassword}' | base64 -d" in done.stdout
    for service, port in (("gateway", 8080), ("jaeger", 16686), ("consul", 8500)):
        assert f"kubectl -n mesh port-forward service/mine-{service} {port}:{port}" in done.stdout
        assert port in [each["port"] for each in one(rendered(), "Service", f"meshwright-{service}")["spec"]["ports"]]


@pytest.mark.parametrize(
    ("setting", "path", "port"),
    [
        ("jaeger.image=jaegertracing/jaeger:2.3.0", "/status", 13133),
        ("jaeger.image=mirror.example/jaegertracing/jaeger:2.21.0", "/status", 13133),
        ("jaeger.image=jaegertracing/all-in-one:1.76.0", "/", 14269),
        ("jaeger.standin=true", "/status", 16686),
    ],
)
async def test_jaeger_of_either_generation_is_ready_when_its_health_says_so(setting: str, path: str, port: int) -> None:
    jaeger = container(one(rendered(setting), "Deployment", "meshwright-jaeger"))
    probe = jaeger["readinessProbe"]["httpGet"]
    ports = {each["name"]: each["containerPort"] for each in jaeger["ports"]}
    assert (probe["path"], ports[probe["port"]]) == (path, port)
    if setting == "jaeger.standin=true":
        free = TracesConfig(query_port=0, otlp_grpc_port=0, otlp_http_port=0)
        async with serving(free) as bound, httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"http://{bound.query}{probe['path']}")).status_code == 200


@pytest.mark.parametrize(
    ("settings", "asked", "shown"),
    [
        ((), "http://meshwright-jaeger:16686", "http://localhost:16686"),
        (("jaeger.external=http://c:4317",), "", ""),
        (("jaeger.external=http://c:4317", "jaeger.query=http://j:16686"), "http://j:16686", ""),
        (("jaeger.publicUrl=https://traces.example",), "http://meshwright-jaeger:16686", "https://traces.example"),
    ],
)
def test_the_operator_asks_jaeger_and_the_page_links_to_it(settings: tuple[str, ...], asked: str, shown: str) -> None:
    documents = rendered(*settings)
    operator, gateway = (one(documents, "Deployment", f"meshwright-{name}") for name in ("operator", "gateway"))
    assert variables(operator)["MESHWRIGHT_TRACES_QUERY"] == asked
    assert variables(gateway)["GATEWAY_TRACES_URL"] == shown


def test_servers_of_a_quorum_are_replaced_slower_than_they_become_voters() -> None:
    for replicas, seconds in ((1, None), (3, 15)):
        consul = one(rendered(f"consul.replicas={replicas}"), "StatefulSet", "meshwright-consul")
        assert consul["spec"].get("minReadySeconds") == seconds
        assert f"-bootstrap-expect={replicas}" in container(consul)["args"]


async def test_a_consul_without_a_leader_is_not_ready(tmp_path):
    consul = find_consul()
    if consul is None:
        pytest.skip("no consul on PATH or in .tools: run scripts/tools.d/consul.sh")
    probe = container(one(rendered(), "StatefulSet", "meshwright-consul"))["readinessProbe"]
    http, lan, server = promised_port(), promised_port(), promised_port()
    ports = f"ports {{ http={http} serf_lan={lan} server={server} dns=-1 serf_wan=-1 grpc=-1 }}"
    argv = [str(consul), "agent", "-server", "-bootstrap-expect=3", "-bind=127.0.0.1", f"-data-dir={tmp_path}/data"]
    async with (
        running([*argv, "-node=alone", f"-hcl={ports}"], tmp_path / "log"),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{http}", trust_env=False, timeout=30) as client,
    ):

        async def answers() -> bool:
            return (await client.get("/v1/status/leader")).status_code == 200

        await eventually(answers, timeout=30, ignore=(httpx.TransportError,))
        assert (await client.get(probe["httpGet"]["path"])).status_code == 500


def test_the_real_consul_knows_every_flag_that_the_chart_gives_it(tmp_path):
    consul = find_consul()
    if consul is None:
        pytest.skip("no consul on PATH or in .tools: run scripts/tools.d/consul.sh")
    helped = subprocess.run([consul, "agent", "-h"], capture_output=True, text=True, check=False)
    known = set(re.findall(r"^\s+-([a-z-]+)", helped.stdout + helped.stderr, re.MULTILINE))
    documents = rendered("consul.client=true")
    for kind, name in (("StatefulSet", "meshwright-consul"), ("DaemonSet", "meshwright-consul-client")):
        arguments = container(one(documents, kind, name))["args"]
        assert arguments[0] == "agent"
        flags = {each.split("=")[0].lstrip("-") for each in arguments[1:]}
        assert flags <= known
        settings = [each.removeprefix("-hcl=") for each in arguments if each.startswith("-hcl=")]
        file = tmp_path / f"{kind}.hcl"
        file.write_text("\n".join([*settings, 'data_dir = "/data"']), "utf-8")
        done = subprocess.run([consul, "validate", file], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_image_chart_and_package_have_one_version() -> None:
    package = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    assert chart["appVersion"] == package
    assert f"ARG VERSION={package}\n" in (ROOT / "Dockerfile").read_text("utf-8")
