"""`meshwright xds dump | watch`: what a client of a service receives from the control plane."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict

import click

from meshwright.cli import output
from meshwright.cli.options import json_option, topology_option
from meshwright.controlplane import inspect
from meshwright.errors import BadInputError, Problem
from meshwright.local import mesh
from meshwright.model import Address

address_option = click.option("-a", "--address", metavar="HOST:PORT", help="The control plane; default: the mesh's.")
_SIGNS = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}


@click.group()
def xds() -> None:
    """Show the xDS resources that a client of a service receives."""


@xds.command()
@click.argument("service")
@address_option
@topology_option
@json_option
def dump(service: str, address: str | None, topology: str, as_json: bool) -> None:
    """Print the listener, routes, clusters and endpoints of SERVICE, as they are now."""
    found = asyncio.run(inspect.dump(_address(address, topology), service))
    if as_json:
        output.as_json(asdict(found))
        return
    if not found.known:
        click.echo(f"The mesh knows no service {service}: calls to it fail at once.", err=True)
    for resource in found.resources:
        click.secho(f"{resource.type} {resource.name}", bold=True)
        click.echo(resource.text)


@xds.command()
@click.argument("service")
@address_option
@topology_option
@json_option
def watch(service: str, address: str | None, topology: str, as_json: bool) -> None:
    """Print the resources of SERVICE, and then each change as it is pushed, until Ctrl-C."""
    asyncio.run(_watch(_address(address, topology), service, as_json=as_json))


async def _watch(address: Address, service: str, *, as_json: bool) -> None:
    async for change in inspect.watch(address, service):
        if as_json:
            click.echo(json.dumps(asdict(change)))
            continue
        sign, colour = _SIGNS[change.what]
        click.secho(f"{sign} {change.type} {change.name}", fg=colour, bold=True)
        for line in change.diff:
            click.secho(f"  {line}", fg={"+": "green", "-": "red"}.get(line[:1]))


def _address(text: str | None, topology: str) -> Address:
    if text is None:
        return mesh.locate(topology).control_plane
    try:
        return Address.parse(text)
    except ValueError as error:
        raise BadInputError("the command", [Problem(f"--address {text}", str(error))]) from None
