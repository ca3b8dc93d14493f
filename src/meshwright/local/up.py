"""`meshwright up`: plans, starts, serves and stops a topology."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from meshwright import free_ports
from meshwright.local.planner import consul_probe, plan, port_check, resumed_versions
from meshwright.local.planner.component_source import choose_registry
from meshwright.local.supervisor import run_state
from meshwright.local.supervisor.supervisor import Report, StartError, Supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshwright.local.planner.component_source import UpOptions
    from meshwright.local.planner.plan import Plan
    from meshwright.local.supervisor.run_state import StateFolder
    from meshwright.local.supervisor.status import InstanceStatus
    from meshwright.local.topology.spec import Topology

CLIENT_VARIABLES = (
    "CONSUL_HTTP_ADDR",
    "MESHWRIGHT_XDS",
    "MESHWRIGHT_DISCOVERY",
    "OTEL_TRACES_EXPORTER",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "JAEGER_UI_URL",
)
"""The variables that other commands need. No token and no password: `state.json` is a plain file."""


class View(Report, Protocol):
    """The output of `up`."""

    def starting(self, plan: Plan, leftovers: list[InstanceStatus]) -> None:
        """The plan is made and about to start. `leftovers` of a killed supervisor have been ended."""

    def ready(self, plan: Plan, statuses: list[InstanceStatus], seconds: float) -> None:
        """Everything is ready."""

    def rollout_event(self, rollout: str, text: str, *, warning: bool) -> None:
        """An event of a rollout."""

    def stopping(self) -> None:
        """A signal was received; a second one kills everything at once."""


async def up(topology: Topology, options: UpOptions, folder: StateFolder, view: View) -> None:
    """Runs a topology until SIGINT, SIGTERM or SIGHUP.

    Raises `ValidationError` or `AlreadyUpError` before anything is started, and `StartError` after everything that was
    started has been stopped again.
    """
    began = time.monotonic()
    with folder.locked():
        record = folder.read()
        leftovers = run_state.end_leftovers(record) if record and record.lives else []
        made = await decide(topology, options, folder)
        port_check.check(made.ports, {name: made.host for name in made.ports if name in made.public})
        view.starting(made, leftovers)
        run = uuid.uuid4().hex
        writer = _StateWriter(made, folder, run)
        supervisor = Supervisor(made, folder, run, view, lambda: writer.write(supervisor))
        with _interrupts() as interrupts:
            try:
                await _serve(supervisor, folder, view, interrupts, began)
            finally:
                await _end(supervisor, interrupts)
                writer.write(supervisor)


async def decide(topology: Topology, options: UpOptions, folder: StateFolder) -> Plan:
    """Probes for Consul if needed, and makes the plan."""
    registry = choose_registry(topology, options)
    if registry is None:
        registry = await consul_probe.find(plan.registry_port(topology, options))
    if registry.address:
        await consul_probe.check(registry, dict(options.environment))
    made = plan.make(topology, options, registry, folder.data.resolve(), free_ports.find_free)
    services = {process.service for process in topology.processes}
    found = (
        resumed_versions.read(folder.rollouts, rules_are_kept=not registry.dev)
        if registry.dev or registry.address
        else {}
    )
    return replace(made, resumed={service: versions for service, versions in found.items() if service in services})


async def _serve(
    supervisor: Supervisor, folder: StateFolder, view: View, interrupts: asyncio.Queue[int], began: float
) -> None:
    interrupted = asyncio.create_task(interrupts.get())
    starting = asyncio.create_task(supervisor.start())
    try:
        await asyncio.sleep(0)  # the first processes start while the server is imported
        from meshwright.local.control_api import server  # noqa: PLC0415
        from meshwright.local.rollouts.rollout_manager import RolloutManager  # noqa: PLC0415

        manager = RolloutManager(supervisor, folder.rollouts, view.rollout_event)
        async with manager, server.serving(supervisor, folder.socket, manager):
            await asyncio.wait({starting, interrupted}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                await _raise_with_reason(starting, supervisor.plan)
                view.ready(supervisor.plan, supervisor.statuses(), time.monotonic() - began)
                await manager.resume()
                either: list[asyncio.Future[Any]] = [interrupted, supervisor.failure]
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                if supervisor.failure.done():
                    supervisor.failure.result()
            view.stopping()
    finally:
        interrupted.cancel()
        starting.cancel()
        # The error was raised above; it must be retrieved here.
        await asyncio.wait({starting})
        if not starting.cancelled():
            starting.exception()


async def _raise_with_reason(starting: asyncio.Task[None], made: Plan) -> None:
    """Raises the error of a failed start, with the traffic rules to versions without instances: a usual cause."""
    try:
        starting.result()
    except StartError as error:
        from meshwright.local.supervisor import unserved_versions  # noqa: PLC0415 - imports the client of Consul

        told = await unserved_versions.describe(made)
        raise (StartError("\n".join((str(error), *told))) if told else error) from None


async def _end(supervisor: Supervisor, interrupts: asyncio.Queue[int]) -> None:
    """Stops everything in order, or at once on a second signal."""
    stopping = asyncio.create_task(supervisor.stop())
    again = asyncio.create_task(interrupts.get())
    await asyncio.wait({stopping, again}, return_when=asyncio.FIRST_COMPLETED)
    if again.done():
        supervisor.kill_all()
    again.cancel()
    await stopping
    if supervisor.failure.done():
        supervisor.failure.exception()


@contextlib.contextmanager
def _interrupts() -> Iterator[asyncio.Queue[int]]:
    """The queue of received stop signals."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[int] = asyncio.Queue()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, queue.put_nowait, number)
    try:
        yield queue
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


class _StateWriter:
    """Writes `state.json` on each change."""

    def __init__(self, made: Plan, folder: StateFolder, run: str) -> None:
        self._plan = made
        self._folder = folder
        self._run = run
        self._started = run_state.start_time(os.getpid())

    def write(self, supervisor: Supervisor) -> None:
        environment = self._plan.environment
        self._folder.write(
            run_state.RunRecord(
                pid=os.getpid(),
                started=self._started,
                run=self._run,
                topology=str(self._plan.topology.source.resolve()),
                socket=str(self._folder.socket),
                environment={name: environment[name] for name in CLIENT_VARIABLES if name in environment},
                addresses=dict(self._plan.addresses),
                lives=supervisor.lives(),
            )
        )
