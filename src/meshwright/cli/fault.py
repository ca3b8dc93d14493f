"""`meshwright fault set | clear | list`."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import click

from meshwright.cli import output
from meshwright.cli.options import json_option, pairs, topology_option
from meshwright.local.mesh import endpoints, faults
from meshwright.name_suggestions import NoSuchNameError

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.group()
def fault() -> None:
    """Set and clear faults: aborts and delays that callers of a service meet.

    They are part of the policy document meshwright/policy/SERVICE in Consul; the rest of it stays as it is.
    """


@fault.command("set")
@click.argument("service")
@click.option("--abort", metavar="STATUS", help="End calls with this gRPC status: UNAVAILABLE, or 14.")
@click.option("--delay", metavar="DURATION", help="Hold calls back this long: 200ms, 1.5s.")
@click.option("--percent", type=click.FloatRange(0, 100), help="For this share of calls; default: all.")
@click.option("--header", "headers", multiple=True, metavar="NAME=VALUE", help="Only for calls with this metadata.")
@topology_option
def set_(
    *, service: str, abort: str | None, delay: str | None, percent: float | None, headers: Sequence[str], topology: str
) -> None:
    """Set a fault for the callers of SERVICE, instead of one that is set for the same calls."""
    new = faults.fault(abort, delay, percent, pairs(headers, "--header"))
    name = asyncio.run(_edit(topology, service, lambda document: faults.with_fault(document, new)))
    click.echo(f"{name}: {_sentence(new)}")


@fault.command()
@click.argument("service")
@topology_option
def clear(service: str, topology: str) -> None:
    """Clear all faults of SERVICE."""
    name = asyncio.run(_edit(topology, service, faults.without_faults))
    click.echo(f"{name}: no faults")


@fault.command("list")
@topology_option
@json_option
def list_(topology: str, as_json: bool) -> None:
    """List the faults of all services."""
    found = {
        service: document["faults"]
        for service, document in asyncio.run(_documents(topology)).items()
        if document.get("faults")
    }
    if as_json:
        output.as_json(found)
    elif not found:
        click.echo("no faults are set")
    for service, entries in {} if as_json else found.items():
        for entry in entries:
            click.echo(f"{service}: {_sentence(entry)}")


async def _edit(topology: str, service: str, change: Any) -> str:
    """Change the document of a service; returns its name as it is registered."""
    async with endpoints.open_consul(endpoints.locate(topology)) as consul:
        try:
            service = await endpoints.resolve_service(consul, service)
        except NoSuchNameError:
            if await faults.document(consul, service) is None:  # what is written already can be changed all the same
                raise
        await faults.edit(consul, service, change)
        return service


async def _documents(topology: str) -> dict[str, faults.Document]:
    async with endpoints.open_consul(endpoints.locate(topology)) as consul:
        return await faults.documents(consul)


def _sentence(entry: dict[str, Any]) -> str:
    """A fault in words."""
    parts = []
    if abort := entry.get("abort"):
        parts.append(f"{abort.get('percentage', 100):g} % of calls end with {abort['status']}")
    if delay := entry.get("delay"):
        parts.append(f"{delay.get('percentage', 100):g} % of calls wait {delay['duration']}")
    conditions = [_condition(header) for header in entry.get("headers", ())]
    return " and ".join(parts) + (f", where {' and '.join(conditions)}" if conditions else "")


def _condition(header: dict[str, Any]) -> str:
    if "exact" in header and not header.get("invert"):
        return f"{header['name']} is {header['exact']}"
    return json.dumps(header)
