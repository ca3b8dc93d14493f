"""`meshwright xds dump | watch`: what a client of a service receives from the control plane."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import click

from meshwright.cli import output
from meshwright.cli.options import json_option, topology_option
from meshwright.controlplane.admin import inspect
from meshwright.controlplane.model.localities import Place
from meshwright.errors import MeshwrightError, UnreachableError, ValidationError, Violation
from meshwright.local.mesh import endpoints
from meshwright.model import Address
from meshwright.name_suggestions import no_such_service

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")

address_option = click.option("-a", "--address", metavar="HOST:PORT", help="The control plane; default: the mesh's.")
locality_option = click.option(
    "--locality",
    "place",
    metavar="REGION/ZONE",
    callback=lambda _context, _option, text: _read_place(text),
    default="",
    help="Where the client is, for services that are called in the caller's zone.",
)
_SIGNS = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}


@click.group()
def xds() -> None:
    """Show the xDS resources that a client of a service receives."""


@xds.command()
@click.argument("service")
@address_option
@locality_option
@topology_option
@json_option
def dump(service: str, address: str | None, place: Place, topology: str, as_json: bool) -> None:
    """Print the listener, routes, clusters and endpoints of SERVICE, as they are now."""
    mesh, at = _where(address, topology)
    found = asyncio.run(_explained(mesh, inspect.dump(at, service, place=place)))
    if as_json:
        output.as_json(asdict(found))
        return
    if not found.known:
        reason = asyncio.run(_unknown(mesh, service))
        click.echo(f"{reason} Calls to it fail at once.", err=True)
    for resource in found.resources:
        click.secho(f"{resource.type} {resource.name}", bold=True)
        click.echo(resource.text)


@xds.command()
@click.argument("service")
@address_option
@locality_option
@topology_option
@json_option
def watch(service: str, address: str | None, place: Place, topology: str, as_json: bool) -> None:
    """Print the resources of SERVICE, and then each change as it is pushed, until Ctrl-C."""
    mesh, at = _where(address, topology)
    asyncio.run(_explained(mesh, _watch(mesh, at, service, place, as_json=as_json)))


async def _watch(
    mesh: endpoints.MeshEndpoints | None, address: Address, service: str, place: Place, *, as_json: bool
) -> None:
    if not (await inspect.dump(address, service)).known:
        click.echo(f"{await _unknown(mesh, service)} Waiting for it.", err=True)
    async for change in inspect.watch(address, service, place=place):
        if as_json:
            click.echo(json.dumps(asdict(change)))
            continue
        sign, colour = _SIGNS[change.what]
        click.secho(f"{sign} {change.type} {change.name}", fg=colour, bold=True)
        for line in change.diff:
            click.secho(f"  {line}", fg={"+": "green", "-": "red"}.get(line[:1]))


async def _explained(mesh: endpoints.MeshEndpoints | None, work: Coroutine[Any, Any, T]) -> T:
    """Runs it; the error of an unreachable control plane says how to start one."""
    try:
        return await work
    except UnreachableError as error:
        raise UnreachableError(endpoints.how_to_start(mesh, str(error)) if mesh else str(error)) from error


async def _unknown(mesh: endpoints.MeshEndpoints | None, service: str) -> str:
    """A sentence on why the mesh does not know the service: with the closest name, where Consul tells the names."""
    if mesh is not None:
        with contextlib.suppress(MeshwrightError):
            async with endpoints.open_consul(mesh) as consul:
                sentence = no_such_service(service, await endpoints.service_names(consul))
                return sentence if sentence.endswith("?") else f"{sentence}."
    return f"no service is called {service}."


def _read_place(text: str) -> Place:
    region, _, zone = text.partition("/")
    return Place(region, zone)


def _where(text: str | None, topology: str) -> tuple[endpoints.MeshEndpoints | None, Address]:
    """The mesh, if it is that of an `up` or of the environment, and its control plane."""
    if text is None:
        mesh = endpoints.locate(topology)
        return mesh, mesh.control_plane
    try:
        return None, Address.parse(text)
    except ValueError as error:
        raise ValidationError("the command", [Violation(f"--address {text}", str(error))]) from None
