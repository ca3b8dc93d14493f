"""A version's Deployment as the operator writes it: additions to the pod template, and the update strategy.

Drift is found by a comparison with the last applied spec, which an annotation keeps: the template of a version that is
no longer requested is stored nowhere else.
"""

from __future__ import annotations

import copy
import hashlib
import json
from typing import TYPE_CHECKING, Any

from meshwright.rollout.api.spec import version_label
from meshwright.rollout.api.vocabulary import API_VERSION, GROUP, KIND, VERSION_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshwright.rollout.api.spec import Rollout

ROLLOUT_LABEL = f"{GROUP}/rollout"
VERSION_LABEL = f"{GROUP}/version"
VERSION_ANNOTATION = f"{GROUP}/version"
TEMPLATE_ANNOTATION = f"{GROUP}/template-hash"
APPLIED_ANNOTATION = f"{GROUP}/applied"
"""The fields of the Deployment's spec that were applied last, as JSON."""
REVISION_ANNOTATION = f"{GROUP}/revision"
"""Counts the version's templates."""
RELEASE_LABEL = "app.kubernetes.io/version"


def labels(rollout: Rollout, version: str) -> dict[str, str]:
    """The labels that select a version's Deployment and its pods."""
    return {ROLLOUT_LABEL: rollout.name, VERSION_LABEL: version_label(version)}


def pod_template(rollout: Rollout, version: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The rollout's template, with the labels and the version's variable in every container."""
    template = copy.deepcopy(dict(given))
    metadata = dict(template.get("metadata") or {})
    metadata.pop("creationTimestamp", None)
    metadata["labels"] = {**(metadata.get("labels") or {}), **labels(rollout, version)}
    template["metadata"] = metadata
    for container in (template.get("spec") or {}).get("containers") or ():
        others = [entry for entry in container.get("env") or () if entry.get("name") != VERSION_VARIABLE]
        # First, so that other variables may refer to it as $(MESHWRIGHT_VERSION).
        container["env"] = [{"name": VERSION_VARIABLE, "value": version}, *others]
    return template


def template_version(given: Mapping[str, Any]) -> str:
    """The version of a pod template: its variable MESHWRIGHT_VERSION, or its label app.kubernetes.io/version.

    The variable first: instances register with it, and charts may label pods with other versions.
    """
    for container in (given.get("spec") or {}).get("containers") or ():
        for entry in container.get("env") or ():
            if entry.get("name") == VERSION_VARIABLE and entry.get("value"):
                return str(entry["value"])
    return str(((given.get("metadata") or {}).get("labels") or {}).get(RELEASE_LABEL, ""))


def applied(template: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a Deployment's spec that the operator owns, except for the replicas.

    A new pod starts before an old one ends. A container that fails without a termination message leaves the end of its
    log as one, for the rollout's status. (`File` is the default, as in a template that was read.)
    """
    told = copy.deepcopy(dict(template))
    pod = told.get("spec") or {}
    for container in (*(pod.get("initContainers") or ()), *(pod.get("containers") or ())):
        if container.get("terminationMessagePolicy") in (None, "File"):
            container["terminationMessagePolicy"] = "FallbackToLogsOnError"
    return {
        # The rollout keeps the versions; the Deployment of one version needs no history.
        "revisionHistoryLimit": 0,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}},
        "template": told,
    }


def notes(version: str, template: Mapping[str, Any], spec: Mapping[str, Any], revision: int) -> dict[str, str]:
    """The annotations of a version's Deployment."""
    return {
        VERSION_ANNOTATION: version,
        TEMPLATE_ANNOTATION: digest(template),
        APPLIED_ANNOTATION: json.dumps(spec, sort_keys=True, separators=(",", ":")),
        REVISION_ANNOTATION: str(revision),
    }


def manifest(rollout: Rollout, version: str, replicas: int, template: Mapping[str, Any]) -> dict[str, Any]:
    """A version's Deployment."""
    spec = applied(template)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": rollout.workload_name(version),
            "namespace": rollout.namespace,
            "labels": {**labels(rollout, version), "app.kubernetes.io/managed-by": "meshwright-operator"},
            "annotations": notes(version, template, spec, 1),
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": KIND,
                    "name": rollout.name,
                    "uid": rollout.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels(rollout, version)}, **spec},
    }


def digest(template: Mapping[str, Any]) -> str:
    """A digest of the template, independent of the order of its keys."""
    text = json.dumps(template, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def last_applied(deployment: Mapping[str, Any]) -> dict[str, Any] | None:
    """The last applied spec; None for a Deployment of an earlier release, which did not keep it."""
    text = (deployment["metadata"].get("annotations") or {}).get(APPLIED_ANNOTATION)
    try:
        found = json.loads(text) if text else None
    except ValueError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("template"), dict) else None
