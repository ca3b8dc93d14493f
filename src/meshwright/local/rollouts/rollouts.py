"""Rollouts on a running `up`: the same resource and engine as on Kubernetes, with processes as workloads.

Each rollout is a file `<state>/rollouts/<name>.json`: the resource with its status, written whole after each change. A
restarted `up` continues from it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any

from meshwright.errors import UnreachableError, ValidationError, Violation
from meshwright.local.rollouts.process_workloads import ProcessWorkloads, environment
from meshwright.name_suggestions import NoSuchNameError, no_such, no_such_service
from meshwright.rollout.adapters import ConsulMetricSource, ConsulTraffic
from meshwright.rollout.api import commands, status_document
from meshwright.rollout.api.parsing import parse_on_laptop, refuse_change
from meshwright.rollout.api.status import Promotion, RolloutStatus
from meshwright.rollout.api.vocabulary import API_VERSION, KIND, EventType, Phase
from meshwright.rollout.engine import Engine
from meshwright.rollout.metrics import RolloutMetrics
from meshwright.rollout.reconciler import Reconciler

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Self

    from meshwright.consul import Consul
    from meshwright.local.rollouts.rollout_manager import PrintEvent
    from meshwright.local.supervisor.supervisor import Supervisor
    from meshwright.rollout.adapters.trace_exporter import TraceExporter
    from meshwright.rollout.api.spec import Rollout
    from meshwright.rollout.reconcile.decision import Event, FinishedSpan
    from meshwright.telemetry import Telemetry

log = logging.getLogger(__name__)

_RETIREMENT = 15.0
"""Seconds for the processes of other versions to end when a rollout is deleted."""
_LOOK = 0.2


class TerminalEventRecorder:
    """The `EventRecorder` port on a terminal."""

    def __init__(self, say: PrintEvent, traces: TraceExporter) -> None:
        self._say = say
        self._traces = traces

    async def events(self, rollout: Rollout, events: Sequence[Event]) -> None:
        for event in events:
            self._say(rollout.name, f"{event.reason}: {event.message}", warning=event.type is EventType.WARNING)

    async def spans(self, rollout: Rollout, spans: Sequence[FinishedSpan]) -> None:
        await self._traces.export(rollout, spans)


class Rollouts:
    """All rollouts of one `up`. An async context manager."""

    def __init__(
        self,
        supervisor: Supervisor,
        folder: Path,
        consul: Consul,
        telemetry: Telemetry,
        recorder: TerminalEventRecorder,
    ) -> None:
        self._supervisor = supervisor
        self._folder = folder
        self._versions = ProcessWorkloads(supervisor, folder)
        self._metric_source = ConsulMetricSource(consul)
        self._engine = Engine(self._versions, ConsulTraffic(consul), self._metric_source, recorder)
        self._metrics = RolloutMetrics(telemetry.metrics.registry)
        self._documents: dict[str, dict[str, Any]] = {}
        self._reconcilers: dict[str, Reconciler] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(self._folder.glob("*.json")):
            try:
                document = json.loads(path.read_text())
                self._documents[path.stem] = document
                self._follow(path.stem)
            except (ValueError, KeyError, TypeError) as error:
                log.warning("%s is not a rollout and is left alone: %s", path, error)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self._versions.close()

    def documents(self) -> list[dict[str, Any]]:
        return [self._documents[name] for name in sorted(self._documents)]

    def apply(self, document: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Creates a rollout or replaces its spec; returns the resource and notices. Raises `ValidationError`."""
        rollout = parse_on_laptop(document)
        self._check(rollout)
        before = self._documents.get(rollout.name)
        if before is not None:
            refuse_change(parse_on_laptop(before), rollout)
        _, notices = environment(rollout.template or {})
        if rollout.workload_ref is not None:
            notices.append("workloadRef is ignored here: the topology defines the processes")
        metadata = {**document["metadata"], "namespace": document["metadata"].get("namespace", "default")}
        old = (before or {}).get("metadata", {})
        metadata["uid"] = old.get("uid") or str(uuid.uuid4())
        same = before is not None and before["spec"] == document["spec"]
        metadata["generation"] = old.get("generation", 0) + (0 if same else 1)
        made = {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": dict(document["spec"])}
        status = before.get("status") if before is not None else self._adopted(rollout)
        if status:
            made["status"] = status
        self._keep(rollout.name, made)
        return made, notices

    def patch(self, name: str, patch: Mapping[str, Any]) -> dict[str, Any]:
        """Changes a rollout by a merge patch; returns the resource. Raises `ValidationError`."""
        before = self._known(name)
        changed = commands.merged(before, {key: value for key, value in patch.items() if key != "status"})
        refuse_change(parse_on_laptop(before), parse_on_laptop(changed))
        if changed["spec"] != before["spec"]:
            changed["metadata"]["generation"] = before["metadata"].get("generation", 0) + 1
        self._keep(name, changed)
        return dict(changed)

    async def delete(self, name: str) -> None:
        """Restores or keeps the traffic rules, and deletes the rollout.

        The stable version's processes stay; those of other versions end first, because without rules they would get
        calls.
        """
        self._known(name)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_RETIREMENT):
                while await self._reconcilers[name].retire_others():  # noqa: ASYNC110 - one step in each call
                    await asyncio.sleep(_LOOK)
        if not await self._reconcilers[name].finalize():
            raise UnreachableError(
                f"the traffic rules of {name} could not be restored: Consul does not answer; try again"
            )
        self._tasks.pop(name).cancel()
        del self._reconcilers[name], self._documents[name]
        (self._folder / f"{name}.json").unlink(missing_ok=True)
        self._versions.forget(name)

    def of(self, service: str) -> str:
        """The name of the service's rollout; empty without one."""
        return next((name for name, one in self._documents.items() if one["spec"]["service"] == service), "")

    def wake(self) -> None:
        """Starts the next pass of every rollout: a process changed."""
        for reconciler in self._reconcilers.values():
            reconciler.wake()

    def _adopted(self, rollout: Rollout) -> dict[str, Any]:
        """The status of a new rollout: the running version is the stable one."""
        specs = [instance.spec for instance in self._supervisor.instances.values() if instance.counts]
        processes = {process.name for process in self._supervisor.plan.processes if process.service == rollout.service}
        running = Counter(spec.version for spec in specs if spec.name in processes)
        if not running:
            return {}
        version, _ = running.most_common(1)[0]
        promoted = (Promotion(version, time.time()),)
        return status_document.write(
            RolloutStatus(phase=Phase.HEALTHY, stable=version, target=version, history=promoted)
        )

    def _check(self, rollout: Rollout) -> None:
        """Checks for limits of `up` that do not apply on Kubernetes."""
        services = {process.service: process for process in self._supervisor.plan.topology.processes}
        process = services.get(rollout.service)
        problems = []
        if process is None:
            problems.append(Violation("spec.service", no_such_service(rollout.service, services)))
        elif process.port:
            what = f"{process.name} has the fixed port {process.port}, so that it can have one instance only"
            problems.append(Violation("spec.service", what))
        problems += [
            Violation("spec.service", f"rollout {other['metadata']['name']} has this service already")
            for other in self._documents.values()
            if other["metadata"]["name"] != rollout.name and other["spec"]["service"] == rollout.service
        ]
        if problems:
            raise ValidationError(f"{KIND} {rollout.name}", problems)

    def _known(self, name: str) -> dict[str, Any]:
        if name not in self._documents:
            raise NoSuchNameError(no_such("rollout", name, self._documents))
        return self._documents[name]

    def _keep(self, name: str, document: dict[str, Any]) -> None:
        self._documents[name] = document
        self._store(name)
        if name in self._reconcilers:
            self._reconcilers[name].update(document)
        else:
            self._follow(name)

    def _follow(self, name: str) -> None:
        async def write(status: RolloutStatus) -> bool:
            if name not in self._documents:
                return False
            self._documents[name] = {**self._documents[name], "status": status_document.write(status)}
            self._store(name)
            return True

        reconciler = Reconciler(self._engine, self._documents[name], write, self._metrics, read=parse_on_laptop)
        self._reconcilers[name] = reconciler
        self._tasks[name] = asyncio.create_task(reconciler.run(), name=f"rollout {name}")

    def _store(self, name: str) -> None:
        path = self._folder / f"{name}.json"
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(self._documents[name], indent=2))
        fresh.replace(path)
