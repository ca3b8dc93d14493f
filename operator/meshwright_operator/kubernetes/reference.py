"""The replicas of the Deployment in `workloadRef`.

Once a rollout serves, that Deployment is idle and scaled to 0. A number of replicas in the manifest that Helm or Argo
CD applies would conflict permanently: with server-side apply over `spec.replicas`. So the operator owns the number, and
the manifest omits it. The manifest requests a number by an annotation instead (`meshwright.dev/replicas`), which is
applied once for each change, so that `kubectl scale` holds until then. The number of replicas before the Deployment was
idled is kept in annotations on it, and is restored when the rollout is deleted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshwright.rollout.api.vocabulary import GROUP

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshwright.rollout.api.spec import Rollout
    from meshwright_operator.kubernetes.cluster import Cluster

REPLICAS_ANNOTATION = f"{GROUP}/replicas"
"""The replicas that the manifest requests while no rollout has taken over."""
OBEYED_ANNOTATION = f"{GROUP}/replicas-applied"
"""The last applied request."""
IDLED_BY_ANNOTATION = f"{GROUP}/idled-by"
"""The rollout for which the Deployment is idle."""
BEFORE_ANNOTATION = f"{GROUP}/replicas-before"
"""The replicas before."""


def idled_by(deployment: Mapping[str, Any]) -> str:
    """The rollout that scaled the Deployment to 0; empty for none."""
    return str(_annotations(deployment).get(IDLED_BY_ANNOTATION, ""))


def idle_patch(deployment: Mapping[str, Any], rollout: str) -> dict[str, Any] | None:
    """The patch that scales the Deployment to 0; None where it already is."""
    replicas = deployment["spec"].get("replicas", 1)
    if replicas == 0:
        return None
    annotations = {IDLED_BY_ANNOTATION: rollout, BEFORE_ANNOTATION: str(replicas)}
    return {"metadata": {"annotations": annotations}, "spec": {"replicas": 0}}


def restore_patch(deployment: Mapping[str, Any]) -> dict[str, Any]:
    """The patch that restores the replicas: those that the manifest requests, else those before."""
    requested = _requested(deployment)
    before = _number(_annotations(deployment).get(BEFORE_ANNOTATION))
    replicas = next(count for count in (requested, before, 1) if count is not None)
    annotations: dict[str, str | None] = {IDLED_BY_ANNOTATION: None, BEFORE_ANNOTATION: None}
    if requested is not None:
        annotations[OBEYED_ANNOTATION] = str(requested)
    return {"metadata": {"annotations": annotations}, "spec": {"replicas": replicas}}


def replicas_patch(deployment: Mapping[str, Any]) -> dict[str, Any] | None:
    """The patch that applies the requested replicas; None where applied, without a request, or while idle."""
    requested = _requested(deployment)
    if requested is None or idled_by(deployment) or _annotations(deployment).get(OBEYED_ANNOTATION) == str(requested):
        return None
    return {"metadata": {"annotations": {OBEYED_ANNOTATION: str(requested)}}, "spec": {"replicas": requested}}


def is_serving(deployment: Mapping[str, Any]) -> bool:
    """Whether all its pods are ready."""
    ready = (deployment.get("status") or {}).get("readyReplicas") or 0
    return bool(ready >= deployment["spec"].get("replicas", 1))


async def restore_replicas(cluster: Cluster, rollout: Rollout) -> str:
    """Restores the referenced Deployment of a deleted rollout; returns the reason for waiting, empty when it serves."""
    if rollout.workload_ref is None:
        return ""
    name = rollout.workload_ref.name
    found = await cluster.deployment(rollout.namespace, name)
    if found is None or found["metadata"].get("deletionTimestamp"):
        return ""
    if idled_by(found) == rollout.name:
        await cluster.patch_deployment(rollout.namespace, name, restore_patch(found))
        return f"the pods of Deployment {name} come back"
    return "" if is_serving(found) else f"the pods of Deployment {name} are not ready"


def _requested(deployment: Mapping[str, Any]) -> int | None:
    return _number(_annotations(deployment).get(REPLICAS_ANNOTATION))


def _annotations(deployment: Mapping[str, Any]) -> Mapping[str, str]:
    return deployment["metadata"].get("annotations") or {}


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None
