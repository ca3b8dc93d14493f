"""The guard's requests to the API server: Leases, their namespaces, and Events and conditions about conflicts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx2
from lightkube.types import PatchType

from meshwright.rollout.api.vocabulary import API_VERSION, KIND
from meshwright_operator.kubernetes.cluster import (
    CONFLICT,
    FIELD_MANAGER,
    NOT_FOUND,
    EventResource,
    LeaseResource,
    Namespace,
    VersionedRollout,
    api_errors,
)
from meshwright_operator.lease import election

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lightkube import AsyncClient

    from meshwright_operator.lease.election import Lease

_FORBIDDEN = 403
CONFLICT_CONDITION = "OperatorConflict"
"""The condition of a rollout that belongs to another installation. It is applied once, by server-side apply, so that it
does not conflict with the holder's writes of the status."""


class LeaseClient:
    """`meshwright_operator.lease.guard.LeaseStore`. These requests bypass the gate: they open it."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def lease(self, namespace: str) -> Lease | None:
        with api_errors(f"reading Lease {namespace}/{election.LEASE}"):
            try:
                found = await self._client.get(LeaseResource, election.LEASE, namespace=namespace)
            except httpx2.HTTPStatusError as error:
                if error.response.status_code == NOT_FOUND:
                    return None
                raise
            return election.read(found.to_dict())

    async def create_lease(self, namespace: str, part: Mapping[str, Any]) -> Lease | None:
        metadata = {
            "name": election.LEASE,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/managed-by": FIELD_MANAGER},
            **part["metadata"],
        }
        document = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": part["spec"]}
        with api_errors(f"creating Lease {namespace}/{election.LEASE}"):
            try:
                made = await self._client.create(LeaseResource(document))
            except httpx2.HTTPStatusError as error:
                if error.response.status_code in {CONFLICT, NOT_FOUND}:
                    return None
                if error.response.status_code == _FORBIDDEN and await self.is_terminating(namespace):
                    return None
                raise
            return election.read(made.to_dict())

    async def patch_lease(self, namespace: str, version: str, part: Mapping[str, Any]) -> Lease | None:
        metadata = {**part.get("metadata", {}), "resourceVersion": version}
        with api_errors(f"writing Lease {namespace}/{election.LEASE}"):
            try:
                made = await self._client.patch(
                    LeaseResource,
                    election.LEASE,
                    {**part, "metadata": metadata},
                    namespace=namespace,
                    patch_type=PatchType.MERGE,
                )
            except httpx2.HTTPStatusError as error:
                if error.response.status_code in {CONFLICT, NOT_FOUND}:
                    return None
                raise
            return election.read(made.to_dict())

    async def delete_lease(self, namespace: str, lease: Lease) -> bool:
        """Deletes the Lease; False where it is gone, or has been written since it was read."""
        found = await self.lease(namespace)
        if found is None or (found.uid, found.holder) != (lease.uid, lease.holder):
            return False
        with api_errors(f"deleting Lease {namespace}/{election.LEASE}"):
            try:
                await self._client.delete(LeaseResource, election.LEASE, namespace=namespace)
            except httpx2.HTTPStatusError as error:
                if error.response.status_code in {CONFLICT, NOT_FOUND}:
                    return False
                raise
        return True

    async def is_terminating(self, namespace: str) -> bool:
        """Whether the namespace is being deleted; False also without the right to read it."""
        with api_errors(f"reading namespace {namespace}"):
            try:
                found = (await self._client.get(Namespace, namespace)).to_dict()
            except httpx2.HTTPStatusError as error:
                if error.response.status_code in {NOT_FOUND, _FORBIDDEN}:
                    return False
                raise
        return bool(found["metadata"].get("deletionTimestamp"))

    async def tell(self, namespace: str, lease: Lease, reason: str, message: str) -> None:
        """Creates a warning Event about the Lease."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        reference = {"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "name": election.LEASE, "uid": lease.uid}
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{election.LEASE}-", "namespace": namespace},
            "involvedObject": {**reference, "namespace": namespace},
            "type": "Warning",
            "reason": reason,
            "message": message[:1024],
            "source": {"component": FIELD_MANAGER},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        with api_errors(f"telling an Event in {namespace}"):
            await self._client.create(EventResource(event))

    async def apply_conflict(self, namespace: str, name: str, message: str | None) -> None:
        """Sets the conflict condition of a rollout by server-side apply; None removes it."""
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
        with api_errors(f"writing a condition of {namespace}/{name}"):
            try:
                await self._client.patch(
                    VersionedRollout.Status,
                    name,
                    document,
                    namespace=namespace,
                    patch_type=PatchType.APPLY,
                    field_manager=FIELD_MANAGER,
                )
            except httpx2.HTTPStatusError as error:
                if error.response.status_code != NOT_FOUND:
                    raise
