"""The schema of what a component of the chart takes.

The shapes of probes, volumes, tolerations and the like are Kubernetes' own (as `kubernetes-validate` ships them), so
that an unknown key is refused at any depth. `scripts/make_chart.py` adds the descriptions.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import kubernetes_validate

KUBERNETES = "v1.34.0-local-strict"

Schema = dict[str, Any]
TEMPLATE = {"type": "string", "pattern": r"\{\{"}
STRINGS = {"type": "array", "items": {"type": "string"}}
MAP = {"type": "object", "additionalProperties": {"type": ["string", "null"]}}
SWITCH = {"anyOf": [{"type": "boolean"}, TEMPLATE]}
PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
HANDLERS = ("exec", "grpc", "httpGet", "tcpSocket")
SELECTED = r"^app\.kubernetes\.io/(name|instance)$"


def choice(*values: str) -> Schema:
    return {"enum": list(values)}


def integer(minimum: int = 0) -> Schema:
    return {"type": "integer", "minimum": minimum}


def closed(properties: dict[str, Schema]) -> Schema:
    return {"type": "object", "additionalProperties": False, "properties": properties}


class Definitions:
    """The definitions that a schema refers to, Kubernetes' among them."""

    def __init__(self) -> None:
        folder = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema" / KUBERNETES
        self._all: dict[str, Schema] = json.loads((folder / "_definitions.json").read_text("utf-8"))["$defs"]
        self.used: dict[str, Schema] = {}

    def kubernetes(self, name: str) -> Schema:
        """A reference to a type of Kubernetes', by the end of its name, as in `Toleration`."""
        short = name.rpartition(".")[2]
        if short not in self.used:
            (whole,) = [each for each in self._all if each == name or re.search(rf"\.v[12]\.{name}$", each)]
            self.used[short] = {}
            self.used[short] = self._adapted(short, self._all[whole])
        return {"$ref": f"#/definitions/{short}"}

    def _adapted(self, short: str, found: Schema) -> Schema:
        """Without descriptions, with numbers that are no ports refused, and values that are amounts held to be ones."""
        if short == "Quantity":
            return QUANTITY
        made: Schema = self._walk(found)
        properties = made.get("properties", {})
        if short in ("HTTPGetAction", "TCPSocketAction"):
            properties["port"] = {"anyOf": [PORT, {"type": "string", "minLength": 1}]}
        if short == "GRPCAction":
            properties["port"] = PORT
        if short == "Probe":
            for each in ("periodSeconds", "timeoutSeconds", "successThreshold", "failureThreshold"):
                properties[each] = integer(1)
            properties["initialDelaySeconds"] = integer(0)
            made["oneOf"] = [{"required": [each]} for each in HANDLERS]
        return made

    def _walk(self, found: Any) -> Any:
        if isinstance(found, list):
            return [self._walk(each) for each in found]
        if not isinstance(found, dict):
            return found
        if reference := found.get("$ref"):
            return self.kubernetes(reference.rpartition("/")[2])
        kept: Schema = {}
        for key, value in found.items():
            if key == "properties":
                kept[key] = {name: self._walk(each) for name, each in value.items()}
            elif key not in ("description", "format") and not key.startswith(("x-kubernetes", "$schema")):
                kept[key] = self._walk(value)
        return kept


