"""Carries out a change of source files on a running `up`: which processes restart, and what is said about it."""

from __future__ import annotations

import asyncio
import contextlib
import time
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from meshwright import free_ports
from meshwright.errors import MeshwrightError, ValidationError
from meshwright.local.planner import plan as planning
from meshwright.local.planner import plan_change, port_check
from meshwright.local.supervisor import rolling_restart
from meshwright.local.topology import parsing
from meshwright.local.watch import file_watcher
from meshwright.local.watch.sources import Sources, source_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable
    from pathlib import Path

    from meshwright.local.planner.component_source import UpOptions
    from meshwright.local.planner.plan import Plan
    from meshwright.local.planner.plan_change import PlanChange
    from meshwright.local.supervisor.run_state import StateFolder
    from meshwright.local.supervisor.supervisor import Supervisor
    from meshwright.local.topology.spec import ProcessSpec

_SHOWN = 3
"""The number of files that a message names."""


class PrintChange(Protocol):
    """Prints what `--watch` does."""

    def __call__(self, text: str, *, warning: bool = False) -> None: ...


class Reloader:
    """Restarts what changed. `rollout_of` names the rollout of a service, which decides on its versions and number."""

    def __init__(
        self,
        supervisor: Supervisor,
        options: UpOptions,
        folder: StateFolder,
        say: PrintChange,
        rollout_of: Callable[[str], str],
    ) -> None:
        self._supervisor = supervisor
        self._options = options
        self._folder = folder
        self._say = say
        self._rollout_of = rollout_of

    def sources(self) -> Sources:
        """What to watch: the sources of the processes as they are now."""
        plan = self._supervisor.plan
        return Sources(
            {process.name: source_of(_start(plan, process)) for process in plan.own},
            plan.topology.source.resolve(),
            left_out=(self._folder.path.parent.resolve(),),
        )

    def say_watching(self) -> None:
        """Tells that changes are seen from now on, and which processes have no source to watch."""
        sources = self.sources()
        without = [name for name, source in sources.processes.items() if not source.own]
        rest = f"; no source is known of {', '.join(without)}" if without else ""
        count = len(sources.files())
        self._say(f"watching {count} file{'' if count == 1 else 's'} of {self._supervisor.plan.topology.name}{rest}")

    async def run(self) -> None:
        """Watches and restarts, until it is cancelled or the system's watches are used up."""
        try:
            async with contextlib.aclosing(file_watcher.changes(self.sources, self.say_watching)) as batches:
                async for changed in batches:
                    await self.apply(changed)
        except OSError as error:
            self._say(f"files are no longer watched: {error}", warning=True)
            await asyncio.Event().wait()

    async def apply(self, changed: Collection[Path]) -> None:
        """Restarts what the changed files concern. What is broken is reported, and what runs stays."""
        sources = self.sources()
        done: set[str] = set()
        if sources.topology in changed:
            done = await self._reload_topology()
        concerned = {name: paths for name, paths in sources.concerned(changed).items() if name not in done}
        broken = {path: error for path in sorted(changed) if (error := syntax_error(path))}
        for path, error in broken.items():
            names = [name for name, paths in concerned.items() if path in paths]
            if names:
                self._say(f"{error}; {_listed(names)} stay{'s' if len(names) == 1 else ''} as before", warning=True)
        wanted = [name for name, paths in concerned.items() if not any(path in broken for path in paths)]
        for name in wanted:
            self._say(f"{name}: {_files(concerned[name])} changed; restarting")
        await self._restart([self._supervisor.plan.process(name) for name in wanted])

    async def _reload_topology(self) -> set[str]:
        """Applies a changed topology file; returns the names of the processes that were started or restarted."""
        old = self._supervisor.plan
        try:
            new = self._plan(old)
        except ValidationError as error:
            self._say(f"{error}\nNothing was changed: the topology in force is the one before.", warning=True)
            return set()
        change = plan_change.compare(old, new)
        for line in _described(change):
            self._say(line)
        removed = {process.name for process in change.removed}
        for stage in planning.stop_stages(old):
            names = [
                instance.spec.instance
                for instance in self._supervisor.instances.values()
                if instance.spec.name in removed and instance.spec.name in stage
            ]
            await asyncio.gather(*(self._supervisor.remove(name) for name in names))
        self._supervisor.change_plan(new)
        versions = {process.name: process.version for process in old.processes}
        await asyncio.gather(*(self._attempt(self._supervisor.add(process)) for process in change.added))
        await self._restart(change.changed, versions)
        for process in change.scaled:
            await self._scale(process)
        return {process.name for process in (*change.added, *change.changed)}

    def _plan(self, old: Plan) -> Plan:
        """The plan of the topology file as it is now, on the running mesh. Raises `ValidationError`."""
        topology = parsing.load(old.topology.source)
        if (topology.mesh, topology.name) != (old.topology.mesh, old.topology.name):
            self._say("a change of `name` or [mesh] takes effect at the next `meshwright up`", warning=True)
        new = planning.make(
            plan_change.with_mesh_of(old.topology, topology),
            self._options,
            old.registry,
            self._folder.data.resolve(),
            free_ports.find_free,
            carried=plan_change.carried_ports(old),
        )
        fresh = {name: port for name, port in new.ports.items() if port not in old.ports.values()}
        port_check.check(fresh, {name: new.host for name in fresh if name in new.public})
        return replace(new, resumed=old.resumed)

    async def _restart(self, processes: Iterable[ProcessSpec], versions: dict[str, str] | None = None) -> None:
        """Restarts processes, dependencies first. `versions`: those of the plan before."""
        wanted = {process.name: process for process in processes}
        for stage in reversed(planning.stop_stages(self._supervisor.plan)):
            names = [name for name in stage if name in wanted]
            await asyncio.gather(*(self._restart_one(wanted[name], (versions or {}).get(name)) for name in names))

    async def _restart_one(self, process: ProcessSpec, version: str | None) -> None:
        began = time.monotonic()
        pinned = None if self._rollout_of(process.service) else version
        try:
            names = await rolling_restart.restart(self._supervisor, process, version=pinned)
        except MeshwrightError as error:
            stay = rolling_restart.can_try_out(self._supervisor.plan, process)
            then = "stays as before" if stay else "is started again and again until it is mended"
            self._say(f"{process.name} {then}: {error}", warning=True)
            return
        done = f"restarted {_listed(names)} after {time.monotonic() - began:.1f} s" if names else "has no instance"
        self._say(f"{process.name}: {done}")

    async def _scale(self, process: ProcessSpec) -> None:
        if rollout := self._rollout_of(process.service):
            self._say(f"{process.name}: the rollout {rollout} says how many instances it has", warning=True)
            return
        if await self._attempt(self._supervisor.scale(process.name, process.replicas, process.version)):
            self._say(f"{process.name}: scaled to {process.replicas}")

    async def _attempt(self, action: Awaitable[object]) -> bool:
        try:
            await action
        except MeshwrightError as error:
            self._say(str(error), warning=True)
            return False
        return True


def syntax_error(path: Path) -> str:
    """What is wrong with a Python file, with its place; empty if nothing, or if it is another file."""
    if path.suffix != ".py":
        return ""
    try:
        content = path.read_bytes()
    except OSError:
        return ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(content, str(path), "exec", dont_inherit=True)
        except SyntaxError as error:
            return f"{path}, line {error.lineno or 1}: {error.msg}"
        except ValueError as error:  # a null byte
            return f"{path}: {error}"
    return ""


def _start(plan: Plan, process: ProcessSpec) -> ProcessSpec:
    return planning.resolve(plan, process.numbered(1), lambda: 0, "")


def _described(change: PlanChange) -> list[str]:
    kinds = {"removed": change.removed, "added": change.added, "changed": change.changed, "scaled": change.scaled}
    lines = [f"topology: {kind} {_listed([one.name for one in found])}" for kind, found in kinds.items() if found]
    return lines or ["topology: nothing to restart"]


def _files(paths: Collection[Path]) -> str:
    names = [path.name for path in list(paths)[:_SHOWN]]
    more = len(paths) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def _listed(names: Collection[str]) -> str:
    return ", ".join(names)
