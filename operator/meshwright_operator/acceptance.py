"""The checks of `helm test`: `python -m meshwright_operator.acceptance CHECK ...`, one for each part of a release.

Each check is repeated until it passes or times out: an install has just ended, and traces and events are delayed. It
prints one line; a failed check ends the process with the missing part.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import httpx2

from meshwright.config import ConsulConfig, load_config
from meshwright.consul import Consul
from meshwright.errors import MeshwrightError
from meshwright.rollout.api.vocabulary import API_VERSION, KIND
from meshwright_operator.kubernetes.cluster import Cluster, LeaseResource, VersionedRollout
from meshwright_operator.lease.election import LEASE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

T = TypeVar("T")

TIMEOUT = 60.0
INTERVAL = 0.5
REACH_SECONDS = 3.0
"""The timeout of a connection, after which an address counts as closed: a policy drops packets without an error."""
LEASE_SECONDS = 60.0
"""The maximum age of a renewal, after which a Lease counts as not held."""
OUTBOX = "outbox_published_events_total"
_INVALID = {400, 422}
_FORBIDDEN = 403


class MissingError(Exception):
    """A part of the release does not work."""


async def until(look: Callable[[], Awaitable[T]], patience: float) -> T:
    """Repeats `look` until it raises nothing; returns its result. Raises `MissingError` after `patience` seconds."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return await look()
        except (MissingError, httpx2.HTTPError, MeshwrightError, LookupError, TypeError, ValueError) as error:
            if time.monotonic() >= deadline:
                raise MissingError(f"after {patience:g} s: {str(error) or repr(error)}") from error
        await asyncio.sleep(INTERVAL)


def client() -> httpx2.AsyncClient:
    """An HTTP client of the checks: 10 s for a request, no proxies from the environment."""
    return httpx2.AsyncClient(timeout=10.0, trust_env=False)


async def call(options: argparse.Namespace) -> str:
    """A call through the gateway to a service, and its trace."""
    trace = os.urandom(16).hex()
    headers = {"traceparent": f"00-{trace}-{os.urandom(8).hex()}-01"}
    async with client() as http:

        async def added() -> float:
            answer = await http.post(f"{options.gateway}/api/v1/calculator/add", json={"a": 1, "b": 2}, headers=headers)
            if not answer.is_success:
                raise MissingError(f"the gateway answered {answer.status_code}: {answer.text[:200]}")
            return float(answer.json()["value"])

        result = await until(added, options.patience)
        if result != 3:  # noqa: PLR2004
            raise MissingError(f"1 + 2 is {result:g}")
        if not options.traces:
            return "1 + 2 = 3 through the gateway"

        async def whole() -> set[str]:
            found = await services_of(http, options.traces, trace)
            if not {"gateway", "calculator"} <= found:
                raise MissingError(f"trace {trace} at {options.traces} has spans of {sorted(found) or 'no service'}")
            return found

        services = ", ".join(sorted(await until(whole, options.patience)))
        return f"1 + 2 = 3 through the gateway; trace {trace} has {services}"


async def services_of(http: httpx2.AsyncClient, traces: str, trace: str) -> set[str]:
    """The services in a trace, by the API of Jaeger's second generation (`/api/v3`), or that of the first."""
    answer = await http.get(f"{traces}/api/v3/traces/{trace}")
    if answer.is_success and "json" in answer.headers.get("content-type", ""):
        spans = (answer.json().get("result") or {}).get("resourceSpans") or []
        return {
            attribute["value"]["stringValue"]
            for part in spans
            for attribute in part["resource"]["attributes"]
            if attribute["key"] == "service.name"
        }
    answer = await http.get(f"{traces}/api/traces/{trace}")
    documents = answer.json().get("data") or [] if answer.is_success else []
    return {process["serviceName"] for one in documents for process in one["processes"].values()}


