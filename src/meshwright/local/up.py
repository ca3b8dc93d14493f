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

from meshwright import free_ports, optional_imports
from meshwright.local.planner import consul_probe, plan, port_check, resumed_versions
from meshwright.local.planner.component_source import choose_registry
from meshwright.local.supervisor import run_state
from meshwright.local.supervisor.report import Report
from meshwright.local.supervisor.supervisor import StartError, Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from meshwright.local.planner.component_source import UpOptions
    from meshwright.local.planner.plan import Plan
    from meshwright.local.rollouts.rollout_manager import RolloutManager
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

    def watch_event(self, text: str, *, warning: bool = False) -> None:
        """What `--watch` sees and does."""

    def stopping(self) -> None:
        """A signal was received; a second one kills everything at once."""


async def up(topology: Topology, options: UpOptions, folder: StateFolder, view: View, *, watch: bool = False) -> None:
    """Runs a topology until SIGINT, SIGTERM or SIGHUP. With `watch`, what changes in its sources is restarted.

    Raises `ValidationError`, `AlreadyUpError` or `MissingExtraError` before anything is started, and `StartError` after
    everything that was started has been stopped again.
    """
    began = time.monotonic()
    optional_imports.require("aiohttp", "`meshwright up`", "standard")
    if watch:
        optional_imports.load("watchfiles", "`meshwright up --watch`", "watch")
    with folder.locked():
        record = folder.read()
        leftovers = run_state.end_leftovers(record) if record and record.lives else []
        made = await decide(topology, options, folder)
        port_check.check(made.ports, {name: made.host for name in made.ports if name in made.public})
        view.starting(made, leftovers)
        run = uuid.uuid4().hex
        writer = _StateWriter(folder, run)
        supervisor = Supervisor(made, folder, run, view, lambda: writer.write(supervisor))
        with _interrupts() as interrupts:
            try:
                await _serve(supervisor, folder, view, interrupts, began=began, watched=options if watch else None)
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
    supervisor: Supervisor,
    folder: StateFolder,
    view: View,
    interrupts: asyncio.Queue[int],
    *,
    began: float,
    watched: UpOptions | None,
) -> None:
    """Starts and serves until a signal. `watched`: the options, for changes of the topology; None: no watching."""
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
                async with _watching(supervisor, folder, view, manager, watched) as watching:
                    either: list[asyncio.Future[Any]] = [interrupted, supervisor.failure, *watching]
                    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                for ended in (supervisor.failure, *watching):
                    if ended.done() and not ended.cancelled():
                        ended.result()
            view.stopping()
    finally:
        interrupted.cancel()
        starting.cancel()
        # The error was raised above; it must be retrieved here.
        await asyncio.wait({starting})
        if not starting.cancelled():
            starting.exception()


@contextlib.asynccontextmanager
async def _watching(
    supervisor: Supervisor, folder: StateFolder, view: View, manager: RolloutManager, options: UpOptions | None
) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Restarts what changes, within the context. Yields the task, which ends only by a bug; none without `options`."""
    if options is None:
        yield []
        return
    from meshwright.local.watch import reloader  # noqa: PLC0415 - most runs do without

    restarting = reloader.Reloader(supervisor, options, folder, view.watch_event, manager.rollout_of)
    task = asyncio.create_task(restarting.run(), name="watch")
    try:
        yield [task]
    finally:
        task.cancel()
        await asyncio.wait({task})


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

    def __init__(self, folder: StateFolder, run: str) -> None:
        self._folder = folder
        self._run = run
        self._started = run_state.start_time(os.getpid())

    def write(self, supervisor: Supervisor) -> None:
        plan = supervisor.plan
        self._folder.write(
            run_state.RunRecord(
                pid=os.getpid(),
                started=self._started,
                run=self._run,
                topology=str(plan.topology.source.resolve()),
                socket=str(self._folder.socket),
                environment={name: plan.environment[name] for name in CLIENT_VARIABLES if name in plan.environment},
                addresses=dict(plan.addresses),
                lives=supervisor.lives(),
            )
        )
