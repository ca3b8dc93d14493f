"""Versions as processes: the `Workloads` port of the rollout engine on a running `up`.

A version of a service is the set of its instances that run that version. Starting and stopping takes a while and the
engine does not wait: each change runs in a task of its own, and the next pass sees how far it came. A pod template has
no image to run here, for the topology says what runs; the plain variables of its first container are handed on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

from meshwright.errors import MeshwrightError
from meshwright.local import resumed
from meshwright.local.member import State
from meshwright.rollout.observed import Workload
from meshwright.rollout.vocabulary import VERSION_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from meshwright.local.supervisor import Supervisor
    from meshwright.rollout.spec import Rollout

log = logging.getLogger(__name__)


class Versions:
    """`Workloads` on processes."""

    def __init__(self, supervisor: Supervisor, folder: Path) -> None:
        self._supervisor = supervisor
        self._folder = folder
        self._variables: dict[str, dict[str, dict[str, str]]] = {}
        """By rollout and version; kept beside the rollout, for the next run."""
        self._changes: dict[tuple[str, str], asyncio.Task[None]] = {}

    async def observe(self, rollout: Rollout) -> dict[str, Workload]:
        desired: Counter[str] = Counter()
        running: Counter[str] = Counter()
        for member in self._supervisor.members.values():
            if member.process.service == rollout.service and not member.stopping:
                desired[member.seat.version] += 1
                running[member.seat.version] += member.state is State.READY
        return {version: Workload(version, count, running[version]) for version, count in desired.items()}

    async def ensure(self, rollout: Rollout, version: str, replicas: int) -> None:
        if version == rollout.version:
            self._remember(rollout, version, environment(rollout.template or {})[0])
        await self.scale(rollout, version, replicas)

    async def scale(self, rollout: Rollout, version: str, replicas: int) -> None:
        key = (rollout.service, version)
        present = (await self.observe(rollout)).get(version, Workload(version, 0)).desired
        if present == replicas or (key in self._changes and not self._changes[key].done()):
            return
        change = self._scale(*key, replicas, self._of(rollout).get(version))
        self._changes[key] = asyncio.create_task(change, name=f"{rollout.service} {version}")

    async def delete(self, rollout: Rollout, version: str) -> None:
        await self.scale(rollout, version, 0)
        self._remember(rollout, version, {})

    def forget(self, name: str) -> None:
        """The rollout of that name is deleted."""
        self._variables.pop(name, None)
        resumed.write_variables(self._folder / f"{name}.json", {})

    async def close(self) -> None:
        """Let go of changes under way; the supervisor stops the processes."""
        for task in self._changes.values():
            task.cancel()
        for task in self._changes.values():
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def _of(self, rollout: Rollout) -> dict[str, dict[str, str]]:
        if rollout.name not in self._variables:
            self._variables[rollout.name] = resumed.variables(self._path(rollout))
        return self._variables[rollout.name]

    def _remember(self, rollout: Rollout, version: str, values: dict[str, str]) -> None:
        known = self._of(rollout)
        if known.get(version, {}) != values:
            known[version] = values
            resumed.write_variables(self._path(rollout), known)

    def _path(self, rollout: Rollout) -> Path:
        return self._folder / f"{rollout.name}.json"

    async def _scale(self, service: str, version: str, replicas: int, values: Mapping[str, str] | None) -> None:
        try:
            await self._supervisor.scale(service, replicas, version, values)
        except MeshwrightError as error:
            log.warning("%s %s: %s", service, version, error)


def environment(template: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """The variables that a pod template gives to its first container, and what of the template is passed over here."""
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
        yield f"the image {first['image']} is not run here: the topology says what runs"
    if first.get("envFrom"):
        yield "envFrom is left out here: there are no ConfigMaps and Secrets"
    if others or (template.get("spec") or {}).get("initContainers"):
        names = ", ".join(str(container.get("name")) for container in others) or "the init containers"
        yield f"only the first container counts here; {names} not"
