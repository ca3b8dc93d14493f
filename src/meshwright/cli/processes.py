"""`meshwright ps | logs | kill | scale`: what acts on a running `up`."""

from __future__ import annotations

import itertools
import signal as signals
import time
from typing import TYPE_CHECKING

import click

from meshwright.cli import output
from meshwright.cli.options import json_option, topology_option
from meshwright.errors import ValidationError, Violation
from meshwright.local import log_lines
from meshwright.local.control_api import client

if TYPE_CHECKING:
    from collections.abc import Iterator

_COLOURS = {"ready": "green", "passing": "green", "failed": "red", "critical": "red", "backoff": "yellow"}


@click.command()
@topology_option
@json_option
def ps(topology: str, as_json: bool) -> None:
    """List the instances that are up: their state, what Consul says of them, where they are."""
    from rich.text import Text  # noqa: PLC0415

    rows = client.find(topology).processes()
    if as_json:
        output.as_json(rows)
        return
    table = output.table(
        "INSTANCE", "SERVICE", "VERSION", ">PID", "STATE", "HEALTH", "ADDRESS", ">RESTARTS", ">RSS", ">UPTIME"
    )
    now = time.time()
    for row in rows:
        uptime = output.span(now - row["started"]) if row["started"] else ""
        state, health = (Text(row[key] or "-", _COLOURS.get(row[key], "")) for key in ("state", "health"))
        pid = str(row["pid"] or "-")
        cells = (row["instance"], row["service"], row["version"], pid, state, health, row["address"])
        table.add_row(*cells, str(row["restarts"]), output.size(row["rss"]), uptime)
    output.console().print(table)


@click.command()
@click.argument("name", default="")
@click.option("-f", "--follow", is_flag=True, help="Go on showing what comes.")
@click.option("-n", "--lines", default=100, show_default=True, help="How many of the lines there are.")
@click.option("--raw", is_flag=True, help="The lines as they were written, without a prefix.")
@topology_option
def logs(name: str, follow: bool, lines: int, raw: bool, topology: str) -> None:
    """Show what a service or an instance wrote; without a name, all of them. After the end of an `up` too."""
    colours = itertools.cycle(("cyan", "green", "yellow", "magenta", "blue"))
    chosen: dict[str, str] = {}
    for instance, line in _lines(name, lines, follow=follow, topology=topology):
        if raw:
            click.echo(line)
            continue
        if instance not in chosen:
            chosen[instance] = next(colours)
        prefix = click.style(f"{instance} |", fg=chosen[instance])
        for part in str(log_lines.parse(line)).splitlines() or [""]:
            click.echo(f"{prefix} {part}")


def _lines(name: str, count: int, *, follow: bool, topology: str) -> Iterator[tuple[str, str]]:
    try:
        running = client.find(topology)
    except client.NothingUpError:
        if follow:
            raise
        return client.old_logs(client.find_folder(topology), name, count)
    return running.logs(name, count, follow=follow)


@click.command()
@click.argument("instance")
@click.option("-s", "--signal", "name", default="KILL", show_default=True, help="KILL, TERM, STOP, CONT, 9, ...")
@topology_option
def kill(instance: str, name: str, topology: str) -> None:
    """Send a signal to an instance: by default kill -9, as a crash would be. `up` starts it again."""
    signal = _signal(name)
    client.find(topology).kill(instance, signal)
    click.echo(f"{signal} sent to {instance}")


def _signal(name: str) -> str:
    if name.isdigit() and int(name) in set(signals.Signals):
        return signals.Signals(int(name)).name
    full = f"SIG{name.upper().removeprefix('SIG')}"
    if full not in signals.Signals.__members__:
        raise ValidationError("the signal", [Violation(name, "no such signal; expected one such as KILL, TERM or 9")])
    return full


@click.command()
@click.argument("service")
@click.argument("replicas", type=click.IntRange(0, 100))
@click.option("--version", help="Instances of this version; others stay. Default: the topology's.")
@topology_option
@json_option
def scale(service: str, replicas: int, version: str | None, topology: str, as_json: bool) -> None:
    """Have REPLICAS instances of a service; returns when the new ones are ready and the others gone."""
    change = client.find(topology).scale(service, replicas, version)
    if as_json:
        output.as_json(change)
        return
    for word, names in change.items():
        if names:
            click.echo(f"{word} {', '.join(names)}")
    if not any(change.values()):
        click.echo(f"{service} has {replicas} already")
