"""The command line: argument parsing and printing, nothing else.

Each command lives in a module of its own that is imported when the command is called, so `meshwright --help` costs
what click costs. Exit codes: 0 done; 1 it could not be done (the text says why); 2 it was asked wrongly (usage,
topology, environment, policy) or needs a package that is not installed; 130 interrupted.
"""

from __future__ import annotations

import importlib
import sys
from importlib import metadata
from typing import TYPE_CHECKING

import click

from meshwright import optional_imports
from meshwright.cli.running import PlugInError, run_command

if TYPE_CHECKING:
    from collections.abc import Sequence

_COMMANDS: dict[str, tuple[str, str]] = {
    "new": ("meshwright.cli.new:new", "Make a service of your own: contract, server, test, topology, image."),
    "up": ("meshwright.cli.up:up", "Run a topology: the mesh, and the services on it."),
    "ps": ("meshwright.cli.processes:ps", "List the instances that are up."),
    "logs": ("meshwright.cli.processes:logs", "Show what instances wrote."),
    "kill": ("meshwright.cli.processes:kill", "Send a signal to an instance; kill -9 unless told otherwise."),
    "scale": ("meshwright.cli.processes:scale", "Have more or fewer instances of a service."),
    "call": ("meshwright.cli.call:call", "Call a method of a service, with JSON."),
    "get": ("meshwright.cli.get:get", "Show a service: instances, health, routes, policy, problems."),
    "fault": ("meshwright.cli.fault:fault", "Set and clear faults: aborts and delays."),
    "rollout": (
        "meshwright.cli.rollout.commands:rollout",
        "Move a service from version to version, and back.",
    ),
    "xds": ("meshwright.cli.xds:xds", "Show the xDS resources that a client of a service receives."),
    "registry": ("meshwright.cli.components:registry", "Run the dev Consul, which speaks Consul's HTTP API."),
    "controlplane": ("meshwright.cli.components:controlplane", "Run the control plane: Consul in, xDS out."),
    "traces": ("meshwright.cli.components:traces", "Run the dev trace store: OTLP in, Jaeger's query API out."),
}


PLUG_INS = "meshwright.commands"
"""The entry point group by which another package adds commands: each names a click command."""


class _Lazy(click.Group):
    """A group that imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return [*_COMMANDS, *_plug_ins()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return _plugged_in(cmd_name)
        module, _, attribute = _COMMANDS[cmd_name][0].partition(":")
        with optional_imports.explaining(f"`meshwright {cmd_name}`", "standard"):
            command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])
        added = [(name, command) for name in _plug_ins() if (command := _plugged_in(name))]
        if added:
            with formatter.section("Added by other packages"):
                formatter.write_dl([(name, command.get_short_help_str(200)) for name, command in added])


def _plug_ins() -> dict[str, metadata.EntryPoint]:
    """Commands of other packages, by name; none of them hides one of ours."""
    return {point.name: point for point in metadata.entry_points(group=PLUG_INS) if point.name not in _COMMANDS}


def _plugged_in(name: str) -> click.Command | None:
    """The command; None where there is none. One that cannot be loaded is a command that says why."""
    point = _plug_ins().get(name)
    if point is None:
        return None
    try:
        command = point.load()
    except Exception as error:  # noqa: BLE001 - whatever the code of another package raises
        return _unloadable(point, " ".join(str(error).split()) or type(error).__name__)
    return command if isinstance(command, click.Command) else _unloadable(point, f"{point.value} is no click command")


def _unloadable(point: metadata.EntryPoint, reason: str) -> click.Command:
    """Stands for a command that cannot be loaded, so that help and completion still list it."""
    owner = point.dist.name if point.dist else "another package"

    def refuse() -> None:
        raise PlugInError(f"the command {point.name} of {owner} cannot be loaded: {reason}")

    return click.Command(
        point.name,
        callback=refuse,
        short_help=f"Cannot be loaded: {reason}",
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )


@click.group(
    cls=_Lazy,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 done, 1 could not be done, 2 asked wrongly, 130 interrupted.",
)
@click.version_option(package_name="meshwright", message="%(version)s")
def cli() -> None:
    """A service mesh without sidecars for Python gRPC services."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exits the process."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def kubectl_main() -> None:
    """`kubectl meshwright ...`."""
    from meshwright.cli.rollout import plugin  # noqa: PLC0415 - it needs what `meshwright --help` does without

    plugin.main()


def kubectl_complete_main() -> None:
    """What kubectl runs to complete `kubectl meshwright ...`."""
    from meshwright.cli.rollout import plugin  # noqa: PLC0415

    plugin.complete_main()


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code."""
    return run_command(cli, arguments, "meshwright")