QUANTITY = {
    "anyOf": [
        {"type": "number", "minimum": 0},
        {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?([eE][0-9]+|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$"},
    ]
}


def pods(kube: Definitions) -> dict[str, Schema]:
    """What `defaults`, `hooks` and each component take about pods."""

    def several(name: str) -> Schema:
        return {"type": "array", "items": kube.kubernetes(name)}

    spread = kube.kubernetes("TopologySpreadConstraint")
    kube.used["envVar"] = {
        "allOf": [kube.kubernetes("EnvVar"), {"properties": {"name": {"$ref": "#/definitions/variable"}}}]
    }
    return {
        "nodeSelector": MAP,
        "tolerations": several("Toleration"),
        "affinity": kube.kubernetes("Affinity"),
        "topologySpreadConstraints": {"type": "array", "items": spread},
        "priorityClassName": {"type": "string"},
        "podLabels": {**MAP, "propertyNames": {"not": {"pattern": SELECTED}}},
        "podAnnotations": MAP,
        "extraEnv": {"type": "array", "items": {"$ref": "#/definitions/envVar"}},
        "extraEnvFrom": several("EnvFromSource"),
        "extraVolumes": several("Volume"),
        "extraVolumeMounts": several("VolumeMount"),
        "terminationGracePeriodSeconds": integer(),
        "podSecurityContext": kube.kubernetes("PodSecurityContext"),
        "securityContext": kube.kubernetes("SecurityContext"),
    }


def autoscaling(kube: Definitions) -> Schema:
    return closed(
        {
            "enabled": {"type": "boolean"},
            "minReplicas": integer(1),
            "maxReplicas": integer(1),
            "targetCPU": integer(),
            "targetMemory": integer(),
            "metrics": {"type": "array", "items": kube.kubernetes("io.k8s.api.autoscaling.v2.MetricSpec")},
            "behavior": kube.kubernetes("io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerBehavior"),
        }
    )


def resources() -> Schema:
    amounts = {"type": "object", "additionalProperties": QUANTITY}
    known = {"anyOf": [choice("cpu", "memory", "ephemeral-storage"), {"pattern": "^hugepages-|/"}]}
    return closed({each: {**amounts, "propertyNames": known} for each in ("requests", "limits")})


def component(kube: Definitions) -> Schema:
    """What a component takes."""
    return closed(
        {
            "enabled": SWITCH,
            "kind": choice("Deployment", "StatefulSet", "DaemonSet"),
            "replicas": {"anyOf": [{"type": "null"}, integer(), TEMPLATE]},
            "thirdParty": SWITCH,
            **_image(),
            "uid": integer(1),
            "headless": SWITCH,
            "recreate": SWITCH,
            "mesh": {"type": "boolean"},
            "nats": {"type": "boolean"},
            "config": {"type": "boolean"},
            **_state(),
            "command": STRINGS,
            "args": STRINGS,
            "ports": {"type": "object", "additionalProperties": PORT},
            "protocol": choice("TCP", "UDP"),
            "hostPorts": STRINGS,
            "scratch": {"type": "array", "items": {"type": "string", "pattern": "^/"}},
            "service": _service(),
            "serviceAccount": _service_account(),
            "env": {
                "type": "object",
                "propertyNames": {"$ref": "#/definitions/variable"},
                "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
            },
            **_probes(kube),
            "resources": resources(),
            "autoscaling": autoscaling(kube),
            "serviceAccountAnnotations": MAP,
            **pods(kube),
        }
    )


def _image() -> dict[str, Schema]:
    return {
        "image": {"type": "string"},
        "imagePullPolicy": choice("", "Always", "IfNotPresent", "Never"),
        "imagePullSecrets": {"type": "array", "items": {"$ref": "#/definitions/pullSecret"}},
    }


def _state() -> dict[str, Schema]:
    """Volumes, secrets, the database."""
    return {
        "storage": {"anyOf": [{"$ref": "#/definitions/storage"}, TEMPLATE]},
        "storageClass": {"anyOf": [{"$ref": "#/definitions/storageClass"}, TEMPLATE]},
        "secrets": {
            "type": "object",
            "propertyNames": {"$ref": "#/definitions/variable"},
            "additionalProperties": {"$ref": "#/definitions/secretKey"},
        },
        "database": {"type": "string", "pattern": "^([A-Z_]+)?$"},
    }


def _service() -> Schema:
    policies = choice("", "Cluster", "Local")
    return closed(
        {
            "enabled": {"type": "boolean"},
            "type": choice("ClusterIP", "NodePort", "LoadBalancer"),
            "annotations": MAP,
            "nodePorts": {"type": "object", "additionalProperties": {**PORT, "minimum": 1024}},
            "loadBalancerClass": {"type": "string"},
            "loadBalancerSourceRanges": {
                "type": "array",
                "items": {"type": "string", "pattern": "^[0-9a-fA-F.:]+/[0-9]+$"},
            },
            "externalTrafficPolicy": policies,
            "internalTrafficPolicy": policies,
            "sessionAffinity": choice("", "ClientIP", "None"),
        }
    )


def _service_account() -> Schema:
    return closed(
        {
            "create": {"type": "boolean"},
            "name": {"type": "string"},
            "automount": {"type": "boolean"},
            "annotations": MAP,
        }
    )


def _probes(kube: Definitions) -> dict[str, Schema]:
    probe = kube.kubernetes("Probe")
    return {
        "startup": {"anyOf": [{"maxProperties": 0}, _without_oneof(kube), probe]},
        "readiness": probe,
        "liveness": probe,
    }


def _without_oneof(kube: Definitions) -> Schema:
    """A probe that says when, and not how."""
    properties = kube.used["Probe"]["properties"]
    return closed({name: each for name, each in properties.items() if name not in HANDLERS})
