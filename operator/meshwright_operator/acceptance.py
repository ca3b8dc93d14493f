"""The checks of `helm test` of the mesh: `python -m meshwright_operator.acceptance CHECK ...`, one for each part.

Of the registry, the API server's rollouts, the operator's Leases, and network policies. The demo has checks of its own.
"""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx2

from meshwright.acceptance import MissingError, run, until
from meshwright.acceptance import parser as parser_of
from meshwright.config import ConsulConfig, load_config
from meshwright.consul import Consul
from meshwright.rollout.api.vocabulary import API_VERSION, KIND
from meshwright_operator.kubernetes.cluster import Cluster, LeaseResource, VersionedRollout
from meshwright_operator.lease.election import LEASE

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

REACH_SECONDS = 3.0
"""The timeout of a connection, after which an address counts as closed: a policy drops packets without an error."""
LEASE_SECONDS = 60.0
"""The maximum age of a renewal, after which a Lease counts as not held."""
_INVALID = {400, 422}


async def registry(options: argparse.Namespace) -> str:
    """Consul has a healthy instance of each service."""
    async with Consul(load_config(ConsulConfig)) as consul:

        async def all_there() -> dict[str, int]:
            counts = {name: len((await consul.instances(name, passing=True)).value) for name in options.services}
            if lacking := [name for name, count in counts.items() if not count]:
                raise MissingError(f"Consul at {consul.address} has no passing instance of {', '.join(lacking)}")
            return counts

        counts = await until(all_there, options.patience, httpx2.HTTPError)
    return "Consul has " + ", ".join(f"{count} {name}" for name, count in counts.items())


async def rollout(options: argparse.Namespace) -> str:
    """The API server takes a rollout, and refuses a wrong one; both as a dry run."""
    good = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": f"helm-test-{os.urandom(4).hex()}", "namespace": options.namespace},
        "spec": {
            "service": "helm-test",
            "version": "1.0.0",
            "replicas": 1,
            "template": {"spec": {"containers": [{"name": "main", "image": "none"}]}},
            "strategy": {"canary": {"steps": [{"setWeight": 50}, {"pause": {"duration": "10s"}}]}},
        },
    }
    wrong = {**good, "spec": {**good["spec"], "replicas": "three"}}  # type: ignore[dict-item]
    async with Cluster() as cluster:
        try:
            await cluster.client.create(VersionedRollout(good), dry_run=True)
        except httpx2.HTTPStatusError as error:
            raise MissingError(f"a rollout is refused: {error.response.status_code} {error}") from error
        try:
            await cluster.client.create(VersionedRollout(wrong), dry_run=True)
        except httpx2.HTTPStatusError as error:
            if error.response.status_code not in _INVALID or "spec.replicas" not in str(error):
                raise MissingError(f"replicas: three is refused without its field: {error}") from error
        else:
            raise MissingError("a rollout with `replicas: three` is accepted: is the CRD another one?")
    return f"a rollout is accepted in {options.namespace}, one with `replicas: three` refused (dry runs)"


async def lease(options: argparse.Namespace) -> str:
    """The operator holds the Lease of each namespace, and renews it."""
    holders = []
    async with Cluster() as cluster:
        for namespace in options.namespaces:

            async def held(namespace: str = namespace) -> str:
                try:
                    found = (await cluster.client.get(LeaseResource, LEASE, namespace=namespace)).to_dict()
                except httpx2.HTTPStatusError as error:
                    raise MissingError(f"the Lease {namespace}/{LEASE}: {error}") from error
                spec = found.get("spec") or {}
                holder, renewed = str(spec.get("holderIdentity") or ""), str(spec.get("renewTime") or "")
                if not holder.startswith(options.holder):
                    raise MissingError(f"the Lease {namespace}/{LEASE} is held by {holder or 'no holder'}")
                age = (datetime.now(UTC) - datetime.fromisoformat(renewed)).total_seconds()
                if age > LEASE_SECONDS:
                    raise MissingError(f"the Lease {namespace}/{LEASE} of {holder} was renewed {age:.0f} s ago")
                return holder

            holders.append(f"{namespace} by {await until(held, options.patience, httpx2.HTTPError)}")
    return "Leases held: " + ", ".join(holders)


async def policy(options: argparse.Namespace) -> str:
    """A pod that is no part of the release reaches the gateway, if anything, and nothing else."""
    if options.open:
        await until(lambda: _must_reach(options.open), options.patience, httpx2.HTTPError)
    reached = [address for address in options.closed if await reaches(address)]
    if reached == options.closed and not options.enforced:
        return (
            f"NOT ENFORCED: a pod of another label reaches {', '.join(reached)}. The cluster's network plugin does not "
            "enforce policies, or they are not there"
        )
    if reached:
        raise MissingError(f"a pod of another label reaches {', '.join(reached)}, and should not")
    return f"a pod of another label does not reach {', '.join(options.closed)}"


async def _must_reach(address: str) -> None:
    if not await reaches(address):
        raise MissingError(f"{address} cannot be reached; every pod must reach it")


async def reaches(address: str) -> bool:
    """Whether a TCP connection opens."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(REACH_SECONDS):
            _, writer = await asyncio.open_connection(host, int(port))
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


CHECKS = {"registry": registry, "rollout": rollout, "lease": lease, "policy": policy}


def parser() -> argparse.ArgumentParser:
    """The command line of these checks."""
    made, parts = parser_of(__doc__ or "", CHECKS)
    parts["registry"].add_argument("services", nargs="+")
    parts["rollout"].add_argument("--namespace", required=True)
    parts["lease"].add_argument("--holder", default="", help="what the holder's name begins with")
    parts["lease"].add_argument("namespaces", nargs="+")
    parts["policy"].add_argument("--open", default="", help="host:port that any pod may reach")
    parts["policy"].add_argument("--enforced", action="store_true", help="fail where nothing is enforced")
    parts["policy"].add_argument("closed", nargs="+", help="host:port that is for pods of the release")
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one check."""
    run(CHECKS, parser().parse_args(arguments), httpx2.HTTPError)


if __name__ == "__main__":
    main()
