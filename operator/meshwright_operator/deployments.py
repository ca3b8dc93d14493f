"""Versions as Deployments: the `Workloads` port of the rollout engine.

Each version is a Deployment `<rollout>-<version>` owned by the rollout, so that deleting the rollout deletes them all.
Its pod template is the rollout's with three additions: labels to select by, `MESHWRIGHT_VERSION` for the service to
register under, and the rollout's name. The template is written when the version is asked for and whenever the rollout's
changes while that version is asked for; other versions keep theirs.
"""

from __future__ import annotations

import copy
import hashlib
import json
from typing import TYPE_CHECKING, Any

from meshwright.errors import BadInputError, Problem
from meshwright.rollout.observed import Workload
from meshwright.rollout.spec import version_label
from meshwright.rollout.vocabulary import API_VERSION, GROUP, KIND, VERSION_VARIABLE
from meshwright_operator import reference
from meshwright_operator.cluster import merge_patch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshwright.rollout.spec import Rollout
    from meshwright_operator.cluster import Cluster

ROLLOUT_LABEL = f"{GROUP}/rollout"
VERSION_LABEL = f"{GROUP}/version"
VERSION_ANNOTATION = f"{GROUP}/version"
TEMPLATE_ANNOTATION = f"{GROUP}/template-hash"


class Deployments:
    """`Workloads` on a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def observe(self, rollout: Rollout) -> dict[str, Workload]:
        found = await self._cluster.deployments(rollout.namespace, {ROLLOUT_LABEL: rollout.name})
        workloads = {}
        for item in found:
            if item["metadata"].get("deletionTimestamp"):
                continue
            version = (item["metadata"].get("annotations") or {}).get(VERSION_ANNOTATION, "")
            if version:
                desired = item["spec"].get("replicas", 1)
                running = (item.get("status") or {}).get("readyReplicas") or 0
                workloads[version] = Workload(version, desired, running)
        return workloads

    async def ensure(self, rollout: Rollout, version: str, replicas: int) -> None:
        name = rollout.workload_name(version)
        current = await self._cluster.deployment(rollout.namespace, name)
        if current is None:
            template = await self._template(rollout, version)
            await self._cluster.create_deployment(manifest(rollout, version, replicas, template))
            return
        self._refuse_foreign(rollout, current)
        patch: dict[str, Any] = {}
        if current["spec"].get("replicas") != replicas:
            patch["spec"] = {"replicas": replicas}
        if version == rollout.version:
            template = await self._template(rollout, version)
            if digest(template) != (current["metadata"].get("annotations") or {}).get(TEMPLATE_ANNOTATION):
                wanted = merge_patch(current["spec"]["template"], template)
                patch["spec"] = {**patch.get("spec", {}), "template": wanted}
                patch["metadata"] = {"annotations": {TEMPLATE_ANNOTATION: digest(template)}}
        if patch:
            await self._cluster.patch_deployment(rollout.namespace, name, patch)

    async def scale(self, rollout: Rollout, version: str, replicas: int) -> None:
        name = rollout.workload_name(version)
        await self._cluster.patch_deployment(rollout.namespace, name, {"spec": {"replicas": replicas}})

    async def delete(self, rollout: Rollout, version: str) -> None:
        await self._cluster.delete_deployment(rollout.namespace, rollout.workload_name(version))

    async def idle_reference(self, rollout: Rollout) -> bool:
        """Scale the Deployment of `workloadRef` to nothing; True where that changed something."""
        if rollout.workload_ref is None:
            return False
        name = rollout.workload_ref.name
        current = await self._cluster.deployment(rollout.namespace, name)
        patch = reference.idle(current, rollout.name) if current is not None else None
        if patch is None:
            return False
        return await self._cluster.patch_deployment(rollout.namespace, name, patch)

    async def _template(self, rollout: Rollout, version: str) -> dict[str, Any]:
        """The pod template of the version that is asked for, whole."""
        if rollout.workload_ref is None:
            return pod_template(rollout, version, rollout.template or {})
        name = rollout.workload_ref.name
        source = await self._cluster.deployment(rollout.namespace, name)
        if source is None:
            text = f"there is no Deployment {name} in namespace {rollout.namespace}"
            raise BadInputError(f"{KIND} {rollout.name}", [Problem("spec.workloadRef.name", text)])
        return pod_template(rollout, version, source["spec"]["template"])

    @staticmethod
    def _refuse_foreign(rollout: Rollout, current: Mapping[str, Any]) -> None:
        """A Deployment of that name which somebody else made is not ours to change."""
        if (current["metadata"].get("labels") or {}).get(ROLLOUT_LABEL) != rollout.name:
            name = current["metadata"]["name"]
            text = f"Deployment {name} exists and is not this rollout's (label {ROLLOUT_LABEL}); rename one of the two"
            raise BadInputError(f"{KIND} {rollout.name}", [Problem("metadata.name", text)])


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


def manifest(rollout: Rollout, version: str, replicas: int, template: Mapping[str, Any]) -> dict[str, Any]:
    """A version's Deployment."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": rollout.workload_name(version),
            "namespace": rollout.namespace,
            "labels": {**labels(rollout, version), "app.kubernetes.io/managed-by": "meshwright-operator"},
            "annotations": {VERSION_ANNOTATION: version, TEMPLATE_ANNOTATION: digest(template)},
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
        "spec": {
            "replicas": replicas,
            # The rollout keeps versions; a Deployment of one version has no history worth keeping.
            "revisionHistoryLimit": 0,
            "selector": {"matchLabels": labels(rollout, version)},
            "template": template,
        },
    }


def digest(template: Mapping[str, Any]) -> str:
    """Changes when the template does, in whatever order its keys come."""
    text = json.dumps(template, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
