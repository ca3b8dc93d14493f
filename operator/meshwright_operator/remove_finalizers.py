"""Removes the operator's finalizers: `python -m meshwright_operator.remove_finalizers`, after an uninstall.

The finalizer on each rollout makes a deletion wait for the operator. Without an operator it would block forever, and
with it the deletion of a namespace. Everything else stays: the rollouts, their Deployments, the traffic rules. An
operator that is installed again continues with them.

It takes the namespace's Lease first, so that the operator's last pod, which may still be stopping, does not add the
finalizers again. A namespace with the Lease of another installation is left unchanged. At the end the Lease is deleted,
which frees the namespace.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING

from meshwright import logs
from meshwright.config import load_config
from meshwright.errors import MeshwrightError, UnreachableError
from meshwright_operator.config import OperatorConfig
from meshwright_operator.kubernetes.cluster import Cluster
from meshwright_operator.kubernetes.finalizer import FINALIZER, remove_finalizer
from meshwright_operator.lease import guard
from meshwright_operator.lease.client import LeaseClient
from meshwright_operator.lease.election import LEASE, Identity, Timing

if TYPE_CHECKING:
    from collections.abc import Iterable

log = logging.getLogger(__name__)

INTERVAL = 1.0
TIMEOUT = 45.0
"""Seconds for each namespace: a Lease that is not released expires earlier."""
_ROUNDS = 5


async def clean(cluster: Cluster, me: Identity, namespace: str, timing: Timing, timeout: float = TIMEOUT) -> int:
    """Removes the finalizers of a namespace's rollouts, if it belongs to this installation; returns their number."""
    requests = LeaseClient(cluster.client)
    lease = await guard.acquire(requests, me, namespace, timing, timeout)
    if lease is None:
        log.info("namespace %s belongs to another installation: it is left unchanged", namespace)
        return 0
    count = 0
    for _ in range(_ROUNDS):
        held = [item["metadata"] for item in await cluster.rollouts(namespace)]
        held = [metadata for metadata in held if FINALIZER in (metadata.get("finalizers") or ())]
        if not held:
            break
        for metadata in held:
            count += await remove_finalizer(cluster, metadata)
    await requests.delete_lease(namespace, lease)
    log.info("namespace %s: %d finalizers removed, the Lease %s is deleted", namespace, count, LEASE)
    return count


async def clean_all(cluster: Cluster, me: Identity, namespaces: Iterable[str], timing: Timing) -> int:
    """`clean` in all namespaces, concurrently."""
    return sum(await asyncio.gather(*(clean(cluster, me, name, timing) for name in namespaces)))


async def run(config: OperatorConfig) -> None:
    """Remove the finalizers of all rollouts, trying again while the API server is away."""
    async with Cluster() as cluster, asyncio.timeout(TIMEOUT + 10):
        me = config.identity(cluster.namespace)
        timing = Timing(config.lease_seconds)
        while True:
            try:
                count = await clean_all(cluster, me, await _namespaces(config, cluster), timing)
            except UnreachableError as error:
                log.warning("trying again: %s", error)
                await asyncio.sleep(INTERVAL)
            else:
                break
    log.info("removed the finalizers of %d rollouts, which stay unchanged", count)


async def _namespaces(config: OperatorConfig, cluster: Cluster) -> set[str]:
    found = set(config.namespaces) or {cluster.namespace}
    if config.clusterwide:
        found |= {item["metadata"]["namespace"] for item in await cluster.rollouts("*")} | {cluster.namespace}
    return found


def main() -> None:
    """Run as a Job of the chart; exits with one line where it fails."""
    try:
        config = load_config(OperatorConfig)
        logs.configure("meshwright-remove-finalizers", "", "", config.log_level)
        asyncio.run(run(config))
    except TimeoutError:
        sys.exit(f"error: not done within {TIMEOUT + 10:g} s")
    except MeshwrightError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
