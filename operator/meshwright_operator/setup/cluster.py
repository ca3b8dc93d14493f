"""The setup Job's requests to the Kubernetes API: named Secrets and StatefulSets, and one claim as a dry run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2
from lightkube import AsyncClient, KubeConfig
from lightkube.core.exceptions import ConfigError
from lightkube.generic_resource import create_namespaced_resource
from lightkube.types import PatchType

from meshwright.errors import ValidationError, Violation
from meshwright_operator.kubernetes.cluster import api_errors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

Secret: Any = create_namespaced_resource("", "v1", "Secret", "secrets")
StatefulSet: Any = create_namespaced_resource("apps", "v1", "StatefulSet", "statefulsets")
Claim: Any = create_namespaced_resource("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")

_FIELD_MANAGER = "meshwright-setup"
_NOT_FOUND = 404
_CONFLICT = 409
_TIMEOUT = httpx2.Timeout(10.0)
_CLAIM = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"generateName": "meshwright-setup-"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
}


class SetupCluster:
    """A connection to the API server, for the namespace of this pod. An async context manager.

    Raises `UnreachableError` for an unavailable API server, `ClusterError` for a rejected request.
    """

    def __init__(self, config: KubeConfig | None = None) -> None:
        try:
            self._client = AsyncClient(config=config, timeout=_TIMEOUT, field_manager=_FIELD_MANAGER)
            # Dry runs only: the API server returns the object that it would store.
            self._trial = AsyncClient(config=config, timeout=_TIMEOUT, dry_run=True)
        except ConfigError as error:
            raise ValidationError("the Kubernetes configuration", [Violation("KUBECONFIG", str(error))]) from error

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()
        await self._trial.close()

    async def secret(self, name: str) -> dict[str, Any] | None:
        with api_errors(f"reading Secret {name}"):
            return await self._read(Secret, name)

    async def create_secret(self, manifest: Mapping[str, Any]) -> bool:
        """False where a Secret of that name exists."""
        with api_errors(f"creating Secret {manifest['metadata']['name']}"):
            try:
                await self._client.create(Secret(manifest))
            except httpx2.HTTPStatusError as error:
                if error.response.status_code != _CONFLICT:
                    raise
                return False
        return True

    async def patch_secret(self, name: str, patch: Mapping[str, Any]) -> bool:
        """Applies a merge patch (RFC 7396); False where the Secret is gone, or has changed since it was read."""
        with api_errors(f"changing Secret {name}"):
            try:
                await self._client.patch(Secret, name, dict(patch), patch_type=PatchType.MERGE)
            except httpx2.HTTPStatusError as error:
                if error.response.status_code not in {_NOT_FOUND, _CONFLICT}:
                    raise
                return False
        return True

    async def stateful_set(self, name: str) -> dict[str, Any] | None:
        with api_errors(f"reading StatefulSet {name}"):
            return await self._read(StatefulSet, name)

    async def has_default_class(self, why: str) -> bool:
        """Whether a claim without a StorageClass gets one: admission adds the default one in a dry run."""
        with api_errors(f"looking for a default StorageClass for {why}"):
            made: dict[str, Any] = (await self._trial.create(Claim(_CLAIM))).to_dict()
        return bool(made["spec"].get("storageClassName"))

    async def _read(self, kind: Any, name: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = (await self._client.get(kind, name)).to_dict()
        except httpx2.HTTPStatusError as error:
            if error.response.status_code == _NOT_FOUND:
                return None
            raise
        return found
