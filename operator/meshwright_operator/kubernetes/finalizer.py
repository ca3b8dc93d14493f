"""The operator's finalizer on each rollout: the deletion waits until the traffic rules are restored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshwright.rollout.api.vocabulary import GROUP

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshwright_operator.kubernetes.cluster import Cluster

FINALIZER = f"{GROUP}/operator"
"""The finalizer of each rollout."""


async def remove_finalizer(cluster: Cluster, metadata: Mapping[str, Any]) -> bool:
    """Removes the finalizer; False where it is missing, or where the rollout has changed meanwhile."""
    finalizers = metadata.get("finalizers") or []
    if FINALIZER not in finalizers:
        return False
    left = [name for name in finalizers if name != FINALIZER]
    # With the version that was read: a concurrent change of another finalizer is not lost.
    patch = {"metadata": {"finalizers": left, "resourceVersion": metadata["resourceVersion"]}}
    return await cluster.patch_rollout(str(metadata["namespace"]), str(metadata["name"]), patch)
