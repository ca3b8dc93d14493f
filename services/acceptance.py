"""The demo's checks of `helm test`, `python -m services.acceptance CHECK ...`: a call and an event by the gateway."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import httpx

from meshwright.acceptance import MissingError, run, until
from meshwright.acceptance import parser as parser_of
from meshwright.config import ConsulConfig, load_config
from meshwright.consul import Consul

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

OUTBOX = "outbox_published_events_total"


def client() -> httpx.AsyncClient:
    """An HTTP client of the checks: 10 s for a request, no proxies from the environment."""
    return httpx.AsyncClient(timeout=10.0, trust_env=False)


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

        result = await until(added, options.patience, httpx.HTTPError)
        if result != 3:  # noqa: PLR2004
            raise MissingError(f"1 + 2 is {result:g}")
        if not options.traces:
            return "1 + 2 = 3 through the gateway"

        async def whole() -> set[str]:
            found = await services_of(http, options.traces, trace)
            if not {"gateway", "calculator"} <= found:
                raise MissingError(f"trace {trace} at {options.traces} has spans of {sorted(found) or 'no service'}")
            return found

        services = ", ".join(sorted(await until(whole, options.patience, httpx.HTTPError)))
        return f"1 + 2 = 3 through the gateway; trace {trace} has {services}"


async def services_of(http: httpx.AsyncClient, traces: str, trace: str) -> set[str]:
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
        before = 0.0 if options.views else await until(lambda: published(http), options.patience, httpx.HTTPError)

        async def signed_up() -> dict[str, Any]:
            answer = await http.post(f"{options.gateway}/auth/sign-up", json=person)
            if not answer.is_success:
                raise MissingError(f"signing up was answered {answer.status_code}: {answer.text[:200]}")
            location: str = answer.headers["location"]
            return {"user": location.rpartition("/")[2], **answer.json()}

        new = await until(signed_up, options.patience, httpx.HTTPError)
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
            place = await until(arrived, options.patience, httpx.HTTPError)
        finally:
            await http.delete(f"{options.gateway}/api/v3/users/{new['user']}", headers=headers)
    return f"the event of user {new['user']} arrived {place}"


async def published(http: httpx.AsyncClient) -> float:
    """How many events the instances of `user` have published, by their pages."""
    total = 0.0
    async with Consul(load_config(ConsulConfig)) as consul:
        found = (await consul.instances("user", passing=True)).value
    for instance in found:
        page = await http.get(f"http://{instance.address.host}:{instance.meta['metrics_port']}/metrics")
        total += sum(float(line.rpartition(" ")[2]) for line in page.text.splitlines() if line.startswith(OUTBOX))
    return total


CHECKS = {"call": call, "event": event}


def parser() -> argparse.ArgumentParser:
    """The command line of these checks."""
    made, parts = parser_of(__doc__ or "", CHECKS)
    for part in parts.values():
        part.add_argument("--gateway", required=True, help="URL")
    parts["call"].add_argument("--traces", default="", help="URL of Jaeger's query API; empty: no trace is looked for")
    parts["event"].add_argument("--views", action="store_true", help="there is a read side")
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one check."""
    run(CHECKS, parser().parse_args(arguments), httpx.HTTPError)


if __name__ == "__main__":
    main()
