"""The supervisor: keeps every seat of a plan taken, until it is told to stop.

Each seat has one task, which lives through the life of its instance again and again: wait for what it needs, start,
wait until ready, wait for the end, wait a little longer than last time. Nothing here decides: the plan says what to
start and in which order to stop, `restarts` how long to wait, `seats` what scaling means. Nothing here prints either:
a `Report` hears of every line and every change.

Until all seats have been ready once, a process that fails to become ready fails the whole start, because a person is
waiting for it and has to be told why. From then on the supervisor never gives up on a process.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from signal import SIGKILL, SIGTERM
from typing import TYPE_CHECKING, Any, Protocol

from meshwright import ports
from meshwright.errors import BadInputError, MeshwrightError, Problem
from meshwright.local import seats as seating
from meshwright.local.child import Child, describe_end
from meshwright.local.logfiles import LogFile
from meshwright.local.member import Member, State, Status
from meshwright.local.plan import launch, stop_stages
from meshwright.local.readiness import Readiness
from meshwright.local.state import Life
from meshwright.names import NoSuchNameError, no_such

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from signal import Signals

    from meshwright.local.plan import Plan, Seat
    from meshwright.local.state import Folder

TAIL = 15
"""Lines of a log that an error shows."""
KEPT = 1000
"""Lines of each instance that are kept in memory."""
_EARLY_ENDS = 3
"""How often a process may end before it was ready, during the start."""


class StartError(MeshwrightError):
    """A process did not become ready. The text has the last lines of its log."""

    def __init__(self, text: str, found_as: str = "") -> None:
        super().__init__(text)
        self.found_as = found_as
        """The service as which it has registered, where that is not its own."""


class Report(Protocol):
    """Who hears of what happens."""

    def line(self, seat: Seat, text: str) -> None:
        """An instance wrote a line."""

    def changed(self, status: Status) -> None:
        """An instance went from one state into another."""


class Supervisor:
    """Runs a plan. `changed` is called after each start and end of a process: to write the state down."""

    def __init__(self, plan: Plan, folder: Folder, run: str, report: Report, changed: Callable[[], None]) -> None:
        self.plan = plan
        self.members: dict[str, Member] = {}
        self._tails: dict[str, deque[tuple[int, str]]] = {}
        self._written = 0
        self._listeners: set[Callable[[str, str], None]] = set()
        self._folder = folder
        self._run = run
        self._report = report
        self._changed = changed
        self._started = False
        self._killed = False
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Fails when the start fails, and later if the supervisor itself does."""
        self._ready: dict[str, asyncio.Event] = {process.name: asyncio.Event() for process in plan.processes}

    async def start(self) -> None:
        """Start everything; returns when all is ready, raises `StartError` if something does not become so."""
        for seat in seating.initial(self.plan):
            self._add(seat)
        for name in self._ready:
            self._note_ready(name)
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
        """Stop everything: what others wait for last."""
        for stage in stop_stages(self.plan):
            members = [member for member in self.members.values() if member.seat.process in stage]
            await asyncio.gather(*(self._stop(member) for member in members))

    def kill_all(self) -> None:
        """End everything at once."""
        self._killed = True
        for member in self.members.values():
            member.stopping = True
            member.woken.set()
            if member.child:
                member.child.signal(SIGKILL)

    def kill(self, instance: str, number: Signals) -> None:
        """Send a signal to an instance; raises `BadInputError` if there is none of that name that runs."""
        member = self.members.get(instance)
        if member is None:
            raise NoSuchNameError(self._no_such_instance(instance))
        if member.child is None or member.child.code is not None:
            raise BadInputError("the instance", [Problem(instance, f"does not run: it is {member.state}")])
        member.child.signal(number)

    def _no_such_instance(self, name: str) -> str:
        own = [one.seat.instance for one in self.members.values() if name in (one.seat.process, one.process.service)]
        if own:
            return f"{name} is a service, not an instance; its instances are {', '.join(own)}"
        return no_such("instance", name, self.members)

    async def scale(
        self, name: str, replicas: int, version: str | None = None, environment: Mapping[str, str] | None = None
    ) -> seating.Change:
        """Have that many instances; returns when the new ones are ready and the others gone."""
        taken = [member.seat for member in self.members.values() if not member.stopping]
        leaving = [member.seat for member in self.members.values() if member.stopping]
        change = seating.scale(self.plan, taken, name, replicas, version, environment=environment, leaving=leaving)
        added = [self._add(seat) for seat in change.added]
        removed = [self.members[seat.instance] for seat in change.removed]
        for member in removed:
            member.stopping = True
        await asyncio.gather(*(self._give_up(member) for member in removed))
        waits = {asyncio.create_task(member.was_ready.wait()): member for member in added}
        patience = self.plan.process(change.added[0].process).ready_timeout if added else 0.0
        _, late = await asyncio.wait(waits, timeout=patience) if waits else (set(), set())
        if late:
            texts = [self._last_lines(waits[wait], f"was {waits[wait].lateness}; it is given up") for wait in late]
            for wait in late:
                wait.cancel()
            await asyncio.gather(*(self._give_up(waits[wait]) for wait in late))
            names = [member.readiness.found_as for wait in late if (member := waits[wait]).readiness]
            raise StartError("\n".join(texts), next(filter(None, names), ""))
        self._changed()
        return change

    async def replace(self, instance: str, environment: Mapping[str, str]) -> None:
        """Put an instance of the same version with other variables in its place, which goes when the new one is ready.

        Raises `StartError` where the new one does not become ready; the old one stays then.
        """
        old = self.members[instance]
        seats = [one.seat for one in self.members.values() if one.process is old.process and not one.stopping]
        present = sum(seat.version == old.seat.version for seat in seats)
        await self.scale(old.process.name, present + 1, old.seat.version, environment)
        await self._give_up(old)
        self._changed()

    def lives(self) -> tuple[Life, ...]:
        """The processes that run."""
        running = [member for member in self.members.values() if member.child and member.child.code is None]
        return tuple(
            Life(member.seat.instance, member.child.pid, member.child.started) for member in running if member.child
        )

    def statuses(self) -> list[Status]:
        return [member.status() for member in self.members.values()]

    def history(self, instances: Collection[str] | None, count: int) -> list[tuple[str, str]]:
        """The last `count` lines of those instances (None: of all) as (instance, line), in the order of writing."""
        chosen = self._tails if instances is None else [name for name in self._tails if name in instances]
        lines = sorted((number, name, line) for name in chosen for number, line in self._tails[name])
        return [(name, line) for _, name, line in lines[-count:]] if count > 0 else []

    @contextlib.contextmanager
    def listening(self, listener: Callable[[str, str], None]) -> Iterator[None]:
        """Have `listener` called with (instance, line) for every line, for as long as the context lasts."""
        self._listeners.add(listener)
        try:
            yield
        finally:
            self._listeners.discard(listener)

    # One seat

    def _add(self, seat: Seat) -> Member:
        member = Member(seat, self.plan.process(seat.process))
        self.members[seat.instance] = member
        member.task = asyncio.create_task(self._live(member), name=seat.instance)
        member.task.add_done_callback(self._note_bug)
        return member

    async def _live(self, member: Member) -> None:
        if not await member.unless_woken(self._needs_ready(member)):
            return
        log = LogFile(self._folder.logs / f"{member.seat.instance}.log")
        with contextlib.closing(log):
            while not member.stopping:
                began = time.monotonic()
                try:
                    await self._one_life(member, log)
                except BadInputError as error:
                    self._fail(member, f"cannot be started: {'; '.join(map(str, error.problems))}")
                    return
                if member.stopping or not member.process.restart:
                    self._set(member, State.STOPPED)
                    return
                delay, member.restarts = member.restarts.after(time.monotonic() - began)
                member.early_ends += not member.was_ready.is_set()
                if not self._started and member.early_ends >= _EARLY_ENDS:
                    self._fail(member, f"{member.end} before it was ready, {member.early_ends} times")
                self._set(member, State.BACKOFF, f"{member.end}; starting again in {delay:.1f} s")
                await member.sleep(delay)

    async def _one_life(self, member: Member, log: LogFile) -> None:
        """Start the process, and return when it has ended."""
        self._set(member, State.STARTING)
        started = launch(self.plan, member.seat, ports.find_free, self._run)
        tail = self._tails.setdefault(member.seat.instance, deque(maxlen=KEPT))

        def on_line(line: str) -> None:
            self._written += 1
            tail.append((self._written, line))
            self._report.line(member.seat, line)
            for listener in tuple(self._listeners):
                listener(member.seat.instance, line)
            log.write(line)  # last, as the one that a full disk refuses

        member.launch = started
        try:
            member.child = child = await Child.start(started, on_line)
        except OSError as error:  # the machine has no room for it now
            member.end = f"could not be started ({error})"
            return
        if member.stopping:
            child.signal(SIGKILL if self._killed else SIGTERM)
        self._changed()
        ending = asyncio.create_task(child.wait())
        try:
            await self._until_ready(member, ending)
            member.end = describe_end(await ending)
        except BadInputError:
            child.signal(SIGKILL)  # nobody will look after it
            await ending
            raise
        finally:
            ending.cancel()
            self._changed()

    async def _until_ready(self, member: Member, ending: asyncio.Task[int]) -> None:
        """Return when the process is ready or has ended, or has been ended because it took too long."""
        assert member.launch is not None
        assert member.child is not None
        kind = self.plan.readiness(member.process)
        member.readiness = readiness = Readiness(kind, member.launch)
        probing = asyncio.create_task(readiness.wait())
        limit = member.process.ready_timeout
        try:
            await asyncio.wait({probing, ending}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if probing.done() and not ending.done():
                probing.result()
                member.was_ready.set()
                self._set(member, State.READY, readiness.oddity)
                self._note_ready(member.seat.process)
            elif not ending.done() and not member.stopping:
                late = f"not ready ({kind}) after {limit:g} s: {readiness.reason}"
                if not self._started:
                    self._fail(member, f"was {late}")
                self._set(member, State.STARTING, f"{late}; ended")
                member.child.signal(SIGKILL)
        finally:
            probing.cancel()

    async def _stop(self, member: Member) -> None:
        """SIGTERM, patience, SIGKILL."""
        member.stopping = True
        member.woken.set()
        if member.child and member.child.code is None:
            self._set(member, State.STOPPING)
            member.child.signal(SIGTERM)
        if member.task:
            _, late = await asyncio.wait({member.task}, timeout=member.process.stop_timeout)
            if late:
                patience = member.process.stop_timeout
                self._set(member, State.STOPPING, f"did not end within {patience:g} s of SIGTERM; killed")
                if member.child:
                    member.child.signal(SIGKILL)
                await asyncio.wait({member.task})
        self._set(member, State.STOPPED)

    # Bookkeeping

    async def _all_ready(self) -> None:
        for member in tuple(self.members.values()):
            await member.was_ready.wait()

    async def _needs_ready(self, member: Member) -> None:
        for need in self.plan.needs(member.process):
            await self._ready[need].wait()

    async def _give_up(self, member: Member) -> None:
        await self._stop(member)
        self.members.pop(member.seat.instance, None)

    def _note_ready(self, name: str) -> None:
        """Let those go on who wait for the process, if all its instances have been ready."""
        own = [member for member in self.members.values() if member.seat.process == name]
        if all(member.was_ready.is_set() for member in own):
            self._ready[name].set()

    def _fail(self, member: Member, reason: str) -> None:
        self._set(member, State.FAILED, reason)
        if not self._started and not self.failure.done():
            self.failure.set_exception(StartError(self._last_lines(member, reason)))

    def _last_lines(self, member: Member, reason: str) -> str:
        lines = list(self._tails.get(member.seat.instance, ()))[-TAIL:]
        tail = "\n".join(f"  | {line}" for _, line in lines) or "  | (it wrote nothing)"
        return f"{member.seat.instance} {reason}. Its last lines:\n{tail}"

    def _set(self, member: Member, state: State, detail: str = "") -> None:
        if member.state is not state or detail:
            member.state, member.detail, member.since = state, detail, time.time()
            self._report.changed(member.status())

    def _note_bug(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not self.failure.done():
            self.failure.set_exception(error)
