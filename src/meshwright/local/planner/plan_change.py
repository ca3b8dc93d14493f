"""What a changed topology asks of a running `up`. Pure; the supervisor carries it out.

Two plans are compared by what would be started: a process has changed where its command, ports or environment come out
differently, because of its own lines or of an address in a placeholder. Others are left alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING

from meshwright.local.planner.plan import resolve

if TYPE_CHECKING:
    from meshwright.local.planner.plan import Plan
    from meshwright.local.topology.spec import ProcessSpec, Topology


@dataclass(frozen=True, slots=True)
class PlanChange:
    """The processes to remove, to add, to restart with other values, and to scale, each as the new plan has it."""

    removed: tuple[ProcessSpec, ...] = ()
    added: tuple[ProcessSpec, ...] = ()
    changed: tuple[ProcessSpec, ...] = ()
    scaled: tuple[ProcessSpec, ...] = ()
    """Those with another number of replicas, be they changed otherwise or not."""


def compare(old: Plan, new: Plan) -> PlanChange:
    """The difference between two plans of one mesh."""
    before = {process.name: process for process in old.own}
    after = {process.name: process for process in new.own}
    both = [(before[name], process) for name, process in after.items() if name in before]
    return PlanChange(
        removed=tuple(process for name, process in before.items() if name not in after),
        added=tuple(process for name, process in after.items() if name not in before),
        changed=tuple(process for was, process in both if _started(old, was) != _started(new, process)),
        scaled=tuple(process for was, process in both if was.replicas != process.replicas),
    )


def carried_ports(plan: Plan) -> dict[str, int]:
    """The ports that `up` has chosen for single instances, for the next plan: their addresses are in placeholders."""
    return {name: port for name, port in plan.ports.items() if name.partition(".")[0] in plan.lone}


def with_mesh_of(running: Topology, new: Topology) -> Topology:
    """The new topology on the running mesh, whose name and components stay until the next `up`."""
    return replace(new, name=running.name, mesh=running.mesh)


def _started(plan: Plan, process: ProcessSpec) -> ProcessSpec:
    """A start of the process, of its second instance: the first one's port may be of `up`'s own choice."""
    return replace(resolve(plan, process.numbered(2), count(1).__next__, ""), replicas=0)
