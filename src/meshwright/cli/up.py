"""`meshwright up`: the command and its output."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from meshwright.cli import output, qr
from meshwright.config import environment
from meshwright.errors import ValidationError, Violation
from meshwright.local import log_lines
from meshwright.local.planner import network_addresses
from meshwright.local.planner.component_source import UpOptions
from meshwright.local.supervisor import run_state
from meshwright.local.supervisor.status import InstanceState
from meshwright.local.topology import file_lookup, parsing
from meshwright.local.topology.spec import COMPONENTS, DEFAULT_PORTS, TRACES
from meshwright.local.up import up as run_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meshwright.local.log_lines import LogLine
    from meshwright.local.planner.component_source import ComponentSource
    from meshwright.local.planner.plan import Plan
    from meshwright.local.supervisor.status import InstanceStatus
    from meshwright.local.topology.spec import ProcessSpec, Topology

_COLOURS = ("cyan", "green", "yellow", "magenta", "blue", "bright_cyan", "bright_green", "bright_magenta")
_LEVELS = {"warning": "yellow", "error": "red", "critical": "red"}
_STATES = {InstanceState.READY: "green", InstanceState.BACKOFF: "yellow", InstanceState.FAILED: "red"}


@click.command()
@click.option("-f", "--file", type=click.Path(path_type=Path), help="The topology; default: ./meshwright.toml.")
@click.option("--demo", is_flag=True, help="Run the demo instead of a topology of your own.")
@click.option("--consul", default="", metavar="auto|dev|ADDRESS", help="Which Consul; default: what the topology says.")
@click.option("--postgres", default="", metavar="URL", help="A PostgreSQL for the services that want one.")
@click.option("--port", "ports", multiple=True, metavar="NAME=NUMBER", help="Another port, such as gateway=8081.")
@click.option("--host", default="", metavar="ADDRESS", help="Open the public process to others: 0.0.0.0, or ::.")
@click.option("--watch", is_flag=True, help="Restart a process when its source or the topology changes.")
@click.option("-q", "--quiet", is_flag=True, help="Do not show what the processes write.")
def up(
    *,
    file: Path | None,
    demo: bool,
    consul: str,
    postgres: str,
    ports: Sequence[str],
    host: str,
    watch: bool,
    quiet: bool,
) -> None:
    """Run a topology: the mesh, and the services on it.

    Starts what the meshwright.toml of this folder names (or the file of -f, or the demo), waits until all is ready,
    shows the logs, starts again what crashes, and stops everything in order on Ctrl-C; a second Ctrl-C ends it at once.
    State and logs are in .meshwright/ (or MESHWRIGHT_HOME).

    A real Consul is used when CONSUL_HTTP_ADDR or --consul names one, or when one is found running at the
    registry's address; a real collector when OTEL_EXPORTER_OTLP_ENDPOINT names one. Pages then link to the traces at
    JAEGER_UI_URL, or at Jaeger's default port (16686) on the collector's host.

    Everything listens on the loopback alone. --host opens the processes that the topology calls public (of the demo the
    gateway) to the network, and shows their address, on a terminal as a QR code too.

    --watch restarts a process when a file of its module's package, of its folder or a .proto changes, and carries out
    changes of the topology file. A new instance is ready before the running ones are restarted, unless the process has
    a fixed port or is a single instance of a command. What is broken is reported, and what runs stays.
    """
    if file is not None and demo:
        raise click.UsageError("-f names one topology and --demo another; leave one of them out")
    topology = _topology(file, demo=demo)
    host = host and network_addresses.check_host(host)
    reachable = network_addresses.reachable(host) if host else ()
    choices = UpOptions(consul, postgres, _ports(ports), host, reachable, environment())
    folder = run_state.StateFolder(run_state.home(), topology.name)
    asyncio.run(run_up(topology, choices, folder, Screen(topology, quiet=quiet), watch=watch))


def _topology(file: Path | None, *, demo: bool) -> Topology:
    try:
        return parsing.load(file_lookup.choose(file, demo=demo))
    except file_lookup.NoTopologyError as error:
        output.error(str(error))
        raise click.exceptions.Exit(output.BAD_INPUT) from error


def _ports(texts: Sequence[str]) -> dict[str, int]:
    chosen: dict[str, int] = {}
    problems = []
    for text in texts:
        name, _, number = text.partition("=")
        if number.isdigit() and 0 < int(number) < 65536:  # noqa: PLR2004
            chosen[name] = int(number)
        else:
            problems.append(Violation(f"--port {text}", "expected NAME=NUMBER, with a number from 1 to 65535"))
    if problems:
        raise ValidationError("the choice of ports", problems)
    return chosen


class Screen:
    """The `View` of `up` on a terminal."""

    def __init__(self, topology: Topology, *, quiet: bool) -> None:
        names = [*COMPONENTS, *(f"{process.name}-{process.replicas}" for process in topology.processes)]
        self._console = output.console()
        self._colour = self._console.is_terminal and not self._console.no_color
        self._width = max(len(name) for name in names)
        self._colours: dict[str, str] = {}
        self._palette = itertools.cycle(_COLOURS)
        self._quiet = quiet
        self._mute = False

    def starting(self, plan: Plan, leftovers: list[InstanceStatus]) -> None:
        for life in leftovers:
            self._say(f"Ended {life.instance} (pid {life.pid}), which an earlier run had left behind.")
        self._say(f"Starting {plan.topology.name} ({plan.topology.source})")
        self._say(f"  registry       {_source(plan.registry, 'the dev Consul', 'none')}")
        self._say(f"  control plane  {_source(plan.controlplane, 'here', 'none: addresses from Consul, round robin')}")
        self._say(f"  spans          {_source(plan.traces, 'the dev trace store', 'none')}")

        for service, versions in plan.resumed.items():
            told = " and ".join(f"{one.replicas} of {one.version}" for one in versions)
            self._say(f"  {service:<14} {told}, where its rollout stands")

    def line(self, spec: ProcessSpec, text: str) -> None:
        if not self._quiet:
            self._instance(spec.instance, spec.name, self._styled(log_lines.parse(text)))

    def changed(self, status: InstanceStatus) -> None:
        text = f"* {status.state}" + (f": {status.detail}" if status.detail else "")
        if status.state is InstanceState.READY and status.address:
            text += f" on {status.address}"
        self._instance(status.instance, status.process, self._style(text, _STATES.get(status.state, ""), bold=True))

    def ready(self, plan: Plan, statuses: list[InstanceStatus], seconds: float) -> None:
        self._say("")
        self._say(self._style(f"{plan.topology.name} is up after {seconds:.1f} s.", "green", bold=True))
        self._say("")
        self._print(_addresses(plan, statuses))
        self._open_to_others(plan, statuses)
        if plan.hints:
            self._say("\nTry next:")
        else:
            service = next((process.service for process in plan.topology.processes), "SERVICE")
            look = f"meshwright get {service}; " if plan.registry.address else ""
            self._say(f"\nFrom another terminal: meshwright ps; {look}meshwright logs -f {service}")
        for hint in plan.hints:
            self._say(f"  {self._style(f'# {hint.say}', 'bright_black')}\n  {hint.run}")
        self._say(f"\n{self._style('Ctrl-C stops everything.', 'bright_black')}\n")

    def _open_to_others(self, plan: Plan, statuses: list[InstanceStatus]) -> None:
        for status in statuses:
            if status.process not in plan.public:
                continue
            port = status.address.rpartition(":")[2]
            urls = [f"http://{network_addresses.in_url(address)}:{port}" for address in plan.reachable]
            if not urls:
                self._say(f"\n{status.instance} is open to other machines, and no network is connected.")
                continue
            self._say(f"\n{status.instance} is open to other machines at {self._style(urls[0], 'green', bold=True)}")
            if urls[1:]:
                self._say(f"  on other networks: {', '.join(urls[1:])}")
            if self._console.is_terminal:
                for line in qr.lines(urls[0], columns=self._console.width, rows=self._console.height):
                    self._say(line)

    def rollout_event(self, rollout: str, text: str, *, warning: bool) -> None:
        self._instance(f"~{rollout}", f"~{rollout}", self._style(text, "yellow" if warning else "cyan", bold=True))

    def watch_event(self, text: str, *, warning: bool = False) -> None:
        self._instance("~watch", "~watch", self._style(text, "yellow" if warning else "cyan", bold=True))

    def stopping(self) -> None:
        self._say("\nStopping, in order. Ctrl-C again ends everything at once.")

    def _instance(self, instance: str, process: str, text: str) -> None:
        if process not in self._colours:
            self._colours[process] = next(self._palette)
        prefix = self._style(f"{instance:<{self._width}} |", self._colours[process])
        for line in text.splitlines() or [""]:
            self._say(f"{prefix} {line}")

    def _styled(self, line: LogLine) -> str:
        if not line.level:
            return line.message
        head = f"{line.time} {self._style(f'{line.level.upper():<7}', _LEVELS.get(line.level, ''))} {line.message}"
        rest = " ".join(part for part in (line.extra, f"trace={line.trace}" if line.trace else "") if part)
        text = f"{head} {self._style(rest, 'bright_black')}" if rest else head
        return f"{text}\n{line.block}" if line.block else text

    def _style(self, text: str, colour: str, *, bold: bool = False) -> str:
        return click.style(text, fg=colour or None, bold=bold) if self._colour and text else text

    def _print(self, table: object) -> None:
        with self._console.capture() as capture:
            self._console.print(table)
        self._say(capture.get().rstrip("\n"))

    def _say(self, text: str) -> None:
        """Prints; continues silently once standard output is closed."""
        if self._mute:
            return
        try:
            click.echo(text, color=self._colour)
        except OSError:
            self._mute = True
            # Buffered output must not fail again at the end of the interpreter.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _source(source: ComponentSource, here: str, nowhere: str) -> str:
    if source.dev:
        return f"{here}, at {source.address}"
    return f"{source.address} ({source.why})" if source.address else f"{nowhere} ({source.why})"


_WHAT = {
    "registry": ("http://{}", "the registry: Consul's HTTP API"),
    "xds": ("{}", "the control plane: xDS"),
    "controlplane": ("http://{}/debug/snapshot", "the control plane: what it serves, and to whom"),
    "traces": ("http://{}", "the traces, to look at"),
    "otlp-grpc": ("{}", "OTLP over gRPC"),
    "otlp-http": ("http://{}", "OTLP over HTTP"),
}


def _addresses(plan: Plan, statuses: list[InstanceStatus]) -> object:
    table = output.table("NAME", "ADDRESS", "WHAT")
    own = {process.name for process in plan.topology.processes}
    for status in statuses:
        if status.process in own:
            web = plan.readiness(plan.process(status.process)).startswith("http")
            address = f"http://{status.address}" if web else status.address
            table.add_row(status.instance, address, f"{status.service} {status.version}, pid {status.pid}")
    for name in DEFAULT_PORTS:
        if name in plan.ports:
            form, what = _WHAT[name]
            table.add_row(name, form.format(f"127.0.0.1:{plan.ports[name]}"), what)
        elif name == TRACES and plan.traces_url:
            table.add_row(name, plan.traces_url, f"{_WHAT[name][1]}; JAEGER_UI_URL says otherwise")
    return table
