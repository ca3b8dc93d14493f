"""kopf's side of the operator: which changes reach which rollout.

Each rollout has one daemon, which runs the shared loop (`meshwright.rollout.following`) for as long as the resource
lives and this replica is the one that works. Everything else only wakes that loop: a changed resource, a changed
Deployment. kopf keeps the finalizer, so that a deletion waits until the traffic rules are restored.

kopf's watches can fall silent without an error (its issues 585, 955, 957): the server is told to end each after a
minute, and the client gives up a little later whatever happens. The loop needs them for speed only, not for progress.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

import kopf

from meshwright.rollout import statusjson
from meshwright.rollout.following import Follower
from meshwright.rollout.vocabulary import GROUP, KIND, PLURAL
from meshwright_operator.cluster import merge_patch
from meshwright_operator.deployments import ROLLOUT_LABEL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshwright.rollout.engine import Engine
    from meshwright.rollout.figures import Figures
    from meshwright.rollout.spec import Rollout
    from meshwright.rollout.status import Status
    from meshwright_operator.cluster import Cluster
    from meshwright_operator.deployments import Deployments

log = logging.getLogger(__name__)

VERSION = "v1alpha1"
FINALIZER = f"{GROUP}/operator"
"""What makes the deletion of a rollout wait until its traffic rules are restored."""
WATCH_SECONDS = 60
"""Whole seconds: the API server reads nothing else."""
PEERING_SECONDS = 15
_AGAIN = 5.0

Key = tuple[str, str]


class Handlers:
    """The handlers' common state: one follower for each rollout that this replica looks after."""

    def __init__(
        self,
        engine: Engine,
        cluster: Cluster,
        deployments: Deployments,
        figures: Figures,
        *,
        clusterwide: bool = True,
    ) -> None:
        self._engine = engine
        self._cluster = cluster
        self._deployments = deployments
        self._figures = figures
        self._clusterwide = clusterwide
        self.followers: dict[Key, Follower] = {}

    def registry(self) -> kopf.OperatorRegistry:
        """All handlers, to run an operator with."""
        registry = kopf.OperatorRegistry()
        kopf.on.startup(registry=registry)(self.configure)
        kopf.on.login(registry=registry)(login)
        kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)(self.changed)
        kopf.daemon(GROUP, VERSION, PLURAL, registry=registry, cancellation_timeout=5.0, backoff=_AGAIN)(self.follow)
        kopf.on.delete(GROUP, VERSION, PLURAL, registry=registry, backoff=_AGAIN)(self.deleted)
        kopf.on.event("apps", "v1", "deployments", labels={ROLLOUT_LABEL: kopf.PRESENT}, registry=registry)(
            self.deployment_changed
        )
        return registry

    async def configure(self, settings: kopf.OperatorSettings, **_: Any) -> None:
        """kopf's own settings."""
        settings.persistence.finalizer = FINALIZER
        settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=f"operator.{GROUP}")
        settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=f"operator.{GROUP}")
        settings.watching.server_timeout = WATCH_SECONDS
        settings.watching.client_timeout = WATCH_SECONDS + 10
        settings.watching.connect_timeout = 5.0
        settings.networking.request_timeout = 15.0
        settings.networking.connect_timeout = 5.0
        # A replica that died stands in the way of the next no longer than this.
        settings.peering.lifetime = PEERING_SECONDS
        # Its own logs of each handler would be events of each rollout.
        settings.posting.loggers = False
        # Looking for new namespaces and definitions takes rights on the whole cluster; without them kopf would ask for
        # most of a minute before it goes on.
        settings.scanning.disabled = not self._clusterwide

    async def follow(self, namespace: Any, name: str, body: Mapping[str, Any], stopped: Any, **_: Any) -> None:
        """The life of one rollout in this replica."""
        key = (namespace, name)

        stored: dict[str, Any] = document(body)["status"]

        async def write(status: Status) -> bool:
            nonlocal stored
            wanted = statusjson.write(status)
            written = await self._cluster.patch_status(namespace, name, merge_patch(stored, wanted))
            stored = wanted
            return written

        follower = Follower(self._engine, document(body), write, self._figures, also=self._idle_reference)
        self.followers[key] = follower
        running = asyncio.create_task(follower.run(), name=f"rollout {namespace}/{name}")
        ending = asyncio.create_task(_told_to_stop(stopped))
        try:
            await asyncio.wait({running, ending}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
        finally:
            for task in (running, ending):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
            if self.followers.get(key) is follower and not body.get("metadata", {}).get("deletionTimestamp"):
                del self.followers[key]

    async def changed(self, namespace: Any, name: str, body: Mapping[str, Any], **_: Any) -> None:
        """The resource is not what it was."""
        follower = self.followers.get((namespace, name))
        if follower is not None:
            follower.offer(document(body))

    async def deployment_changed(self, namespace: Any, labels: Mapping[str, str], **_: Any) -> None:
        """A version's Deployment was changed, by its pods, by us, or by somebody who should not have."""
        follower = self.followers.get((namespace, labels[ROLLOUT_LABEL]))
        if follower is not None:
            follower.wake()

    async def deleted(self, namespace: Any, name: str, body: Mapping[str, Any], **_: Any) -> None:
        """Restore the traffic rules before the resource, and with it the Deployments, goes."""
        key = (namespace, name)

        async def write(_: Status) -> bool:
            return False

        follower = self.followers.get(key) or Follower(self._engine, document(body), write, self._figures)
        if not await follower.leave():
            raise kopf.TemporaryError("the traffic rules could not be restored yet", delay=_AGAIN)
        self.followers.pop(key, None)

    async def _idle_reference(self, rollout: Rollout, status: Status) -> None:
        """Once a version of ours serves, the Deployment that the template came from has nothing to do any more."""
        if rollout.workload_ref is None or not status.stable:
            return
        # Healthy instances of that version may be the reference's own: only pods of ours count here.
        mine = (await self._deployments.observe(rollout)).get(status.stable)
        if mine is not None and mine.running >= rollout.replicas:
            await self._deployments.idle_reference(rollout)


async def _told_to_stop(stopped: Any) -> None:
    """kopf's flag can be awaited, and is no coroutine."""
    await stopped.wait()


def document(body: Mapping[str, Any]) -> dict[str, Any]:
    """kopf's live view of the resource as a document of its own, without what the API server keeps for itself."""
    return {
        "apiVersion": body["apiVersion"],
        "kind": body.get("kind") or KIND,
        "metadata": dict(body["metadata"]),
        "spec": _plain(body.get("spec") or {}),
        "status": _plain(body.get("status") or {}),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, str | bytes):
        return value
    if hasattr(value, "items"):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


async def login(**given: Any) -> kopf.ConnectionInfo | None:
    """The pod's service account where there is one, else the kubeconfig: as `kubectl` does."""
    return kopf.login_with_service_account(**given) or kopf.login_with_kubeconfig(**given)
