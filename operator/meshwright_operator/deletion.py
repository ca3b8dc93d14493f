"""Finalizes deleted rollouts: what the finalizer waits for, and for how long.

The versions other than the stable one end first, because without rules they would get calls. Then the Deployment of
the template gets its replicas back, the traffic rules are removed from Consul, and only then are the resource and the
versions that it owns removed. Each step may fail permanently: no room for the pods, a Consul that does not return. So
there is a deadline, after which the resource is removed anyway, with an Event that names the unfinished steps. The
removal of the traffic rules is retried for the lifetime of this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from meshwright.errors import MeshwrightError
from meshwright.rollout.api.vocabulary import OnDelete
from meshwright_operator.kubernetes import reference

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from meshwright.rollout.api.spec import Rollout
    from meshwright.rollout.reconciler import Reconciler
    from meshwright_operator.kubernetes.cluster import Cluster

log = logging.getLogger(__name__)

RETIRE_SHARE = 0.25
"""The share of the deadline for the end of versions other than the stable one."""
READY_SHARE = 0.5
"""The share of the deadline for the pods of a referenced Deployment."""
_AGAIN = 15.0

Key = tuple[str, str]


class Finalizer:
    """Finalizes deleted rollouts. `deadline` in seconds from the deletion."""

    def __init__(self, cluster: Cluster, deadline: float, *, clock: Callable[[], float] = time.time) -> None:
        self._cluster = cluster
        self.deadline = deadline
        self._clock = clock
        self._retries: dict[Key, asyncio.Task[None]] = {}

    async def finalize(
        self, reconciler: Reconciler, rollout: Rollout | None, document: Mapping[str, Any]
    ) -> tuple[str, bool]:
        """One attempt. Returns what is unfinished (empty: nothing), and whether the resource may be removed.

        `rollout` is None for an invalid one, and for one in conflict with an earlier rollout of its service.
        """
        age = self._clock() - _deleted_at(document["metadata"], self._clock())
        missing = ""
        if rollout is not None and age < self.deadline * RETIRE_SHARE:
            missing = await reconciler.retire_others()
        if rollout is not None and not missing and age < self.deadline * READY_SHARE:
            missing = await self._restore_reference(rollout)
        if not missing and not await reconciler.finalize():
            missing = "the traffic rules are still in Consul"
        return missing, not missing or age >= self.deadline

    async def _restore_reference(self, rollout: Rollout) -> str:
        if rollout.on_delete is not OnDelete.RESTORE:
            return ""
        try:
            return await reference.restore_replicas(self._cluster, rollout)
        except MeshwrightError as error:
            return str(error)

    def retry_traffic_rules(self, key: Key, reconciler: Reconciler) -> None:
        """Retries the removal of the traffic rules after the resource is gone."""
        self._retries[key] = asyncio.create_task(
            self._retry(key, reconciler), name=f"traffic rules of {key[0]}/{key[1]}"
        )

    def cancel_retry(self, key: Key) -> None:
        """Stops the retries: a rollout of that name exists again and owns the rules."""
        task = self._retries.pop(key, None)
        if task is not None:
            task.cancel()

    async def _retry(self, key: Key, reconciler: Reconciler) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            while not await reconciler.finalize():  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(_AGAIN)
            log.info("the traffic rules that %s/%s had left are out of Consul", *key)
            self._retries.pop(key, None)


def gave_up_message(document: Mapping[str, Any], missing: str, deadline: float) -> str:
    """The message of the Event for a rollout removed before it was finalized, `deadline` seconds after its deletion."""
    service = (document.get("spec") or {}).get("service", "")
    return (
        f"not done within {deadline:g} s of the deletion: {missing}; the resource is removed anyway."
        f" If Consul still has them, delete the entries of {service}: consul config delete -kind service-splitter"
        f" -name {service}, and the same with service-router and service-resolver"
    )


def _deleted_at(metadata: Mapping[str, Any], otherwise: float) -> float:
    stamp = metadata.get("deletionTimestamp")
    return datetime.fromisoformat(str(stamp)).timestamp() if stamp else otherwise
