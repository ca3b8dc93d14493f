"""The CustomResourceDefinition around the schema: names, columns, subresources, the status's shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshwright.rollout.api.schema import ROOT_RULES, SPEC
from meshwright.rollout.api.vocabulary import GROUP, KIND, PLURAL, Phase

if TYPE_CHECKING:
    from meshwright.rollout.api.schema_parts import Schema

_COLUMNS = (
    ("Version", "string", ".spec.version", "The requested version."),
    ("Stable", "string", ".status.stable", "The stable version."),
    ("Phase", "string", ".status.phase", "The phase of the rollout."),
    ("Step", "string", ".status.progress", "The current step and the number of steps."),
    ("Weight", "integer", ".status.weight", "The target's share of the calls, in per cent."),
    ("Ready", "string", ".status.ready", "Healthy and desired instances."),
    ("Revision", "integer", ".status.revision", "Counts the templates of the version."),
    ("Age", "date", ".metadata.creationTimestamp", "The age of the resource."),
)


def _typed(kind: str, **more: Any) -> Schema:
    return {"type": kind, **more}


_OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_TIME = {"type": "string", "format": "date-time"}
_CONDITION: Schema = {
    "type": "object",
    "required": ["type", "status", "lastTransitionTime"],
    "properties": {
        "type": _typed("string"),
        "status": _typed("string", enum=["True", "False", "Unknown"]),
        "reason": _typed("string"),
        "message": _typed("string"),
        "lastTransitionTime": _TIME,
        "observedGeneration": _typed("integer"),
    },
}
STATUS: Schema = {
    "type": "object",
    "description": "What was decided and seen; written by Meshwright only.",
    "x-kubernetes-preserve-unknown-fields": True,
    "properties": {
        "observedGeneration": _typed("integer"),
        "phase": _typed("string", enum=[phase.value for phase in Phase]),
        "reason": _typed("string"),
        "message": _typed("string"),
        "stable": _typed("string"),
        "target": _typed("string"),
        "refused": _typed("string"),
        "template": _typed("string"),
        "revision": _typed("integer"),
        "progress": _typed("string"),
        "ready": _typed("string"),
        "weight": _typed("integer"),
        "replicas": _typed("integer"),
        "readyReplicas": _typed("integer"),
        "selector": _typed("string"),
        "versions": {"type": "array", "items": _OPEN},
        "troubles": {"type": "array", "items": _OPEN},
        "analyses": {"type": "array", "items": _OPEN},
        "conditions": {
            "type": "array",
            "items": _CONDITION,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
    },
}


def schema() -> Schema:
    """The `openAPIV3Schema`."""
    return {
        "type": "object",
        "description": "A service, the version that it should have, and how it gets there.",
        "required": ["spec"],
        "properties": {
            "apiVersion": _typed("string"),
            "kind": _typed("string"),
            "metadata": _typed("object"),
            "spec": SPEC,
            "status": STATUS,
        },
        "x-kubernetes-validations": ROOT_RULES,
    }


def definition() -> dict[str, Any]:
    """The whole object, as it is applied to a cluster."""
    columns = [
        {"name": name, "type": kind, "jsonPath": path, "description": description}
        for name, kind, path, description in _COLUMNS
    ]
    version = {
        "name": "v1alpha1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema()},
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        },
        "additionalPrinterColumns": columns,
    }
    names = {
        "kind": KIND,
        "listKind": f"{KIND}List",
        "plural": PLURAL,
        "singular": KIND.lower(),
        "shortNames": ["vro"],
        "categories": ["all"],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }
