"""The operator's own requests to the Kubernetes API, each with its failures sorted: away, or refused.

kopf watches and keeps finalizers; what the operator itself reads and writes goes through here. Objects are plain
dictionaries, so that fields of newer Kubernetes versions survive a round trip.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import httpx2
from lightkube import AsyncClient, KubeConfig
from lightkube.core.exceptions import ApiError, ConfigError
from lightkube.generic_resource import create_namespaced_resource
from lightkube.types import PatchType

from meshwright.errors import BadInputError, MeshwrightError, Problem, UnreachableError
from meshwright.rollout.vocabulary import GROUP, KIND, PLURAL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Self

Deployment: Any = create_namespaced_resource("apps", "v1", "Deployment", "deployments")
VersionedRollout: Any = create_namespaced_resource(GROUP, "v1alpha1", KIND, PLURAL)

_NOT_FOUND = 404
_CONFLICT = 409
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
            self._client = AsyncClient(config=config, timeout=_TIMEOUT)
        except ConfigError as error:
            raise BadInputError("the Kubernetes configuration", [Problem("KUBECONFIG", str(error))]) from error

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def deployments(self, namespace: str, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        """The Deployments that carry all these labels."""
        with _sorted_failures(f"listing Deployments in {namespace}"):
            found = [
                item.to_dict() async for item in self._client.list(Deployment, namespace=namespace, labels=dict(labels))
            ]
        return [item for item in found if labels.items() <= (item["metadata"].get("labels") or {}).items()]

    async def deployment(self, namespace: str, name: str) -> dict[str, Any] | None:
        """The Deployment, or None where there is none."""
        with _sorted_failures(f"reading Deployment {namespace}/{name}"):
            try:
                found: dict[str, Any] = (await self._client.get(Deployment, name, namespace=namespace)).to_dict()
            except httpx2.HTTPStatusError as error:
                if error.response.status_code == _NOT_FOUND:
                    return None
                raise
            return found

    async def create_deployment(self, manifest: Mapping[str, Any]) -> None:
        """Create it; one that exists already stays as it is."""
        metadata = manifest["metadata"]
        with _sorted_failures(f"creating Deployment {metadata['namespace']}/{metadata['name']}"):
            try:
                await self._client.create(Deployment(manifest))
            except httpx2.HTTPStatusError as error:
                if error.response.status_code != _CONFLICT:
                    raise

    async def patch_deployment(self, namespace: str, name: str, patch: Mapping[str, Any]) -> bool:
        """Apply a merge patch (RFC 7396); False where there is no such Deployment."""
        with _sorted_failures(f"changing Deployment {namespace}/{name}"):
            try:
                await self._client.patch(Deployment, name, dict(patch), namespace=namespace, patch_type=PatchType.MERGE)
            except httpx2.HTTPStatusError as error:
                if error.response.status_code == _NOT_FOUND:
                    return False
                raise
        return True

    async def delete_deployment(self, namespace: str, name: str) -> None:
        """Delete it with its pods; nothing where there is none."""
        with _sorted_failures(f"deleting Deployment {namespace}/{name}"):
            try:
                await self._client.delete(Deployment, name, namespace=namespace)
            except httpx2.HTTPStatusError as error:
                if error.response.status_code != _NOT_FOUND:
                    raise

    async def rollouts(self, namespace: str) -> list[dict[str, Any]]:
        """The rollouts of a namespace, or of all of them: `*`."""
        with _sorted_failures("listing rollouts"):
            return [item.to_dict() async for item in self._client.list(VersionedRollout, namespace=namespace)]

    async def patch_rollout(self, namespace: str, name: str, patch: Mapping[str, Any]) -> bool:
        """Apply a merge patch (RFC 7396); False where the rollout is gone, or is not the one that was read."""
        with _sorted_failures(f"changing rollout {namespace}/{name}"):
            try:
                await self._client.patch(
                    VersionedRollout, name, dict(patch), namespace=namespace, patch_type=PatchType.MERGE
                )
            except httpx2.HTTPStatusError as error:
                if error.response.status_code in {_NOT_FOUND, _CONFLICT}:
                    return False
                raise
        return True

    async def patch_status(self, namespace: str, name: str, patch: Mapping[str, Any]) -> bool:
        """Apply a merge patch (RFC 7396) to a rollout's status; False where the rollout is gone."""
        with _sorted_failures(f"writing the status of {namespace}/{name}"):
            try:
                await self._client.patch(
                    VersionedRollout.Status,
                    name,
                    {"status": dict(patch)},
                    namespace=namespace,
                    patch_type=PatchType.MERGE,
                )
            except httpx2.HTTPStatusError as error:
                if error.response.status_code == _NOT_FOUND:
                    return False
                raise
        return True


@contextlib.contextmanager
def _sorted_failures(what: str) -> Iterator[None]:
    """An API server that is away or busy is `UnreachableError`, one that says no is `ClusterError`."""
    try:
        yield
    except ApiError as error:
        code = error.response.status_code
        message = error.status.message or error.status.reason or "refused"
        if code in _AWAY:
            raise UnreachableError(f"{what}: {message} (HTTP {code})") from error
        raise ClusterError(what, code, message) from error
    except httpx2.HTTPStatusError as error:  # an answer without the API's own words, from a proxy in between perhaps
        raise UnreachableError(f"{what}: HTTP {error.response.status_code}") from error
    except httpx2.HTTPError as error:
        raise UnreachableError(f"{what}: {error or type(error).__name__}") from error


def merge_patch(current: Any, wanted: Any) -> Any:
    """The merge patch (RFC 7396) that turns one object into the other: what is not wanted any more becomes null."""
    if not (isinstance(current, dict) and isinstance(wanted, dict)):
        return wanted
    patch = {key: None for key in current if key not in wanted}
    for key, value in wanted.items():
        if key not in current:
            patch[key] = value
        elif current[key] != value:
            patch[key] = merge_patch(current[key], value)
    return patch
