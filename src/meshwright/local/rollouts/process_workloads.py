"""The `Workloads` port of the rollout engine on processes of a running `up`.

A version of a service is the set of its instances with that version. The engine does not wait for starts and stops:
each change runs in its own task, and the next pass observes its progress. The image of a pod template is ignored,
because the topology defines the processes; the plain variables of its first container are applied. When they change for
a version, its instances are replaced one after another: a new one is ready before an old one ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import time
from typing import TYPE_CHECKING, Any

from meshwright.errors import MeshwrightError
from meshwright.local.planner import resumed_versions
from meshwright.local.planner.resumed_versions import VersionTemplate
from meshwright.local.supervisor.status import InstanceState
from meshwright.local.supervisor.supervisor import StartError
from meshwright.rollout.api.observed import Explanation, Trouble, Workload
from meshwright.rollout.api.vocabulary import VERSION_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from meshwright.local.supervisor.instances import Instance
    from meshwright.local.supervisor.supervisor import Supervisor
    from meshwright.rollout.api.spec import Rollout

log = logging.getLogger(__name__)

_REGISTERS = 5.0
"""Seconds after which a ready instance should be registered in Consul."""


class ProcessWorkloads:
    """The `Workloads` port on processes."""

    def __init__(self, supervisor: Supervisor, folder: Path) -> None:
        self._supervisor = supervisor
        self._folder = folder
        self._templates: dict[str, dict[str, VersionTemplate]] = {}
        """By rollout and version; stored beside the rollout, for the next run."""
        self._changes: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._replacing: dict[tuple[str, str], str] = {}
        self._failures: dict[tuple[str, str], Trouble] = {}

    async def observe(self, rollout: Rollout) -> dict[str, Workload]:
        found: dict[str, list[Instance]] = {}
        for instance in self._supervisor.instances.values():
            if instance.spec.service == rollout.service and instance.counts:
                found.setdefault(instance.spec.version, []).append(instance)
        return {version: self._workload(rollout, version, instances) for version, instances in found.items()}

    def _workload(self, rollout: Rollout, version: str, instances: list[Instance]) -> Workload:
        template = self._template_of(rollout, version)
        old = sum(dict(instance.spec.variables) != template.variables for instance in instances)
        # During a replacement there is one instance more than desired.
        leaving = self._replacing.get((rollout.service, version))
        surplus = sum(instance.spec.instance == leaving for instance in instances)
        running = sum(instance.state is InstanceState.READY for instance in instances)
        return Workload(
            version,
            len(instances) - surplus,
            running,
            _digest(template.variables),
            template.revision,
            old,
            keeps_count=False,
        )

    async def version(self, rollout: Rollout) -> str:
        """The rollout's version: `up` rejects a resource without one."""
        return rollout.version

    async def template(self, rollout: Rollout) -> str:
        return _digest(environment(rollout.template or {})[0])

    async def ensure(self, rollout: Rollout, version: str, replicas: int) -> None:
        exists = version in await self.observe(rollout)
        if version == rollout.version and not (rollout.paused and exists):
            self._take_template(rollout, exists=exists)
        await self.scale(rollout, version, replicas)
        self._replace_old(rollout, version)

    async def scale(self, rollout: Rollout, version: str, replicas: int) -> None:
        key = (rollout.service, version)
        present = (await self.observe(rollout)).get(version, Workload(version, 0)).desired
        if present == replicas or self._is_changing(key):
            return
        change = self._scale(*key, replicas, self._template_of(rollout, version).variables)
        self._changes[key] = asyncio.create_task(change, name=f"{rollout.service} {version}")

    def _is_changing(self, key: tuple[str, str]) -> bool:
        return key in self._changes and not self._changes[key].done()

    def _replace_old(self, rollout: Rollout, version: str) -> None:
        """Starts to replace one instance with other variables than the version's, unless a change is running."""
        key, values = (rollout.service, version), self._template_of(rollout, version).variables
        if self._is_changing(key):
            return
        for instance in self._supervisor.instances.values():
            spec = instance.spec
            is_mine = (instance.spec.service, spec.version) == key and instance.counts
            if is_mine and dict(spec.variables) != values:
                self._changes[key] = asyncio.create_task(
                    self._replace(key, spec.instance, values),
                    name=f"{rollout.service} {version}: {spec.instance}",
                )
                return

    async def _replace(self, key: tuple[str, str], instance: str, values: Mapping[str, str]) -> None:
        self._replacing[key] = instance
        try:
            await self._supervisor.replace(instance, values)
            self._failures.pop(key, None)
        except MeshwrightError as error:
            self._note_failure(key, error)
        finally:
            del self._replacing[key]

    async def explain(self, rollout: Rollout, versions: Sequence[str]) -> Explanation:
        """The last end of a process with its last line; for a running one, why it is not ready."""
        troubles: dict[str, tuple[Trouble, ...]] = {}
        ready: dict[str, tuple[str, ...]] = {}
        for version in versions:
            mine = [
                instance
                for instance in self._supervisor.instances.values()
                if (instance.spec.service, instance.spec.version) == (rollout.service, version) and instance.counts
            ]
            found = [trouble for instance in mine if (trouble := self._trouble(instance)) is not None]
            failure = self._failures.get((rollout.service, version))
            if failure is not None and not found:
                found = [failure]
            troubles[version] = tuple(found[:1])
            ready[version] = tuple(
                instance.resolved.address
                for instance in mine
                if instance.state is InstanceState.READY
                and instance.resolved
                and time.time() - instance.since > _REGISTERS
            )
        return Explanation(troubles, ready)

    def _trouble(self, instance: Instance) -> Trouble | None:
        name = instance.spec.instance
        if instance.state is InstanceState.FAILED:
            return Trouble(name, "Failed", instance.detail)
        if instance.state is InstanceState.STARTING and instance.readiness and instance.readiness.registered_as:
            return Trouble(name, "OtherServiceName", instance.readiness.reason)
        if instance.state is InstanceState.READY or not (instance.end or instance.detail):
            return None
        if not instance.end:
            return Trouble(name, "NotReady", instance.detail)
        lines = [line for _, line in self._supervisor.history({name}, 1)]
        said = f": {lines[-1]}" if lines else ""
        count = f", restarted {instance.restarts.total} times" if instance.restarts.total > 1 else ""
        return Trouble(name, "Exited", f"it {instance.end}{count}{said}")

    async def delete(self, rollout: Rollout, version: str) -> None:
        await self.scale(rollout, version, 0)
        self._remember(rollout, version, None)

    def forget(self, name: str) -> None:
        """Forgets the templates of a deleted rollout."""
        self._templates.pop(name, None)
        resumed_versions.write_templates(self._folder / f"{name}.json", {})

    async def close(self) -> None:
        """Cancels running changes; the supervisor stops the processes."""
        for task in self._changes.values():
            task.cancel()
        for task in self._changes.values():
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def _of(self, rollout: Rollout) -> dict[str, VersionTemplate]:
        if rollout.name not in self._templates:
            self._templates[rollout.name] = resumed_versions.templates(self._path(rollout))
        return self._templates[rollout.name]

    def _template_of(self, rollout: Rollout, version: str) -> VersionTemplate:
        """The version's template; without one, the topology's variables only, as revision 1."""
        return self._of(rollout).get(version, VersionTemplate())

    def _take_template(self, rollout: Rollout, *, exists: bool) -> None:
        """Applies the rollout's template to the requested version; a different template is its next revision."""
        version, values = rollout.version, environment(rollout.template or {})[0]
        before = self._template_of(rollout, version)
        is_first = not exists and version not in self._of(rollout)
        if is_first or before.variables != values:
            self._remember(rollout, version, VersionTemplate(values, before.revision + (not is_first)))

    def _remember(self, rollout: Rollout, version: str, template: VersionTemplate | None) -> None:
        """Stores the version's last template; None: removes it."""
        known = self._of(rollout)
        known.pop(version, None)
        if template is not None:
            known[version] = template
        resumed_versions.write_templates(self._path(rollout), known)

    def _path(self, rollout: Rollout) -> Path:
        return self._folder / f"{rollout.name}.json"

    async def _scale(self, service: str, version: str, replicas: int, values: Mapping[str, str] | None) -> None:
        try:
            await self._supervisor.scale(service, replicas, version, values)
            self._failures.pop((service, version), None)
        except MeshwrightError as error:
            self._note_failure((service, version), error)

    def _note_failure(self, key: tuple[str, str], error: MeshwrightError) -> None:
        """Keeps the failure of instances that did not start, until others have started."""
        log.warning("%s %s: %s", *key, error)
        first, *others = str(error).splitlines()
        last = others[-1].strip().removeprefix("| ") if others else ""
        name, _, rest = first.partition(" ")
        reason = "OtherServiceName" if isinstance(error, StartError) and error.registered_as else "NotReady"
        self._failures[key] = Trouble(name, reason, f"{rest.removesuffix('. Its last lines:')}: {last}")


def _digest(values: Mapping[str, str]) -> str:
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def environment(template: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """The variables of a pod template's first container, and notices about ignored fields."""
    containers = (template.get("spec") or {}).get("containers") or [{}]
    values: dict[str, str] = {}
    notices = list(_passed_over(template, containers))
    for entry in containers[0].get("env") or ():
        if "value" in entry and entry["name"] != VERSION_VARIABLE:
            values[entry["name"]] = str(entry["value"])
        elif "valueFrom" in entry:
            notices.append(f"the variable {entry['name']} comes from the cluster (valueFrom); it is left out here")
    return values, notices


def _passed_over(template: Mapping[str, Any], containers: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    first, *others = containers
    if "image" in first:
        yield f"the image {first['image']} is not run here: the topology defines the processes"
    if first.get("envFrom"):
        yield "envFrom is left out here: there are no ConfigMaps and Secrets"
    if others or (template.get("spec") or {}).get("initContainers"):
        names = ", ".join(str(container.get("name")) for container in others) or "the init containers"
        yield f"only the first container counts here; {names} not"
