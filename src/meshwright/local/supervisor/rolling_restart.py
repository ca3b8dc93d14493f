"""Restarts the instances of a process with another code or another spec, without a gap where that is possible.

First one instance more is tried out. If it does not become ready, the change is broken, and the running instances stay
as they are. If it does, the others are restarted one after another under their names and ports while it stands in,
and then it ends. Instances of other versions, as rollouts have them, are tried out by themselves.

A process with a fixed port can have no second instance, and a single instance of a command may hold a file or a folder
for itself (a database, a broker): these are stopped and started.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from meshwright.local.supervisor.supervisor import StartError

if TYPE_CHECKING:
    from meshwright.local.planner.plan import Plan
    from meshwright.local.supervisor.instances import Instance
    from meshwright.local.supervisor.supervisor import Supervisor
    from meshwright.local.topology.spec import ProcessSpec


def can_try_out(plan: Plan, process: ProcessSpec) -> bool:
    """Whether a second instance may run beside the first."""
    has_fixed_port = any((process.port, *process.ports.values())) and process.name not in plan.lone
    return not has_fixed_port and (bool(process.module) or process.replicas > 1)


async def restart(supervisor: Supervisor, process: ProcessSpec, *, version: str | None = None) -> list[str]:
    """Restarts all instances of a process, as `process` says; returns their names.

    `version`: instances of that version get the process's, those of other versions keep their own. Raises `StartError`
    for an instance that does not become ready.
    """
    restarted = []
    for spec, instances in _by_version(supervisor, process, version):
        extra = await supervisor.try_out(spec) if can_try_out(supervisor.plan, process) else None
        try:
            for instance in instances:
                if instance.counts and supervisor.instances.get(instance.spec.instance) is instance:
                    await supervisor.restart(instance.spec.instance, spec)
                    restarted.append(instance.spec.instance)
        except StartError:
            await _end(supervisor, extra)
            raise
        await _end(supervisor, extra)
    return restarted


async def _end(supervisor: Supervisor, extra: Instance | None) -> None:
    if extra is not None:
        await supervisor.remove(extra.spec.instance)


def _by_version(
    supervisor: Supervisor, process: ProcessSpec, version: str | None
) -> list[tuple[ProcessSpec, list[Instance]]]:
    """The instances of each version and its variables, with what they are to be."""
    found: dict[tuple[str, tuple[tuple[str, str], ...]], list[Instance]] = {}
    for instance in supervisor.instances.values():
        if instance.spec.name == process.name and instance.counts:
            own = process.version if instance.spec.version == version else instance.spec.version
            found.setdefault((own, instance.spec.variables), []).append(instance)
    return [
        (replace(process, version=own, variables=variables), instances) for (own, variables), instances in found.items()
    ]
