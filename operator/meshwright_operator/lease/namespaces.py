"""The watched namespaces: kopf's watches follow the Leases; detects conflicts of rollouts over a service.

kopf watches the namespaces in its `Insights`, and adds finalizers and annotations to the objects there. So a namespace
is among them exactly while its Lease is held (`meshwright_operator.lease.guard`); kopf's own scanning is disabled.

Of two rollouts of one service only the first is reconciled: the older one, by `creationTimestamp`, and of two with the
same second the one whose `namespace/name` sorts first.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, cast

from kopf._cogs.structs import references

from meshwright.errors import MeshwrightError, ValidationError, Violation
from meshwright.model import folded
from meshwright.rollout.api.vocabulary import KIND, Reason
from meshwright_operator.kubernetes.finalizer import remove_finalizer
from meshwright_operator.lease import guard as guarding
from meshwright_operator.lease.client import CONFLICT_CONDITION

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from meshwright_operator.kubernetes.cluster import Cluster
    from meshwright_operator.lease.client import LeaseClient
    from meshwright_operator.lease.election import Lease
    from meshwright_operator.lease.guard import Guard

log = logging.getLogger(__name__)

Key = tuple[str, str]
_LOOK = 10.0
"""Seconds between two listings of rollouts in a namespace of another installation."""


class ServiceConflictError(ValidationError):
    """An earlier rollout has the same service."""

    reason = Reason.SERVICE_CONFLICT.value


class WatchedNamespaces:
    """`meshwright_operator.lease.guard.LeaseCallbacks`, and an index of the rollouts in the watched namespaces."""

    def __init__(self, cluster: Cluster, requests: LeaseClient, guard: Guard) -> None:
        self.insights = references.Insights()
        self.release_namespace: Callable[[str], Awaitable[None]] = _nothing
        """Stops the reconcilers of a terminating namespace."""
        self.started = asyncio.Event()
        """Set once the first namespace is watched."""
        self._cluster = cluster
        self._requests = requests
        self._guard = guard
        self._known: dict[Key, dict[str, Any]] = {}
        self._ending: set[str] = set()
        self._told: dict[str, str] = {}
        self._looked: dict[str, float] = {}
        self._marked: set[str] = set()

    def is_ending(self, namespace: str) -> bool:
        """Whether the namespace is being deleted: kopf must not add its finalizer again."""
        return namespace in self._ending

    @property
    def known(self) -> set[Key]:
        """The rollouts in the watched namespaces."""
        return set(self._known)

    def note(self, document: Mapping[str, Any], *, is_gone: bool) -> list[Key]:
        """Updates the index; returns the other rollouts of the service, which may have to be reconciled."""
        metadata = document["metadata"]
        key = metadata["namespace"], metadata["name"]
        before = self._known.pop(key, None)
        if not is_gone:
            self._known[key] = _short(document)
        services = {_service(one) for one in (before, document) if one is not None}
        is_news = is_gone or before is None or _service(before) != _service(document)
        return [other for other, one in self._known.items() if is_news and other != key and _service(one) in services]

    def check(self, document: Mapping[str, Any]) -> None:
        """Raises `ServiceConflictError` where an earlier rollout has the same service."""
        mine = _rank(document)
        rivals = [one for one in self._known.values() if _service(one) == _service(document)]
        first = min(rivals, key=_rank, default=None)
        if first is None or _rank(first) >= mine:
            return
        (created, namespace, name), (_, _, own) = _rank(first), mine
        text = (
            f"{document['spec']['service']} is already rolled out by {namespace}/{name}, created at {created}: this"
            f" rollout does nothing; delete one of the two"
        )
        raise ServiceConflictError(f"{KIND} {own}", [Violation("spec.service", text)])

    async def on_held(self, namespace: str) -> None:
        found = await self._cluster.rollouts(namespace)
        for document in found:
            self.note(document, is_gone=False)
            if CONFLICT_CONDITION in _conditions(document):
                await self._requests.apply_conflict(namespace, document["metadata"]["name"], None)
        self._ending.discard(namespace)
        self._told.pop(namespace, None)
        await self._watch(namespace, is_watched=True)
        self.started.set()

    async def on_refused(self, namespace: str, lease: Lease) -> None:
        message = guarding.refusal(namespace, lease, self._guard.me)
        if self._told.get(namespace) != lease.installation:
            self._told[namespace] = lease.installation
            await self._requests.tell(namespace, lease, "SecondOperatorRefused", message)
        if time.monotonic() - self._looked.get(namespace, -_LOOK) < _LOOK:
            return
        self._looked[namespace] = time.monotonic()
        for document in await self._cluster.rollouts(namespace):
            metadata = document["metadata"]
            if metadata["uid"] not in self._marked and CONFLICT_CONDITION not in _conditions(document):
                await self._requests.apply_conflict(namespace, metadata["name"], message)
            self._marked.add(metadata["uid"])

    async def on_terminating(self, namespace: str) -> None:
        self._ending.add(namespace)
        await self._watch(namespace, is_watched=False)
        for document in await self._cluster.rollouts(namespace):
            await remove_finalizer(self._cluster, document["metadata"])
        await self.release_namespace(namespace)
        self._forget(namespace)

    async def on_left(self, namespace: str) -> None:
        await self._watch(namespace, is_watched=False)
        self._forget(namespace)

    async def withdraw_conditions(self) -> None:
        """Removes this operator's conflict conditions, at its end."""
        for namespace in self._told:
            try:
                for document in await self._cluster.rollouts(namespace):
                    if document["metadata"]["uid"] in self._marked:
                        await self._requests.apply_conflict(namespace, document["metadata"]["name"], None)
            except MeshwrightError as error:
                log.warning("a condition %s is left in namespace %s: %s", CONFLICT_CONDITION, namespace, error)

    async def _watch(self, namespace: str, *, is_watched: bool) -> None:
        name = cast("references.NamespaceName", namespace)
        async with self.insights.revised:
            if is_watched:
                self.insights.namespaces.add(name)
            else:
                self.insights.namespaces.discard(name)
            self.insights.revised.notify_all()

    def _forget(self, namespace: str) -> None:
        for key in [key for key in self._known if key[0] == namespace]:
            del self._known[key]


async def _nothing(_: str) -> None:
    await asyncio.sleep(0)


def _short(document: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {name: document["metadata"].get(name) for name in ("creationTimestamp", "namespace", "name")}
    return {"metadata": metadata, "spec": {"service": (document.get("spec") or {}).get("service", "")}}


def _service(document: Mapping[str, Any]) -> str:
    return folded(str((document.get("spec") or {}).get("service", "")))


def _rank(document: Mapping[str, Any]) -> tuple[str, str, str]:
    metadata = document["metadata"]
    return str(metadata.get("creationTimestamp") or ""), str(metadata["namespace"]), str(metadata["name"])


def _conditions(document: Mapping[str, Any]) -> set[str]:
    return {one.get("type", "") for one in (document.get("status") or {}).get("conditions") or ()}
