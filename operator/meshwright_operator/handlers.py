"""kopf's handlers: route changes to the reconcilers.

Each rollout has one daemon, which runs the shared loop (`meshwright.rollout.reconciler`) while the resource exists and
its namespace is watched (`meshwright_operator.lease.namespaces`). Other events only wake that loop: a changed resource,
a changed Deployment. kopf keeps the finalizer, so that a deletion waits until the traffic rules are restored, or until
its deadline (`meshwright_operator.deletion`).

kopf's watches can stall without an error (its issues 585, 955, 957): each has a server-side timeout of a minute and a
slightly longer client-side one. The loop needs them for speed only, not for progress.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, cast

import kopf

from meshwright.errors import MeshwrightError, ValidationError
from meshwright.rollout.api import status_document
from meshwright.rollout.api.parsing import parse
from meshwright.rollout.api.vocabulary import GROUP, KIND, PLURAL, ConditionType
from meshwright.rollout.reconciler import Reconciler
from meshwright_operator.deletion import gave_up_message
from meshwright_operator.kubernetes import reference
from meshwright_operator.kubernetes.cluster import FIELD_MANAGER, merge_patch
from meshwright_operator.kubernetes.deployments import ROLLOUT_LABEL
from meshwright_operator.kubernetes.finalizer import FINALIZER
from meshwright_operator.lease.kopf_session import login

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

    from meshwright.rollout.api.spec import Rollout
    from meshwright.rollout.api.status import RolloutStatus
    from meshwright.rollout.engine import Engine
    from meshwright.rollout.metrics import RolloutMetrics
    from meshwright_operator.deletion import Finalizer
    from meshwright_operator.kubernetes.cluster import Cluster
    from meshwright_operator.kubernetes.deployments import Deployments
    from meshwright_operator.lease.namespaces import WatchedNamespaces

log = logging.getLogger(__name__)

VERSION = "v1alpha1"
WATCH_SECONDS = 60
"""Whole seconds: the API server accepts nothing else."""
_AGAIN = 2.0
_BACKOFF = 5.0
_GOODBYE = 2.0
"""Seconds for the traffic rules of a terminating namespace: Consul may be in it."""

Key = tuple[str, str]


class Handlers:
    """The handlers and their state: one reconciler for each rollout in a watched namespace."""

    def __init__(
        self,
        engine: Engine,
        cluster: Cluster,
        deployments: Deployments,
        metrics: RolloutMetrics,
        *,
        watched: WatchedNamespaces,
        finalizer: Finalizer,
        reconcilers: dict[Key, Reconciler],
    ) -> None:
        self._engine = engine
        self._cluster = cluster
        self._deployments = deployments
        self._metrics = metrics
        self._watched = watched
        self._finalizer = finalizer
        self.reconcilers = reconcilers
        self._running: dict[Key, asyncio.Task[None]] = {}
        watched.release_namespace = self.release_namespace

    def registry(self) -> kopf.OperatorRegistry:
        """The registry of all handlers."""
        registry = kopf.OperatorRegistry()
        kopf.on.startup(registry=registry)(self.configure)
        kopf.on.login(registry=registry)(login(self._acting))
        kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)(self.changed)
        kopf.daemon(GROUP, VERSION, PLURAL, registry=registry, cancellation_timeout=5.0, backoff=_BACKOFF)(
            self.run_rollout
        )
        kopf.on.delete(GROUP, VERSION, PLURAL, registry=registry, backoff=_BACKOFF)(self.deleted)
        kopf.on.event("apps", "v1", "deployments", labels={ROLLOUT_LABEL: kopf.PRESENT}, registry=registry)(
            self.deployment_changed
        )
        wishes = {reference.REPLICAS_ANNOTATION: kopf.PRESENT}
        kopf.on.event("apps", "v1", "deployments", annotations=wishes, registry=registry)(self.reference_changed)
        idled = {reference.IDLED_BY_ANNOTATION: kopf.PRESENT}
        kopf.on.event("apps", "v1", "deployments", annotations=idled, registry=registry)(self.reference_idled)
        kopf.on.event("apps", "v1", "deployments", when=self._is_referenced, registry=registry)(self.template_changed)
        return registry

    async def configure(self, settings: kopf.OperatorSettings, **_: Any) -> None:
        """Sets kopf's settings."""
        settings.persistence.finalizer = FINALIZER
        settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=f"operator.{GROUP}")
        settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=f"operator.{GROUP}")
        settings.watching.server_timeout = WATCH_SECONDS
        settings.watching.client_timeout = WATCH_SECONDS + 10
        settings.watching.connect_timeout = 5.0
        settings.networking.request_timeout = 15.0
        settings.networking.connect_timeout = 5.0
        # kopf would post its logs of each handler as Events of each rollout.
        settings.posting.loggers = False
        settings.posting.reporting_component = FIELD_MANAGER
        # `WatchedNamespaces` decides what is watched; scanning needs rights on the whole cluster.
        settings.scanning.disabled = True

    @contextlib.asynccontextmanager
    async def _acting(self, namespace: str) -> AsyncIterator[None]:
        """The Lease's gate for kopf's own writes."""
        if self._watched.is_ending(namespace):
            raise MeshwrightError(f"namespace {namespace} is being deleted: no finalizer is put there")
        async with self._cluster.acting(namespace):
            yield

    async def run_rollout(self, namespace: Any, name: str, body: Mapping[str, Any], stopped: Any, **_: Any) -> None:
        """The daemon of one rollout in this replica."""
        key = (namespace, name)

        stored: dict[str, Any] = document(body)["status"]

        async def write(status: RolloutStatus) -> bool:
            nonlocal stored
            wanted = status_document.write(status)
            wanted["conditions"] = [*wanted.get("conditions", ()), *foreign_conditions(document(body)["status"])]
            written = await self._cluster.patch_status(namespace, name, merge_patch(stored, wanted))
            stored = wanted
            return written

        self._finalizer.cancel_retry(key)
        reconciler = self._make_reconciler(document(body), write)
        self.reconcilers[key] = reconciler
        running = self._running[key] = asyncio.create_task(reconciler.run(), name=f"rollout {namespace}/{name}")
        ending = asyncio.create_task(_told_to_stop(stopped))
        try:
            await asyncio.wait({running, ending}, return_when=asyncio.FIRST_COMPLETED)
            if running.done() and not running.cancelled():
                running.result()
        finally:
            for task in (running, ending):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
            self._running.pop(key, None)
            if self.reconcilers.get(key) is reconciler and not body.get("metadata", {}).get("deletionTimestamp"):
                del self.reconcilers[key]

    def _make_reconciler(self, given: dict[str, Any], write: Callable[[RolloutStatus], Awaitable[bool]]) -> Reconciler:
        return Reconciler(self._engine, given, write, self._metrics, after_pass=self._idle_reference, read=self._read)

    def _read(self, given: Mapping[str, Any]) -> Rollout:
        """Parses the rollout. Raises `ServiceConflictError` where an earlier one has its service."""
        rollout = parse(given)
        self._watched.check(given)
        return rollout

    async def changed(self, type: Any, namespace: Any, name: str, body: Mapping[str, Any], **_: Any) -> None:  # noqa: A002 - kopf's name
        """The resource changed."""
        reconciler = self.reconcilers.get((namespace, name))
        if reconciler is not None:
            reconciler.update(document(body))
        for other in self._watched.note(document(body), is_gone=type == "DELETED"):
            if other in self.reconcilers:
                self.reconcilers[other].wake()

    async def deployment_changed(self, namespace: Any, labels: Mapping[str, str], **_: Any) -> None:
        """A version's Deployment changed: its pods, a write of the operator, or drift."""
        reconciler = self.reconcilers.get((namespace, labels[ROLLOUT_LABEL]))
        if reconciler is not None:
            reconciler.wake()

    async def reference_changed(self, namespace: Any, name: str, body: Mapping[str, Any], **_: Any) -> None:
        """A Deployment with a requested number of replicas changed."""
        patch = reference.replicas_patch(body)
        if patch is not None and not body["metadata"].get("deletionTimestamp"):
            with _logged(f"Deployment {namespace}/{name}"):
                await self._cluster.patch_deployment(namespace, name, patch)

    async def reference_idled(self, namespace: Any, name: str, body: Mapping[str, Any], **_: Any) -> None:
        """A Deployment idled for a rollout changed: it gets its replicas back where that rollout is gone."""
        rollout = reference.idled_by(body)
        if (namespace, rollout) in self.reconcilers or body["metadata"].get("deletionTimestamp"):
            return
        with _logged(f"Deployment {namespace}/{name}"):
            if await self._cluster.rollout(namespace, rollout) is None:
                await self._cluster.patch_deployment(namespace, name, reference.restore_patch(body))

    def _is_referenced(self, namespace: Any, name: str, **_: Any) -> bool:
        return any(True for _ in self._referring(namespace, name))

    def _referring(self, namespace: Any, deployment: str) -> Iterator[Reconciler]:
        """The rollouts that refer to that Deployment."""
        for (where, _), reconciler in self.reconcilers.items():
            named = ((reconciler.document.get("spec") or {}).get("workloadRef") or {}).get("name")
            if where == namespace and named == deployment:
                yield reconciler

    async def template_changed(self, namespace: Any, name: str, **_: Any) -> None:
        """A referenced Deployment changed, was created, or deleted."""
        for reconciler in self._referring(namespace, name):
            reconciler.wake()

    async def deleted(self, namespace: Any, name: str, body: Mapping[str, Any], **_: Any) -> None:
        """Restores the traffic rules before the resource and its Deployments are removed; up to the deadline."""
        key = (namespace, name)

        async def write(_: RolloutStatus) -> bool:
            return False

        reconciler = self.reconcilers.get(key) or self._make_reconciler(document(body), write)
        try:
            rollout = self._read(document(body))
        except ValidationError:
            rollout = None
        missing, may_go = await self._finalizer.finalize(reconciler, rollout, document(body))
        if not may_go:
            raise kopf.TemporaryError(missing, delay=_AGAIN)
        if missing:
            message = gave_up_message(document(body), missing, self._finalizer.deadline)
            log.error("%s/%s: %s", namespace, name, message)
            kopf.event(cast("kopf.Body", body), type="Warning", reason="FinalizerGaveUp", message=message)
            self._finalizer.retry_traffic_rules(key, reconciler)
        self.reconcilers.pop(key, None)

    def stop(self) -> None:
        """Stops all reconcilers at once, after the loss of a Lease. kopf ends the daemons."""
        for running in self._running.values():
            running.cancel()

    async def release_namespace(self, namespace: str) -> None:
        """Stops the reconcilers of a terminating namespace, and cleans up in Consul if it answers."""
        mine = {key: reconciler for key, reconciler in self.reconcilers.items() if key[0] == namespace}
        for key in mine:
            if key in self._running:
                self._running[key].cancel()
            self.reconcilers.pop(key, None)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE):
                await asyncio.gather(*(reconciler.finalize() for reconciler in mine.values()))

    async def _idle_reference(self, rollout: Rollout, status: RolloutStatus) -> None:
        """Scales the referenced Deployment to 0 once a version of the rollout serves."""
        if rollout.workload_ref is None or not status.stable:
            return
        # Healthy instances of that version may belong to the referenced Deployment: count the rollout's own pods.
        mine = (await self._deployments.observe(rollout)).get(status.stable)
        if mine is not None and mine.running >= rollout.replicas:
            await self._deployments.idle_reference(rollout)


async def _told_to_stop(stopped: Any) -> None:
    """Waits for kopf's flag, which is awaitable but no coroutine."""
    await stopped.wait()


def document(body: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of kopf's live view of the resource, reduced to the parts that the operator uses."""
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


def foreign_conditions(status: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The conditions of other writers, which are kept in each write."""
    ours = set(ConditionType)
    return [one for one in status.get("conditions") or () if one.get("type") not in ours]


@contextlib.contextmanager
def _logged(what: str) -> Iterator[None]:
    """Logs errors; the next event retries."""
    try:
        yield
    except MeshwrightError as error:
        log.warning("%s: %s", what, error)
