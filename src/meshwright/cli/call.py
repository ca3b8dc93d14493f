"""`meshwright call`: a method of a service, with JSON."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from meshwright.cli import output
from meshwright.cli.options import pairs, topology_option
from meshwright.local.mesh import endpoints

if TYPE_CHECKING:
    from collections.abc import Sequence

    import grpc


@click.command()
@click.argument("service")
@click.argument("method")
@click.argument("request", default="{}", metavar="[JSON|-]")
@click.option("-a", "--address", metavar="HOST:PORT", help="Call this instance instead of going through the mesh.")
@click.option("-H", "--header", "headers", multiple=True, metavar="NAME=VALUE", help="Metadata to send along.")
@click.option("--timeout", default=10.0, show_default=True, help="Seconds for the whole call.")
@topology_option
def call(
    *,
    service: str,
    method: str,
    request: str,
    address: str | None,
    headers: Sequence[str],
    timeout: float,
    topology: str,
) -> None:
    """Call METHOD (`Add`, or `pkg.Service/Add`) of SERVICE with a JSON message, or with those on standard input (-).

    Goes through the mesh: discovery, splits, retries and faults apply. The server has to offer reflection. Prints one
    line of JSON for each message that comes back, and on standard error who answered.
    """
    endpoints.silence_grpc_log()
    from meshwright.local.mesh import reflection_client  # noqa: PLC0415 - imports gRPC, which reads how loud to be

    text = sys.stdin.read() if request == "-" else request
    values = reflection_client.read_json(text)
    metadata = pairs(headers, "--header")
    asyncio.run(_call(service, address, topology, _Request(method, values, metadata, timeout)))


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    values: Sequence[object]
    metadata: Sequence[tuple[str, str]]
    timeout: float


async def _call(service: str, address: str | None, topology: str, request: _Request) -> None:
    from meshwright.local.mesh import reflection_client  # noqa: PLC0415

    async with _channel(service, address, topology) as channel:
        caller = reflection_client.ReflectionClient(channel, request.timeout)
        method = await caller.find(request.method)
        began = time.monotonic()
        async for answer in caller.call(method, request.values, request.metadata):
            click.echo(json.dumps(answer, ensure_ascii=False))
        took = (time.monotonic() - began) * 1000
    who = " ".join(filter(None, (caller.trailing.get(f"meshwright-{key}") for key in ("instance", "version"))))
    output.console(stderr=True).print(f"{who or address or service}, {took:.1f} ms", style="dim")


def _channel(service: str, address: str | None, topology: str) -> grpc.aio.Channel:
    if address is not None:
        import grpc  # noqa: PLC0415

        return grpc.aio.insecure_channel(address)
    config = endpoints.configure_client(endpoints.locate(topology))
    from meshwright.client import channel  # noqa: PLC0415

    return channel(service, config)
