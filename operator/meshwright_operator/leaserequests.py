"""The guard's requests to the API server: Leases, the namespaces that they guard, and what it tells people there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx2
from lightkube.types import PatchType

from meshwright.rollout.api.vocabulary import API_VERSION, KIND
from meshwright_operator import leases
from meshwright_operator.cluster import (
    CONFLICT,
    FIELD_MANAGER,
    NOT_FOUND,
    EventResource,
    LeaseResource,
    Namespace,
    VersionedRollout,
    sorted_failures,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lightkube import AsyncClient

    from meshwright_operator.leases import Lease

_FORBIDDEN = 403
CONFLICT_CONDITION = "OperatorConflict"
"""The condition by which an operator says that a rollout is another installation's. It is applied, once, as a field of
its own, so that the statuses that the holder writes do not meet it."""


class LeaseRequests:
    """`meshwright_operator.guard.LeaseStore`. These requests go past the gate: they are what opens it."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def lease(self, namespace: str) -> Lease | None:
        with sorted_failures(f"reading Lease {namespace}/{leases.LEASE}"):
            try:
                found = await self._client.get(LeaseResource, leases.LEASE, namespace=namespace)
            except httpx2.HTTPStatusError as error:
                if error.response.status_code == NOT_FOUND:
                    return None
                raise
            return leases.read(found.to_dict())

    async def create_lease(self, namespace: str, part: Mapping[str, Any]) -> Lease | None:
        metadata = {
            "name": leases.LEASE,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/managed-by": FIELD_MANAGER},
            **part["metadata"],
        }
        document = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": part["spec"]}
        with sorted_failures(f"creating Lease {namespace}/{leases.LEASE}"):
            try:
                made = await self._client.create(LeaseResource(document))
            except httpx2.HTTPStatusError as error:
                if error.response.status_code in {CONFLICT, NOT_FOUND}:
                    return None
                if error.response.status_code == _FORBIDDEN and await self.is_terminating(namespace):
                    return None
                raise
            return leases.read(made.to_dict())

    async def patch_lease(self, namespace: str, version: str, part: Mapping[str, Any]) -> Lease | None:
        metadata = {**part.get("metadata", {}), "resourceVersion": version}
        with sorted_failures(f"writing Lease {namespace}/{leases.LEASE}"):
            try:
                made = await self._client.patch(
                    LeaseResource,
                    leases.LEASE,
                    {**part, "metadata": metadata},
                    namespace=namespace,
                    patch_type=PatchType.MERGE,
                )
            except httpx2.HTTPStatusError as error:
                if error.response.status_code in {CONFLICT, NOT_FOUND}:
                    return None
                raise
            return leases.read(made.to_dict())

    async def delete_lease(self, namespace: str, lease: Lease) -> bool:
        """False where it is gone, or has been written since it was read."""
        found = await self.lease(namespace)
        if found is None or (found.uid, found.holder) != (lease.uid, lease.holder):
            return False
        with sorted_failures(f"deleting Lease {namespace}/{leases.LEASE}"):
            try:
                await self._client.delete(LeaseResource, leases.LEASE, namespace=namespace)
            except httpx2.HTTPStatusError as error:
                if error.response.status_code in {CONFLICT, NOT_FOUND}:
                    return False
                raise
        return True

    async def is_terminating(self, namespace: str) -> bool:
        """Whether the namespace is being deleted; False also where that may not be asked."""
        with sorted_failures(f"reading namespace {namespace}"):
            try:
                found = (await self._client.get(Namespace, namespace)).to_dict()
            except httpx2.HTTPStatusError as error:
                if error.response.status_code in {NOT_FOUND, _FORBIDDEN}:
                    return False
                raise
        return bool(found["metadata"].get("deletionTimestamp"))

    async def tell(self, namespace: str, lease: Lease, reason: str, message: str) -> None:
        """A warning Event about the Lease."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        reference = {"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "name": leases.LEASE, "uid": lease.uid}
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{leases.LEASE}-", "namespace": namespace},
            "involvedObject": {**reference, "namespace": namespace},
            "type": "Warning",
            "reason": reason,
            "message": message[:1024],
            "source": {"component": FIELD_MANAGER},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        with sorted_failures(f"telling an Event in {namespace}"):
            await self._client.create(EventResource(event))

    async def apply_conflict(self, namespace: str, name: str, message: str | None) -> None:
        """Say of a rollout that another installation has it, by server-side apply; None takes that back."""
        condition = {
            "type": CONFLICT_CONDITION,
            "status": "True",
            "reason": "LeaseHeldByAnother",
            "message": message,
            "lastTransitionTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        document = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": name, "namespace": namespace},
            "status": {"conditions": [condition]} if message is not None else {},
        }
        with sorted_failures(f"writing a condition of {namespace}/{name}"):
            try:
                await self._client.patch(
                    VersionedRollout.RolloutStatus,
                    name,
                    document,
                    namespace=namespace,
                    patch_type=PatchType.APPLY,
                    field_manager=FIELD_MANAGER,
                )
            except httpx2.HTTPStatusError as error:
                if error.response.status_code != NOT_FOUND:
                    raise
