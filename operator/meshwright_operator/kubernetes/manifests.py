"""A version's Deployment as the operator writes it: what is added to a person's pod template, and how it is replaced.

Whoever changes such a Deployment is answered by comparing it with what was applied last, which an annotation keeps: the
template of a version that is not asked for any more is nowhere else.
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
"""Counts the templates that the version has had."""
RELEASE_LABEL = "app.kubernetes.io/version"


def labels(rollout: Rollout, version: str) -> dict[str, str]:
    """What a version's Deployment and its pods are selected by."""
    return {ROLLOUT_LABEL: rollout.name, VERSION_LABEL: version_label(version)}


def pod_template(rollout: Rollout, version: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The person's template, with the labels and the version's variable in every container."""
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
    """The version that a pod template says: its variable MESHWRIGHT_VERSION, or its label app.kubernetes.io/version.

    The variable first: instances register by it, and charts are known to label pods with versions of their own.
    """
    for container in (given.get("spec") or {}).get("containers") or ():
        for entry in container.get("env") or ():
            if entry.get("name") == VERSION_VARIABLE and entry.get("value"):
                return str(entry["value"])
    return str(((given.get("metadata") or {}).get("labels") or {}).get(RELEASE_LABEL, ""))


def applied(template: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a Deployment's spec that are the operator's, but for the number of pods.

    A new pod comes before an old one goes. A container that ends badly leaves its last lines where it writes no message
    of its own, so that people are told why. (`File` is the default, as in a template that was read.)
    """
    told = copy.deepcopy(dict(template))
    pod = told.get("spec") or {}
    for container in (*(pod.get("initContainers") or ()), *(pod.get("containers") or ())):
        if container.get("terminationMessagePolicy") in (None, "File"):
            container["terminationMessagePolicy"] = "FallbackToLogsOnError"
    return {
        # The rollout keeps versions; a Deployment of one version has no history worth keeping.
        "revisionHistoryLimit": 0,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}},
        "template": told,
    }


def notes(version: str, template: Mapping[str, Any], spec: Mapping[str, Any], revision: int) -> dict[str, str]:
    """What a version's Deployment says of itself."""
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
    """Changes when the template does, in whatever order its keys come."""
    text = json.dumps(template, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def last_applied(deployment: Mapping[str, Any]) -> dict[str, Any] | None:
    """What was applied last; None for a Deployment of an earlier release, which did not keep it."""
    text = (deployment["metadata"].get("annotations") or {}).get(APPLIED_ANNOTATION)
    try:
        found = json.loads(text) if text else None
    except ValueError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("template"), dict) else None
