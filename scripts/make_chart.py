"""Complete the chart's schema and its README from what is written once: python scripts/make_chart.py.

helm/meshwright/values.yaml says what there is: values, and a comment at each. helm/meshwright/values.schema.json says
of which type a switch is, by hand. The rest of the schema comes from here: descriptions are those comments; what a
component takes is `component` below; the shapes of probes, volumes, tolerations and the like are Kubernetes' own (as
`kubernetes-validate` ships them), so that an unknown key is refused at any depth; and the names of variables are those
that the code reads (`env_field`), so that one with a letter wrong is refused too. The README's tables are the same
comments. A test holds all of it to be up to date.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kubernetes_validate
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
CHART = ROOT / "helm/meshwright"
VALUES, SCHEMA, README = CHART / "values.yaml", CHART / "values.schema.json", CHART / "README.md"
KUBERNETES = "v1.34.0-local-strict"
OURS = ("MESHWRIGHT_", "GATEWAY_")
"""Variables with these beginnings are ours alone: one that the code does not read is a mistake."""
BEGIN, END = "<!-- {}: made by scripts/make_chart.py -->", "<!-- end of {} -->"

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


def variables() -> list[str]:
    """Every variable that a process of ours reads: the first argument of `env_field`, and those that commands set."""
    found: set[str] = set()
    for folder in ("src", "operator", "services"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text("utf-8")
            found |= (
                {each for each in _settings(ast.parse(text)) if each.startswith(OURS)}
                if "env_field(" in text
                else set()
            )
    return sorted(found)


def _settings(module: ast.Module) -> Iterator[str]:
    constants = {
        target.id: node.value.value
        for node in module.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "env_field" and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value
            elif isinstance(first, ast.Name) and isinstance(constants.get(first.id), str):
                yield constants[first.id]


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


def comments(text: str) -> dict[str, str]:
    """The comment of each value, by its path: the rest of its key's line."""
    lines = text.splitlines()
    found: dict[str, str] = {}

    def visit(node: yaml.Node, path: tuple[str, ...]) -> None:
        if not isinstance(node, yaml.MappingNode):
            return
        for key, value in node.value:
            place = (*path, key.value)
            ends = [key.end_mark] + ([value.end_mark] if value.end_mark.line == key.end_mark.line else [])
            rest = lines[key.end_mark.line][max(mark.column for mark in ends) :]
            if match := re.match(r"^:?\s*#\s*(.*)$", rest):
                found[".".join(place)] = match[1].strip()
            visit(value, place)

    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if root is not None:
        visit(root, ())
    return found


def of_components(found: dict[str, str]) -> dict[str, str]:
    """Comments of components by key: the first that has one at a key says it for all; `defaults` says the rest."""
    by_key: dict[str, str] = {}
    for path, comment in found.items():
        top, _, key = path.partition(".")
        _, _, key = key.partition(".")
        if top == "components" and key and not key.startswith(("env.", "ports.")):
            by_key.setdefault(key, comment)
    for path, comment in found.items():
        if path.startswith("defaults."):
            by_key.setdefault(path.removeprefix("defaults."), comment)
    return by_key


def described(schema: Schema, found: dict[str, str], path: str = "") -> None:
    """Put each comment where the schema has its value."""
    for name, each in schema.get("properties", {}).items():
        place = f"{path}{name}"
        if place in found and "$ref" not in each:
            each["description"] = found[place]
        described(each, found, f"{place}.")


def schema() -> str:
    """values.schema.json, whole."""
    whole: Schema = json.loads(SCHEMA.read_text("utf-8"))
    made = "made"
    kube = Definitions()
    notes = comments(VALUES.read_text("utf-8"))
    own = json.loads(json.dumps(component(kube)))  # no part twice: each has a description of its own
    described(own, of_components(notes))
    known = {"anyOf": [{"not": {"pattern": f"^({'|'.join(OURS)})"}}, {"enum": variables()}]}
    kept = {name: each for name, each in whole.get("definitions", {}).items() if each.get("$comment") != made}
    generated: dict[str, Schema] = {"component": own, "variable": known, **kube.used}
    properties = whole["properties"]
    values: dict[str, Any] = yaml.safe_load(VALUES.read_text("utf-8"))
    properties["components"] = closed({name: {"$ref": "#/definitions/component"} for name in values["components"]})
    about = {**pods(kube), "autoscaling": autoscaling(kube), "serviceAccountAnnotations": MAP}
    properties["defaults"] = json.loads(json.dumps(closed(about)))
    hooks = {**pods(kube), "resources": resources(), "imagePullSecrets": own["properties"]["imagePullSecrets"]}
    for name in ("topologySpreadConstraints", "extraEnv", "extraEnvFrom", "extraVolumes", "extraVolumeMounts"):
        del hooks[name]
    properties["hooks"] = json.loads(json.dumps(closed(hooks)))
    described(whole, notes)
    definitions = {**kept, **{name: {"$comment": made, **each} for name, each in sorted(generated.items())}}
    whole["definitions"] = definitions
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def table(rows: list[tuple[str, ...]], head: tuple[str, ...]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines)


def shown(value: Any) -> str:
    """A default, as it is written by hand."""
    if value in ("", None):
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"`{text}`"


def leaves(value: Any, notes: dict[str, str], path: str) -> Iterator[tuple[str, Any]]:
    """Each value that has a comment, and below a map that has none each of its own."""
    if (
        isinstance(value, dict)
        and value
        and not (path in notes and not any(key.startswith(f"{path}.") for key in notes))
    ):
        for key, each in value.items():
            yield from leaves(each, notes, f"{path}.{key}" if path else key)
    else:
        yield path, value


def tables() -> dict[str, str]:
    """The README's tables, by name."""
    text = VALUES.read_text("utf-8")
    values: dict[str, Any] = yaml.safe_load(text)
    notes = comments(text)
    parts: dict[str, Any] = values.pop("components")
    switches = [(f"`{path}`", shown(value), notes.get(path, "")) for path, value in leaves(values, notes, "")]
    keys = [(f"`{key}`", note) for key, note in of_components(notes).items()]
    each = [
        (f"`{name}`", notes.get(f"components.{name}", ""), shown(part.get("replicas")), _amounts(part["resources"]))
        for name, part in parts.items()
    ]
    return {
        "values": table(switches, ("value", "default", "what it does")),
        "component keys": table(keys, ("key", "what it does")),
        "components": table(each, ("component", "what it is", "replicas", "requests and limits")),
    }


def _amounts(found: dict[str, dict[str, str]]) -> str:
    return "; ".join(
        f"{kind}: " + ", ".join(f"{amount} {name}" for name, amount in each.items()) for kind, each in found.items()
    )


def readme() -> str:
    """README.md, whole."""
    text = README.read_text("utf-8")
    for name, made in tables().items():
        begin, end = BEGIN.format(name), END.format(name)
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}\n{made}\n{end}{after}"
    return text


def main() -> None:
    for path, render in ((SCHEMA, schema), (README, readme)):
        path.write_text(render(), "utf-8")
        print(path)


if __name__ == "__main__":
    main()
