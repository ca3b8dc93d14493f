"""One term of the operator: everything behind one guard's gate, until the process ends or a Lease is lost.

The operator's state is valid only while it holds its Leases. So all of it belongs to a term: the guard, the connection
to the API server with its gate, kopf, the reconcilers. When a Lease is lost the gate closes permanently, the
reconcilers stop, kopf ends, and the next term starts without any state of the last one: a leftover task cannot write,
because its gate stays closed. The process stays, with its health pages and metrics: a new one would take longer, and an
API server that is slow for a minute would put it into CrashLoopBackOff for five.

kopf starts when the first Lease is held: before, there is nothing to watch, and an unavailable API server would only
make its backoff grow.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, cast

import kopf

from meshwright.errors import MeshwrightError
from meshwright.process import stop_event
from meshwright.rollout.adapters import ConsulMetricSource, ConsulTraffic
from meshwright.rollout.engine import Engine
from meshwright_operator.deletion import Finalizer
from meshwright_operator.event_recorder import KubernetesEventRecorder
from meshwright_operator.handlers import Handlers
from meshwright_operator.kubernetes.deployments import Deployments
from meshwright_operator.lease.client import LeaseClient
from meshwright_operator.lease.election import Timing
from meshwright_operator.lease.gated_traffic import GatedTraffic
from meshwright_operator.lease.guard import Guard, LeaseLostError
from meshwright_operator.lease.namespaces import WatchedNamespaces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshwright.consul import Consul
    from meshwright.rollout.adapters.trace_exporter import TraceExporter
    from meshwright.rollout.metrics import RolloutMetrics
    from meshwright_operator.config import OperatorConfig
    from meshwright_operator.health import OperatorState
    from meshwright_operator.kubernetes.cluster import Cluster

log = logging.getLogger(__name__)
NAME = "meshwright-operator"
_RELIST = 90.0
"""Seconds after which the watch for namespaces restarts: watches can stall without an error."""
_AGAIN = 5.0
_END = 30.0
"""Seconds for kopf to end; after them the process ends."""


class StuckError(MeshwrightError):
    """The tasks of a finished term do not end; the process has to end."""


class LeadershipTerm:
    """One term, made from the objects that outlast it."""

    def __init__(self, config: OperatorConfig, cluster: Cluster, consul: Consul, traces: TraceExporter) -> None:
        self._config = config
        self._cluster = cluster
        requests = LeaseClient(cluster.client)
        self.guard = Guard(requests, config.identity(cluster.namespace), Timing(config.lease_seconds))
        cluster.acting = self.guard.acting
        self.guard.set_namespaces(config.namespaces or {cluster.namespace})
        self._watched = WatchedNamespaces(cluster, requests, self.guard)
        self._deployments = Deployments(cluster)
        self._engine = Engine(
            self._deployments,
            GatedTraffic(ConsulTraffic(consul), self.guard.acting),
            ConsulMetricSource(consul),
            KubernetesEventRecorder(traces),
        )

    async def run(self, operator_state: OperatorState, metrics: RolloutMetrics, stopping: asyncio.Event) -> None:
        """Runs until `stopping`. Raises `LeaseLostError` when everything has stopped because a Lease was lost."""
        handlers = Handlers(
            self._engine,
            self._cluster,
            self._deployments,
            metrics,
            watched=self._watched,
            finalizer=Finalizer(self._cluster, self._config.finalizer_deadline),
            reconcilers=operator_state.reconcilers,
        )
        operator_state.guard = self.guard
        try:
            await self._work(handlers, stopping)
        except LeaseLostError:
            for key in list(self._watched.known | operator_state.reconcilers.keys()):
                metrics.forget(*key)
            operator_state.reconcilers.clear()
            raise
        # At the end of the process only, not between two terms: nothing is written without a Lease.
        await self._watched.withdraw_conditions()
        await self.guard.close()

    async def _work(self, handlers: Handlers, stopping: asyncio.Event) -> None:
        # Before kopf's tasks: at its end kopf cancels every task that started after it.
        guarding = {asyncio.create_task(self.guard.run(self._watched), name="the guard")}
        if self._config.clusterwide:
            guarding.add(asyncio.create_task(self._discover(), name="namespaces with rollouts"))
        signalled = asyncio.create_task(stopping.wait())
        begun = asyncio.create_task(self._watched.started.wait())
        stop = asyncio.Event()
        operating: set[asyncio.Task[None]] = set()
        try:
            await asyncio.wait({signalled, begun, *guarding}, return_when=asyncio.FIRST_COMPLETED)
            if begun.done() and not signalled.done():
                operating = {asyncio.create_task(self._operate(handlers, stop), name="kopf")}
                await asyncio.wait({signalled, *operating, *guarding}, return_when=asyncio.FIRST_COMPLETED)
            if any(task.done() for task in guarding):
                handlers.stop()
            stop.set()
            await _ended(operating)
        finally:
            for task in (signalled, begun, *guarding):
                task.cancel()
            ended = await asyncio.gather(*guarding, return_exceptions=True)
        for outcome in ended:
            if isinstance(outcome, Exception):
                raise outcome

    async def _operate(self, handlers: Handlers, stop: asyncio.Event) -> None:
        spared = _Spared(asyncio.all_tasks(), self.guard)
        tasks = await kopf.spawn_tasks(
            registry=handlers.registry(),
            # A pattern, without scanning: `WatchedNamespaces` decides what is watched.
            namespaces=["*"],
            insights=self._watched.insights,
            # kopf would look up the user's name, and a container's user has none.
            identity=cast("Any", NAME),
            standalone=True,
            stop_flag=stop,
        )
        with stop_event():  # kopf has replaced the signal handlers
            await kopf.run_tasks(tasks, ignored=spared)

    async def _discover(self) -> None:
        """Tracks the namespaces with rollouts, and the operator's own."""
        while True:
            try:
                async with asyncio.timeout(_RELIST), contextlib.aclosing(self._cluster.rollout_namespaces()) as found:
                    async for namespaces in found:
                        self.guard.set_namespaces(namespaces | {self._cluster.namespace})
            except TimeoutError:
                continue
            except MeshwrightError as error:
                log.warning("%s", error)
            await asyncio.sleep(_AGAIN)


class _Spared(Collection[asyncio.Task[Any]]):
    """The tasks that kopf must not cancel at its end: earlier ones, and the guard's, which may start later."""

    def __init__(self, before: set[asyncio.Task[Any]], guard: Guard) -> None:
        self._before = before
        self._guard = guard

    def _all(self) -> set[asyncio.Task[Any]]:
        return self._before | set(self._guard.tasks.values())

    def __contains__(self, task: object) -> bool:
        return task in self._all()

    def __iter__(self) -> Iterator[asyncio.Task[Any]]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


async def _ended(operating: set[asyncio.Task[None]]) -> None:
    if not operating:
        return
    _, pending = await asyncio.wait(operating, timeout=_END)
    if pending:
        raise StuckError(f"watching did not end within {_END:g} s: ending the process")
    for task in operating:
        task.result()
