"""Requests to the Kubernetes API about pods, their Events, and dry runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2
from lightkube.generic_resource import create_namespaced_resource
from lightkube.types import PatchType

from meshwright_operator.kubernetes.cluster import Deployment, EventResource, api_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshwright_operator.kubernetes.cluster import Cluster

Pod: Any = create_namespaced_resource("", "v1", "Pod", "pods")
_NOT_FOUND = 404


async def pods(cluster: Cluster, namespace: str, labels: Mapping[str, str]) -> list[dict[str, Any]]:
    """The pods with all these labels."""
    with api_errors(f"listing pods in {namespace}"):
        found = [item.to_dict() async for item in cluster.client.list(Pod, namespace=namespace, labels=dict(labels))]
    return [item for item in found if labels.items() <= (item["metadata"].get("labels") or {}).items()]


async def events(cluster: Cluster, namespace: str, pod: str) -> list[dict[str, Any]]:
    """The Events about a pod."""
    about: dict[str, Any] = {"involvedObject.kind": "Pod", "involvedObject.name": pod}
    with api_errors(f"listing Events of pod {namespace}/{pod}"):
        found = [item.to_dict() async for item in cluster.client.list(EventResource, namespace=namespace, fields=about)]
    return [item for item in found if (item.get("involvedObject") or {}).get("name") == pod]


async def dry_run(cluster: Cluster, namespace: str, name: str, patch: Mapping[str, Any]) -> dict[str, Any] | None:
    """The Deployment that a merge patch would result in, defaults and webhooks included; None without a Deployment."""
    with api_errors(f"trying a change of Deployment {namespace}/{name}"):
        try:
            made = await cluster.client.patch(
                Deployment, name, dict(patch), namespace=namespace, patch_type=PatchType.MERGE, dry_run=True
            )
        except httpx2.HTTPStatusError as error:
            if error.response.status_code == _NOT_FOUND:
                return None
            raise
        found: dict[str, Any] = made.to_dict()
        return found
