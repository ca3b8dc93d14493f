"""How calls reach the chart's services from outside: Services, an Ingress, routes of the Gateway API."""

from __future__ import annotations

import functools
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from support.kubernetes.chart import manifests, template, the
from support.kubernetes.cluster import KUBECTL

PLURALS = {"Gateway": "gateways", "HTTPRoute": "httproutes", "GRPCRoute": "grpcroutes"}
GROUP = "gateway.networking.k8s.io"


def violations(document: dict[str, Any]) -> list[str]:
    """What the API server would refuse about the object's shape, unknown keys included."""
    version = document["apiVersion"].rpartition("/")[2]
    validator = jsonschema.Draft202012Validator(_schema(document["kind"], version))
    return [f"{'/'.join(map(str, error.path))}: {error.message}" for error in validator.iter_errors(document)]


@functools.cache
def _schema(kind: str, version: str) -> dict[str, Any]:
    definition = _definition(PLURALS[kind])
    (found,) = [each for each in definition["spec"]["versions"] if each["name"] == version]
    schema: dict[str, Any] = _closed(found["schema"]["openAPIV3Schema"])
    schema["properties"] |= {"metadata": {"type": "object"}, "apiVersion": {}, "kind": {}}
    return schema


def _definition(plural: str) -> dict[str, Any]:
    if folder := os.environ.get("GATEWAY_API_CRDS"):
        text = (Path(folder) / f"{GROUP}_{plural}.yaml").read_text("utf-8")
        found: dict[str, Any] = yaml.safe_load(text)
        return found
    if not KUBECTL or "KUBECONFIG" not in os.environ:
        pytest.skip("no CRDs of the Gateway API: name a cluster (KUBECONFIG) or a folder (GATEWAY_API_CRDS)")
    command = [KUBECTL, "get", "crd", f"{plural}.{GROUP}", "--output=json", "--request-timeout=10s"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    if done.returncode != 0:
        pytest.skip(f"no CRDs of the Gateway API on the cluster: {done.stderr.strip()}")
    answered: dict[str, Any] = json.loads(done.stdout)
    return answered


def _closed(schema: Any) -> Any:
    """As the API server with `--validate=strict` reads it: keys that it does not know are refused."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        made.setdefault("additionalProperties", False)
    return made


PARENT = {"name": "edge", "namespace": "infra", "sectionName": "https"}


def variables(documents: list[dict[str, Any]]) -> dict[str, str]:
    container = the(documents, "Deployment", "gateway")["spec"]["template"]["spec"]["containers"][0]
    return {each["name"]: each.get("value", "") for each in container["env"]}


def test_a_service_may_be_a_load_balancers(tmp_path: Path) -> None:
    service = {
        "type": "LoadBalancer",
        "annotations": {"cloud/internal": "true"},
        "loadBalancerClass": "example.org/lb",
        "loadBalancerSourceRanges": ["192.0.2.0/24"],
        "externalTrafficPolicy": "Local",
        "sessionAffinity": "ClientIP",
        "nodePorts": {"http": 30080},
    }
    documents = manifests({"components": {"gateway": {"service": service}}}, tmp_path)
    found = the(documents, "Service", "gateway")
    assert found["metadata"]["annotations"] == {"cloud/internal": "true"}
    spec = found["spec"]
    for key in ("type", "loadBalancerClass", "loadBalancerSourceRanges", "externalTrafficPolicy", "sessionAffinity"):
        assert spec[key] == service[key]
    ports = {each["name"]: each for each in spec["ports"]}
    assert ports["http"]["nodePort"] == 30080
    assert "nodePort" not in ports["admin"]
    assert ports["http"]["appProtocol"] == "http"
    plain = the(documents, "Service", "controlplane")
    assert (plain["spec"]["type"], plain["metadata"].get("annotations")) == ("ClusterIP", None)


def test_nothing_leads_in_from_outside_by_default(tmp_path: Path) -> None:
    documents = manifests({}, tmp_path)
    assert not {"Ingress", "Gateway", "HTTPRoute", "GRPCRoute"} & {each["kind"] for each in documents}
    assert variables(documents)["GATEWAY_PROXIES"] == "0"


def test_an_ingress_leads_to_the_gateway_with_tls(tmp_path: Path) -> None:
    hosts = [
        {"host": "mesh.example.org"},
        {"host": "api.example.org", "paths": [{"path": "/api", "pathType": "Exact"}]},
    ]
    ingress = {
        "enabled": True,
        "className": "nginx",
        "annotations": {"nginx.ingress.kubernetes.io/proxy-read-timeout": "3600"},
        "hosts": hosts,
        "tls": [{"secretName": "mesh-tls", "hosts": ["mesh.example.org"]}],
    }
    documents = manifests({"ingress": ingress}, tmp_path)
    found = the(documents, "Ingress", "gateway")
    assert found["metadata"]["annotations"] == ingress["annotations"]
    assert found["spec"]["ingressClassName"] == "nginx"
    assert found["spec"]["tls"] == ingress["tls"]
    backend = {"service": {"name": "meshwright-gateway", "port": {"name": "http"}}}
    first, second = found["spec"]["rules"]
    assert first["http"]["paths"] == [{"path": "/", "pathType": "Prefix", "backend": backend}]
    assert second["http"]["paths"] == [{"path": "/api", "pathType": "Exact", "backend": backend}]
    assert "http" in [each["name"] for each in the(documents, "Service", "gateway")["spec"]["ports"]]
    assert variables(documents)["GATEWAY_PROXIES"] == "1"


def routes() -> dict[str, Any]:
    return {
        "components": {"user": {"service": {"enabled": True}}},
        "gatewayApi": {
            "gateway": {
                "create": True,
                "className": "envoy",
                "annotations": {"cert-manager.io/issuer": "letsencrypt"},
                "listeners": [
                    {
                        "name": "https",
                        "port": 443,
                        "protocol": "HTTPS",
                        "hostname": "*.example.org",
                        "tls": {"mode": "Terminate", "certificateRefs": [{"name": "mesh-tls"}]},
                    }
                ],
            },
            "httpRoute": {"enabled": True, "hostnames": ["mesh.example.org"]},
            "grpcRoutes": {
                "xds": {"component": "controlplane", "port": "xds", "parentRefs": [PARENT]},
                "users": {
                    "component": "user",
                    "port": "grpc",
                    "hostnames": ["users.example.org"],
                    "services": ["demo.user.v1.UserService"],
                },
            },
        },
    }


def test_routes_lead_to_services_that_exist_and_a_gateway_ends_tls(tmp_path: Path) -> None:
    documents = manifests(routes(), tmp_path)
    gateway = the(documents, "Gateway", "gateway")
    assert gateway["spec"]["gatewayClassName"] == "envoy"
    assert gateway["spec"]["listeners"][0]["tls"]["certificateRefs"] == [{"name": "mesh-tls"}]
    http = the(documents, "HTTPRoute", "gateway")["spec"]
    assert http["parentRefs"] == [{"name": "meshwright-gateway"}]
    assert http["hostnames"] == ["mesh.example.org"]
    users, xds = the(documents, "GRPCRoute", "users")["spec"], the(documents, "GRPCRoute", "xds")["spec"]
    assert users["rules"][0]["matches"] == [{"method": {"service": "demo.user.v1.UserService"}}]
    assert xds["parentRefs"] == [PARENT]
    services = {each["metadata"]["name"]: each["spec"] for each in documents if each["kind"] == "Service"}
    for route in (http, users, xds):
        (backend,) = route["rules"][0]["backendRefs"]
        assert backend["port"] in [each["port"] for each in services[backend["name"]]["ports"]]
    protocols = {each["name"]: each.get("appProtocol") for each in services["meshwright-user"]["ports"]}
    assert protocols["grpc"] == "kubernetes.io/h2c"


def test_a_route_of_http_gives_websockets_the_time_that_they_take(tmp_path: Path) -> None:
    (rule,) = the(manifests(routes(), tmp_path), "HTTPRoute", "gateway")["spec"]["rules"]
    assert rule["timeouts"] == {"request": "0s"}


def test_the_gateway_api_would_take_each_object(tmp_path: Path) -> None:
    documents = [each for each in manifests(routes(), tmp_path) if "gateway.networking.k8s.io" in each["apiVersion"]]
    assert {each["kind"] for each in documents} == {"Gateway", "HTTPRoute", "GRPCRoute"}
    for each in documents:
        assert violations(each) == []


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ("ingress: {enabled: true}", "ingress.hosts"),
        ("ingress: {hosts: [mesh.example.org]}", "/ingress/hosts/0"),
        ("ingress: {enabled: true, hosts: [{host: Mesh_1}]}", "/ingress/hosts/0/host"),
        ("ingress: {enabled: true, hosts: [{host: a.b, paths: [{path: api}]}]}", "/ingress/hosts/0/paths/0/path"),
        ("{demo: {enabled: false}, ingress: {enabled: true, hosts: [{host: a.b}]}}", "demo.enabled=false"),
        ("gatewayApi: {httpRoute: {enabled: true}}", "gatewayApi.httpRoute.parentRefs"),
        ("gatewayApi: {httpRoute: {timeout: forever}}", "/gatewayApi/httpRoute/timeout"),
        ("gatewayApi: {gateway: {create: true}}", "gatewayApi.gateway.className"),
        ("gatewayApi: {gateway: {listeners: []}}", "/gatewayApi/gateway/listeners"),
        ("gatewayApi: {grpcRoutes: {u: {component: user, port: grpc}}}", "components.user.service.enabled=true"),
        ("gatewayApi: {grpcRoutes: {u: {component: usr, port: grpc}}}", "gatewayApi.grpcRoutes.u.component"),
        ("gatewayApi: {grpcRoutes: {x: {component: controlplane, port: grcp}}}", "gatewayApi.grpcRoutes.x.port"),
        ("gatewayApi: {grpcRoutes: {x: {component: controlplane}}}", "port"),
    ],
)
def test_an_edge_that_cannot_be_is_refused_by_its_name(values: str, words: str, tmp_path: Path) -> None:
    done = template(values, tmp_path)
    assert done.returncode != 0
    assert words in done.stderr
