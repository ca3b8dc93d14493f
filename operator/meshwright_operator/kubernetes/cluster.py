"""The operator's requests to the Kubernetes API; errors are mapped to "unreachable" or "refused".

kopf watches and keeps finalizers; the operator's own reads and writes go through this module. Objects are plain
dictionaries, so that fields of newer Kubernetes versions survive a round trip.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import httpx2
from lightkube import AsyncClient, KubeConfig
from lightkube.core.exceptions import ApiError, ConfigError
from lightkube.generic_resource import create_global_resource, create_namespaced_resource
from lightkube.types import PatchType, on_error_stop

from meshwright.errors import MeshwrightError, UnreachableError, ValidationError, Violation
from meshwright.rollout.api.vocabulary import GROUP, KIND, PLURAL

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
    from contextlib import AbstractAsyncContextManager
    from typing import Self

FIELD_MANAGER = "meshwright-operator"
"""The owner of the fields that the operator writes (`metadata.managedFields`)."""

Deployment: Any = create_namespaced_resource("apps", "v1", "Deployment", "deployments")
VersionedRollout: Any = create_namespaced_resource(GROUP, "v1alpha1", KIND, PLURAL)
LeaseResource: Any = create_namespaced_resource("coordination.k8s.io", "v1", "Lease", "leases")
Namespace: Any = create_global_resource("", "v1", "Namespace", "namespaces")
EventResource: Any = create_namespaced_resource("", "v1", "Event", "events")

NOT_FOUND = 404
CONFLICT = 409
_AWAY = frozenset({408, 429, 500, 502, 503, 504})
_TIMEOUT = httpx2.Timeout(10.0)


class ClusterError(MeshwrightError):
    """The API server refused a request."""

    def __init__(self, what: str, status: int, message: str) -> None:
        super().__init__(f"{what}: {message} (HTTP {status})")
        self.status = status


class Cluster:
    """A connection to the API server. An async context manager."""

    def __init__(self, config: KubeConfig | None = None) -> None:
        try:
            self.client = AsyncClient(config=config, timeout=_TIMEOUT, field_manager=FIELD_MANAGER)
        except ConfigError as error:
            raise ValidationError("the Kubernetes configuration", [Violation("KUBECONFIG", str(error))]) from error
        self.acting: Callable[[str], AbstractAsyncContextManager[None]] = lambda _: contextlib.nullcontext()
        """Wraps each write in a namespace: the gate of the Lease (`meshwright_operator.lease.guard`)."""

    @property
    def namespace(self) -> str:
        """The namespace of this process: the pod's, or that of the kubeconfig's context."""
        return str(self.client.namespace)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()

    @contextlib.asynccontextmanager
    async def _writing(self, namespace: str, what: str) -> AsyncIterator[None]:
        async with self.acting(namespace):
            with api_errors(what):
                yield

    async def deployments(self, namespace: str, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        """The Deployments with all these labels."""
        with api_errors(f"listing Deployments in {namespace}"):
            found = [
                item.to_dict() async for item in self.client.list(Deployment, namespace=namespace, labels=dict(labels))
            ]
        return [item for item in found if labels.items() <= (item["metadata"].get("labels") or {}).items()]

    async def deployment(self, namespace: str, name: str) -> dict[str, Any] | None:
        """The Deployment, or None."""
        with api_errors(f"reading Deployment {namespace}/{name}"):
            try:
                found: dict[str, Any] = (await self.client.get(Deployment, name, namespace=namespace)).to_dict()
            except httpx2.HTTPStatusError as error:
                if error.response.status_code == NOT_FOUND:
                    return None
                raise
            return found

    async def create_deployment(self, manifest: Mapping[str, Any]) -> None:
        """Creates the Deployment; an existing one stays unchanged."""
        metadata = manifest["metadata"]
        what = f"creating Deployment {metadata['namespace']}/{metadata['name']}"
        async with self._writing(metadata["namespace"], what):
            try:
                await self.client.create(Deployment(manifest))
            except httpx2.HTTPStatusError as error:
                if error.response.status_code != CONFLICT:
                    raise

    async def patch_deployment(self, namespace: str, name: str, patch: Mapping[str, Any]) -> bool:
        """Applies a merge patch (RFC 7396); False without such a Deployment."""
        async with self._writing(namespace, f"changing Deployment {namespace}/{name}"):
            try:
                await self.client.patch(Deployment, name, dict(patch), namespace=namespace, patch_type=PatchType.MERGE)
            except httpx2.HTTPStatusError as error:
                if error.response.status_code == NOT_FOUND:
                    return False
                raise
        return True

    async def delete_deployment(self, namespace: str, name: str) -> None:
        """Deletes the Deployment with its pods; does nothing without one."""
        async with self._writing(namespace, f"deleting Deployment {namespace}/{name}"):
            try:
                await self.client.delete(Deployment, name, namespace=namespace)
            except httpx2.HTTPStatusError as error:
                if error.response.status_code != NOT_FOUND:
                    raise

    async def rollout(self, namespace: str, name: str) -> dict[str, Any] | None:
        """The rollout, or None."""
        with api_errors(f"reading rollout {namespace}/{name}"):
            try:
                found: dict[str, Any] = (await self.client.get(VersionedRollout, name, namespace=namespace)).to_dict()
            except httpx2.HTTPStatusError as error:
                if error.response.status_code == NOT_FOUND:
                    return None
                raise
            return found

    async def rollouts(self, namespace: str) -> list[dict[str, Any]]:
        """The rollouts of a namespace; `*`: of all namespaces."""
        with api_errors("listing rollouts"):
            return [item.to_dict() async for item in self.client.list(VersionedRollout, namespace=namespace)]

    async def rollout_namespaces(self) -> AsyncGenerator[set[str]]:
        """The namespaces with rollouts, now and after each change, until the API server fails."""
        with api_errors("watching rollouts"):
            found = self.client.list(VersionedRollout, namespace="*")
            where = {(item.metadata.namespace, item.metadata.name) async for item in found}
            version = found.resourceVersion
            yield {namespace for namespace, _ in where}
            changes = self.client.watch(
                VersionedRollout, namespace="*", resource_version=version, server_timeout=60, on_error=on_error_stop
            )
            async for kind, item in changes:
                key = (item.metadata.namespace, item.metadata.name)
                if kind == "DELETED":
                    where.discard(key)
                else:
                    where.add(key)
                yield {namespace for namespace, _ in where}

    async def patch_rollout(self, namespace: str, name: str, patch: Mapping[str, Any]) -> bool:
        """Applies a merge patch (RFC 7396); False where the rollout is gone, or has changed since it was read."""
        async with self._writing(namespace, f"changing rollout {namespace}/{name}"):
            try:
                await self.client.patch(
                    VersionedRollout, name, dict(patch), namespace=namespace, patch_type=PatchType.MERGE
                )
            except httpx2.HTTPStatusError as error:
                if error.response.status_code in {NOT_FOUND, CONFLICT}:
                    return False
                raise
        return True

    async def patch_status(self, namespace: str, name: str, patch: Mapping[str, Any]) -> bool:
        """Applies a merge patch (RFC 7396) to a rollout's status; False where the rollout is gone."""
        async with self._writing(namespace, f"writing the status of {namespace}/{name}"):
            try:
                await self.client.patch(
                    VersionedRollout.Status,
                    name,
                    {"status": dict(patch)},
                    namespace=namespace,
                    patch_type=PatchType.MERGE,
                )
            except httpx2.HTTPStatusError as error:
                if error.response.status_code == NOT_FOUND:
                    return False
                raise
        return True


@contextlib.contextmanager
def api_errors(what: str) -> Iterator[None]:
    """Raises `UnreachableError` for an unavailable or busy API server, `ClusterError` for a rejected request."""
    try:
        yield
    except ApiError as error:
        code = error.response.status_code
        message = error.status.message or error.status.reason or "refused"
        if code in _AWAY:
            raise UnreachableError(f"{what}: {message} (HTTP {code})") from error
        raise ClusterError(what, code, message) from error
    except httpx2.HTTPStatusError as error:  # a response without a Kubernetes Status, perhaps from a proxy in between
        raise UnreachableError(f"{what}: HTTP {error.response.status_code}") from error
    except httpx2.HTTPError as error:
        raise UnreachableError(f"{what}: {error or type(error).__name__}") from error


def merge_patch(current: Any, wanted: Any) -> Any:
    """The merge patch (RFC 7396) that turns `current` into `wanted`: removed keys become null."""
    if not (isinstance(current, dict) and isinstance(wanted, dict)):
        return wanted
    patch = {key: None for key in current if key not in wanted}
    for key, value in wanted.items():
        if key not in current:
            patch[key] = value
        elif current[key] != value:
            patch[key] = merge_patch(current[key], value)
    return patch
