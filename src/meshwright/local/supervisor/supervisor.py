"""The supervisor: keeps the instances of a plan running, until it is stopped.

Each instance has one task, a loop: wait for dependencies, start the process, wait until ready, wait for the end, wait
for the restart delay. The decisions are elsewhere: the plan has the processes and the order of stopping, `restarts` the
delays, `scaling` the desired instances. Output is elsewhere too: a `Report` receives every line and every change.

Until all instances have been ready once, a process that does not become ready fails the whole start, with the reason.
From then on the supervisor restarts processes without a limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from itertools import count
from signal import SIGKILL, SIGTERM
from typing import TYPE_CHECKING, Any

from meshwright import free_ports
from meshwright.errors import MeshwrightError, ValidationError, Violation
from meshwright.local.planner import scaling
from meshwright.local.planner.plan import resolve, stop_stages
from meshwright.local.supervisor.child_process import describe_end
from meshwright.local.supervisor.instances import Instance
from meshwright.local.supervisor.log_files import LogFile
from meshwright.local.supervisor.readiness import Readiness
from meshwright.local.supervisor.status import InstanceState, InstanceStatus
from meshwright.name_suggestions import NoSuchNameError, no_such

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from signal import Signals

    from meshwright.local.planner.plan import Plan
    from meshwright.local.supervisor.report import Report
    from meshwright.local.supervisor.run_state import StateFolder
    from meshwright.local.topology.spec import ProcessSpec

TAIL = 15
"""The number of log lines in an error."""
KEPT = 1000
"""The number of lines of each instance kept in memory."""
_EARLY_ENDS = 3
"""The number of ends before readiness that fail the start."""


class StartError(MeshwrightError):
    """A process did not become ready. The message has the last lines of its log."""

    def __init__(self, text: str, registered_as: str = "") -> None:
        super().__init__(text)
        self.registered_as = registered_as
        """The service name of its registration, if another than its own."""


class Supervisor:
    """Runs a plan. `changed` is called after each start and end of a process, to write `state.json`."""

    def __init__(self, plan: Plan, folder: StateFolder, run: str, report: Report, changed: Callable[[], None]) -> None:
        self.plan = plan
        self.instances: dict[str, Instance] = {}
        self._tails: dict[str, deque[tuple[int, str]]] = {}
        self._written = 0
        self._logged: set[str] = set()
        self._listeners: set[Callable[[str, str], None]] = set()
        self._folder = folder
        self._run = run
        self._report = report
        self._changed = changed
        self._started = False
        self._killed = False
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Fails when the start fails, and later on a bug of the supervisor."""
        self._ready: dict[str, asyncio.Event] = {process.name: asyncio.Event() for process in plan.processes}

    async def start(self) -> None:
        """Starts everything; returns when all is ready. Raises `StartError` if an instance does not become ready."""
        for spec in scaling.initial(self.plan):
            self._add(spec)
        for name in self._ready:
            self._mark_ready(name)
        ready = asyncio.create_task(self._all_ready())
        try:
            either: list[asyncio.Future[Any]] = [ready, self.failure]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if self.failure.done():
                self.failure.result()
        finally:
            ready.cancel()
        self._started = True

    async def stop(self) -> None:
        """Stops everything, dependencies last."""
        for stage in stop_stages(self.plan):
            instances = [instance for instance in self.instances.values() if instance.spec.name in stage]
            await asyncio.gather(*(self._stop(instance) for instance in instances))

    def kill_all(self) -> None:
        """Kills everything at once."""
        self._killed = True
        for instance in self.instances.values():
            instance.stopping = True
            instance.stop_requested.set()
            instance.signal(SIGKILL)

    def kill(self, name: str, number: Signals) -> None:
        """Sends a signal to an instance. Raises `ValidationError` if it does not run, `NoSuchNameError` if unknown."""
        instance = self.instances.get(name)
        if instance is None:
            raise NoSuchNameError(self._no_such_instance(name))
        if instance.pid is None:
            raise ValidationError("the instance", [Violation(name, f"does not run: it is {instance.state}")])
        instance.signal(number)

    def _no_such_instance(self, name: str) -> str:
        own = [one.spec.instance for one in self.instances.values() if name in (one.spec.name, one.spec.service)]
        if own:
            return f"{name} is a service, not an instance; its instances are {', '.join(own)}"
        return no_such("instance", name, self.instances)

    async def scale(
        self, name: str, replicas: int, version: str | None = None, environment: Mapping[str, str] | None = None
    ) -> scaling.ScaleChange:
        """Scales to that number of instances; returns when the new ones are ready and the removed ones have ended."""
        taken = [instance.spec for instance in self.instances.values() if instance.counts]
        leaving = [instance.spec for instance in self.instances.values() if not instance.counts]
        change = scaling.scale(self.plan, taken, name, replicas, version, environment=environment, leaving=leaving)
        added = [self._add(spec) for spec in change.added]
        removed = [self.instances[spec.instance] for spec in change.removed]
        for instance in removed:
            instance.stopping = True
        await asyncio.gather(*(self._remove(instance) for instance in removed))
        waits = {asyncio.create_task(instance.was_ready.wait()): instance for instance in added}
        timeout = change.added[0].ready_timeout if added else 0.0
        _, late = await asyncio.wait(waits, timeout=timeout) if waits else (set(), set())
        if late:
            texts = [
                self._last_lines(waits[wait], f"was {waits[wait].not_ready_reason}; it is removed") for wait in late
            ]
            for wait in late:
                wait.cancel()
            await asyncio.gather(*(self._remove(waits[wait]) for wait in late))
            names = [instance.readiness.registered_as for wait in late if (instance := waits[wait]).readiness]
            raise StartError("\n".join(texts), next(filter(None, names), ""))
        self._changed()
        return change

    async def replace(self, name: str, environment: Mapping[str, str]) -> None:
        """Replaces an instance by one of the same version with other variables, and stops it once that one is ready.

        Raises `StartError` where the new one does not become ready; the old one stays.
        """
        old = self.instances[name]
        specs = [one.spec for one in self.instances.values() if one.spec.name == old.spec.name and one.counts]
        present = sum(spec.version == old.spec.version for spec in specs)
        await self.scale(old.spec.name, present + 1, old.spec.version, environment)
        await self._remove(old)
        self._changed()

    # Changes of code or topology: see `rolling_restart`

    async def try_out(self, spec: ProcessSpec) -> Instance:
        """Starts one instance more, which counts for nothing, and returns it once it is ready.

        Raises `StartError` where it does not become ready; it is removed then.
        """
        taken = {one.spec.number for one in self.instances.values() if one.spec.name == spec.name}
        number = next(number for number in count(1) if number not in taken)
        instance = self._add(spec.numbered(number, variables=spec.variables), on_trial=True)
        try:
            await self._until_ready_again(instance)
        except StartError:
            await self._remove(instance)
            raise
        return instance

    async def restart(self, name: str, spec: ProcessSpec) -> None:
        """Stops an instance and starts it as `spec` says, under its name; returns when it is ready.

        Raises `StartError` where it does not become ready in time; it is started again until it does.
        """
        old = self.instances[name]
        await self._stop(old)
        instance = self._add(spec.numbered(old.spec.number, variables=spec.variables))
        instance.restarts = old.restarts
        await self._until_ready_again(instance)

    async def remove(self, name: str) -> None:
        """Stops an instance, and forgets it; does nothing if there is none of that name."""
        if name in self.instances:
            await self._remove(self.instances[name])
            self._changed()

    def change_plan(self, plan: Plan) -> None:
        """Has another topology on the same mesh from now on. Its processes are added and removed one by one."""
        self.plan = plan
        self._ready = {process.name: self._ready.get(process.name, asyncio.Event()) for process in plan.processes}

    async def add(self, process: ProcessSpec) -> None:
        """Starts the instances of a process that is new in the plan; returns when they are ready.

        Raises `StartError` for the first that does not become ready in time; they are started again until they do.
        """
        added = [self._add(process.numbered(number)) for number in range(1, process.replicas + 1)]
        self._mark_ready(process.name)
        for instance in added:
            await self._until_ready_again(instance)

    async def _until_ready_again(self, instance: Instance) -> None:
        """Returns when the instance is ready. Raises `StartError` after its timeout, or when it is given up before."""
        assert instance.task is not None
        ready = asyncio.create_task(instance.was_ready.wait())
        limit = instance.spec.ready_timeout
        try:
            await asyncio.wait({ready, instance.task}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        if not instance.was_ready.is_set():
            is_given_up = instance.state is InstanceState.FAILED
            reason = instance.detail if is_given_up else f"was {instance.not_ready_reason}"
            raise StartError(self._last_lines(instance, reason))
        self._changed()

    def lives(self) -> tuple[InstanceStatus, ...]:
        """The running processes."""
        return tuple(instance.status() for instance in self.instances.values() if instance.pid is not None)

    def statuses(self) -> list[InstanceStatus]:
        return [instance.status() for instance in self.instances.values()]

    def history(self, instances: Collection[str] | None, count: int) -> list[tuple[str, str]]:
        """The last `count` lines of those instances (None: all) as (instance, line), in their order."""
        chosen = self._tails if instances is None else [name for name in self._tails if name in instances]
        lines = sorted((number, name, line) for name in chosen for number, line in self._tails[name])
        return [(name, line) for _, name, line in lines[-count:]] if count > 0 else []

    @contextlib.contextmanager
    def listening(self, listener: Callable[[str, str], None]) -> Iterator[None]:
        """Calls `listener` with (instance, line) for every line, within the context."""
        self._listeners.add(listener)
        try:
            yield
        finally:
            self._listeners.discard(listener)

    # One instance

    def _add(self, spec: ProcessSpec, *, on_trial: bool = False) -> Instance:
        instance = Instance(spec, on_trial=on_trial)
        self.instances[spec.instance] = instance
        instance.task = asyncio.create_task(self._supervise(instance), name=spec.instance)
        instance.task.add_done_callback(self._note_bug)
        return instance

    async def _supervise(self, instance: Instance) -> None:
        if not await instance.finishes_before_stop(self._needs_ready(instance)):
            return
        name = instance.spec.instance
        log = LogFile(self._folder.logs / f"{name}.log", continued=name in self._logged)
        self._logged.add(name)
        with contextlib.closing(log):
            while not instance.stopping:
                began = time.monotonic()
                try:
                    await self._run_once(instance, log)
                except ValidationError as error:
                    self._fail(instance, f"cannot be started: {'; '.join(map(str, error.violations))}")
                    return
                if instance.stopping or not instance.spec.restart:
                    self._set(instance, InstanceState.STOPPED)
                    return
                if instance.on_trial and not instance.was_ready.is_set():
                    self._fail(instance, f"{instance.end} before it was ready")
                    return
                delay, instance.restarts = instance.restarts.after(time.monotonic() - began)
                instance.early_ends += not instance.was_ready.is_set()
                if not self._started and instance.early_ends >= _EARLY_ENDS:
                    self._fail(instance, f"{instance.end} before it was ready, {instance.early_ends} times")
                self._set(instance, InstanceState.BACKOFF, f"{instance.end}; starting again in {delay:.1f} s")
                await instance.sleep(delay)

    async def _run_once(self, instance: Instance, log: LogFile) -> None:
        """Starts the process; returns when it has ended."""
        self._set(instance, InstanceState.STARTING)
        resolved = resolve(self.plan, instance.spec, free_ports.find_free, self._run)
        tail = self._tails.setdefault(instance.spec.instance, deque(maxlen=KEPT))

        def on_line(line: str) -> None:
            self._written += 1
            tail.append((self._written, line))
            self._report.line(instance.spec, line)
            for listener in tuple(self._listeners):
                listener(instance.spec.instance, line)
            log.write(line)  # last, because it fails on a full disk

        try:
            await instance.start(resolved, on_line)
        except OSError as error:  # the machine is out of resources
            instance.end = f"could not be started ({error})"
            return
        if instance.stopping:
            instance.signal(SIGKILL if self._killed else SIGTERM)
        self._changed()
        ending = asyncio.create_task(instance.wait())
        try:
            await self._until_ready(instance, ending)
            instance.end = describe_end(await ending)
        except ValidationError:
            instance.signal(SIGKILL)  # it would stay without supervision
            await ending
            raise
        finally:
            ending.cancel()
            self._changed()

    async def _until_ready(self, instance: Instance, ending: asyncio.Task[int]) -> None:
        """Returns when the process is ready or has ended, or was killed after its timeout."""
        assert instance.resolved is not None
        kind = self.plan.readiness(instance.spec)
        instance.readiness = readiness = Readiness(kind, instance.resolved)
        probing = asyncio.create_task(readiness.wait())
        limit = instance.spec.ready_timeout
        try:
            await asyncio.wait({probing, ending}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if probing.done() and not ending.done():
                probing.result()
                instance.was_ready.set()
                self._set(instance, InstanceState.READY, readiness.warning)
                self._mark_ready(instance.spec.name)
            elif not ending.done() and not instance.stopping:
                late = f"not ready ({kind}) after {limit:g} s: {readiness.reason}"
                if not self._started:
                    self._fail(instance, f"was {late}")
                self._set(instance, InstanceState.STARTING, f"{late}; ended")
                instance.signal(SIGKILL)
        finally:
            probing.cancel()

    async def _stop(self, instance: Instance) -> None:
        """SIGTERM, then SIGKILL after the timeout."""
        instance.stopping = True
        instance.stop_requested.set()
        if instance.pid is not None:
            self._set(instance, InstanceState.STOPPING)
            instance.signal(SIGTERM)
        if instance.task:
            _, late = await asyncio.wait({instance.task}, timeout=instance.spec.stop_timeout)
            if late:
                timeout = instance.spec.stop_timeout
                self._set(instance, InstanceState.STOPPING, f"did not end within {timeout:g} s of SIGTERM; killed")
                instance.signal(SIGKILL)
                await asyncio.wait({instance.task})
        self._set(instance, InstanceState.STOPPED)

    # Bookkeeping

    async def _all_ready(self) -> None:
        for instance in tuple(self.instances.values()):
            await instance.was_ready.wait()

    async def _needs_ready(self, instance: Instance) -> None:
        for need in self.plan.needs(instance.spec):
            await self._ready[need].wait()

    async def _remove(self, instance: Instance) -> None:
        await self._stop(instance)
        self.instances.pop(instance.spec.instance, None)

    def _mark_ready(self, name: str) -> None:
        """Releases the dependents of the process, if all its instances have been ready."""
        own = [instance for instance in self.instances.values() if instance.spec.name == name]
        if all(instance.was_ready.is_set() for instance in own):
            self._ready[name].set()

    def _fail(self, instance: Instance, reason: str) -> None:
        self._set(instance, InstanceState.FAILED, reason)
        if not self._started and not self.failure.done():
            self.failure.set_exception(StartError(self._last_lines(instance, reason)))

    def _last_lines(self, instance: Instance, reason: str) -> str:
        lines = list(self._tails.get(instance.spec.instance, ()))[-TAIL:]
        tail = "\n".join(f"  | {line}" for _, line in lines) or "  | (it wrote nothing)"
        return f"{instance.spec.instance} {reason}. Its last lines:\n{tail}"

    def _set(self, instance: Instance, state: InstanceState, detail: str = "") -> None:
        if instance.state is not state or detail:
            instance.state, instance.detail, instance.since = state, detail, time.time()
            self._report.changed(instance.status())

    def _note_bug(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not self.failure.done():
            self.failure.set_exception(error)