async def event(options: argparse.Namespace) -> str:
    """A sign-up's event goes over NATS: to the read side where there is one, else to its stream."""
    tag = os.urandom(6).hex()
    person = {"name": "Helm Test", "email": f"helm-{tag}@example.org", "password": os.urandom(12).hex()}
    async with client() as http:
        before = 0.0 if options.views else await until(lambda: published(http), options.patience)

        async def signed_up() -> dict[str, Any]:
            answer = await http.post(f"{options.gateway}/auth/sign-up", json=person)
            if not answer.is_success:
                raise MissingError(f"signing up was answered {answer.status_code}: {answer.text[:200]}")
            location: str = answer.headers["location"]
            return {"user": location.rpartition("/")[2], **answer.json()}

        new = await until(signed_up, options.patience)
        headers = {"authorization": f"Bearer {new['access_token']}"}

        async def arrived() -> str:
            if not options.views:
                if await published(http) <= before:
                    raise MissingError(f"no instance of user has published an event: {OUTBOX} stays {before:g}")
                return "in its stream on NATS"
            answer = await http.get(f"{options.gateway}/api/v3/views/{new['user']}", headers=headers)
            if not answer.is_success:
                raise MissingError(f"the read side answered {answer.status_code}: {answer.text[:200]}")
            return "at the read side, over NATS"

        try:
            place = await until(arrived, options.patience)
        finally:
            await http.delete(f"{options.gateway}/api/v3/users/{new['user']}", headers=headers)
    return f"the event of user {new['user']} arrived {place}"


async def published(http: httpx2.AsyncClient) -> float:
    """How many events the instances of `user` have published, by their pages."""
    total = 0.0
    async with Consul(load_config(ConsulConfig)) as consul:
        found = (await consul.instances("user", passing=True)).value
    for instance in found:
        page = await http.get(f"http://{instance.address.host}:{instance.meta['metrics_port']}/metrics")
        total += sum(float(line.rpartition(" ")[2]) for line in page.text.splitlines() if line.startswith(OUTBOX))
    return total


async def registry(options: argparse.Namespace) -> str:
    """Consul has a healthy instance of each service."""
    async with Consul(load_config(ConsulConfig)) as consul:

        async def all_there() -> dict[str, int]:
            counts = {name: len((await consul.instances(name, passing=True)).value) for name in options.services}
            if lacking := [name for name, count in counts.items() if not count]:
                raise MissingError(f"Consul at {consul.address} has no passing instance of {', '.join(lacking)}")
            return counts

        counts = await until(all_there, options.patience)
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

            holders.append(f"{namespace} by {await until(held, options.patience)}")
    return "Leases held: " + ", ".join(holders)


async def policy(options: argparse.Namespace) -> str:
    """A pod that is no part of the release reaches the gateway, if anything, and nothing else."""
    if options.open:
        await until(lambda: _must_reach(options.open), options.patience)
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


CHECKS = {
    "call": call,
    "event": event,
    "registry": registry,
    "rollout": rollout,
    "lease": lease,
    "policy": policy,
}


def parser() -> argparse.ArgumentParser:
    """The command line of the checks."""
    made = argparse.ArgumentParser(prog="acceptance", description=__doc__)
    made.add_argument(
        "--patience", type=float, default=TIMEOUT, help="seconds that a check waits for what it looks for"
    )
    checks = made.add_subparsers(dest="check", required=True)
    parts = {name: checks.add_parser(name, help=check.__doc__) for name, check in CHECKS.items()}
    for name in ("call", "event"):
        parts[name].add_argument("--gateway", required=True, help="URL")
    parts["call"].add_argument("--traces", default="", help="URL of Jaeger's query API; empty: no trace is looked for")
    parts["event"].add_argument("--views", action="store_true", help="there is a read side")
    parts["registry"].add_argument("services", nargs="+")
    parts["rollout"].add_argument("--namespace", required=True)
    parts["lease"].add_argument("--holder", default="", help="what the holder's name begins with")
    parts["lease"].add_argument("namespaces", nargs="+")
    parts["policy"].add_argument("--open", default="", help="host:port that every pod must reach")
    parts["policy"].add_argument("--enforced", action="store_true", help="fail where nothing is enforced")
    parts["policy"].add_argument("closed", nargs="+", help="host:port that is for pods of the release")
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one check; exits with its failure in one line."""
    options = parser().parse_args(arguments)
    try:
        said = asyncio.run(CHECKS[options.check](options))
    except (MissingError, MeshwrightError, httpx2.HTTPError) as error:
        sys.exit(f"{options.check}: FAILED: {str(error) or repr(error)}")
    sys.stdout.write(f"{options.check}: {said}\n")


if __name__ == "__main__":
    main()
