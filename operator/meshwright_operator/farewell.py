"""The operator lets go: `python -m meshwright_operator.farewell`, which the chart runs when it is uninstalled.

kopf's finalizer on each rollout makes a deletion wait for the operator. Once there is no operator any more, it would
wait for ever, and with it the deletion of a namespace. Taking the finalizers off leaves everything else as it is: the
rollouts, the Deployments that they own, the traffic rules. An operator that is installed again goes on with them.

The operator's last pod may still be ending and put a finalizer back, so that the work is done only when several looks
in a row have found none.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING

from meshwright import logs
from meshwright.config import load
from meshwright.errors import MeshwrightError, UnreachableError
from meshwright_operator.cluster import Cluster
from meshwright_operator.config import OperatorConfig
from meshwright_operator.handlers import FINALIZER

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger(__name__)

LOOKS = 3
INTERVAL = 1.0
PATIENCE = 60.0
"""Seconds after which it gives up."""


async def release_all(cluster: Cluster, namespaces: Sequence[str], *, interval: float = INTERVAL) -> int:
    """Take the operator's finalizer off every rollout in `namespaces` (none: all); how many times it was taken off.

    Raises `UnreachableError` where the API server is away.
    """
    clean = count = 0
    while clean < LOOKS:
        taken = 0
        for namespace in namespaces or ("*",):
            for item in await cluster.rollouts(namespace):
                taken += await _release(cluster, item["metadata"])
        count += taken
        clean = 0 if taken else clean + 1
        if clean < LOOKS:
            await asyncio.sleep(interval)
    return count


async def _release(cluster: Cluster, metadata: dict[str, list[str]]) -> int:
    finalizers = metadata.get("finalizers") or []
    if FINALIZER not in finalizers:
        return 0
    left = [name for name in finalizers if name != FINALIZER]
    # With the version that was read: another finalizer that comes or goes meanwhile is not lost.
    patch = {"metadata": {"finalizers": left, "resourceVersion": metadata["resourceVersion"]}}
    return await cluster.patch_rollout(str(metadata["namespace"]), str(metadata["name"]), patch)


async def run(config: OperatorConfig) -> None:
    async with Cluster() as cluster, asyncio.timeout(PATIENCE):
        while True:
            try:
                count = await release_all(cluster, config.namespaces)
            except UnreachableError as error:
                log.warning("trying again: %s", error)
                await asyncio.sleep(INTERVAL)
            else:
                break
    log.info("let go of %d rollouts; they stay as they are", count)


def main() -> None:
    try:
        config = load(OperatorConfig)
        logs.configure("meshwright-farewell", "", "", config.log_level)
        asyncio.run(run(config))
    except TimeoutError:
        sys.exit(f"error: not done within {PATIENCE:g} s")
    except MeshwrightError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
