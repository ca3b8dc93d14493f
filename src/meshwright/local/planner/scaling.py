"""Computes the desired instances at start and on scale. Pure; the supervisor carries them out."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from meshwright.errors import ValidationError, Violation
from meshwright.local.topology.spec import COMPONENTS, MAX_REPLICAS
from meshwright.name_suggestions import NoSuchNameError, no_such_service

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from meshwright.local.planner.plan import Plan
    from meshwright.local.topology.spec import ProcessSpec


@dataclass(frozen=True, slots=True)
class ScaleChange:
    """The instances to add and to remove."""

    added: tuple[ProcessSpec, ...] = ()
    removed: tuple[ProcessSpec, ...] = ()


def initial(plan: Plan) -> list[ProcessSpec]:
    """The topology's instances, the mesh's components first; for a service with a rollout, the rollout's."""
    specs = [
        process.numbered(number)
        for process in plan.processes
        if process.name in COMPONENTS or process.service not in plan.resumed
        for number in range(1, process.replicas + 1)
    ]
    for service, versions in plan.resumed.items():
        for one in versions:
            change = scale(plan, specs, service, one.replicas, one.version, environment=one.environment)
            specs += change.added
    return specs


def scale(
    plan: Plan,
    specs: Collection[ProcessSpec],
    name: str,
    replicas: int,
    version: str | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    leaving: Collection[ProcessSpec] = (),
) -> ScaleChange:
    """Scales the service or process `name` to `replicas` instances of that version (default: the topology's).

    `environment`: variables of the new instances. `leaving`: stopping instances, whose numbers are not free yet.

    Other versions of the service are left unchanged. New instances get the lowest free numbers; the youngest ones are
    removed. Raises `ValidationError` for an unknown service, a number out of range, and a second instance on a fixed
    port.
    """
    if not 0 <= replicas <= MAX_REPLICAS:
        what = f"expected a number from 0 to {MAX_REPLICAS}, not {replicas}"
        raise ValidationError(f"scaling {name}", [Violation("replicas", what)])
    process = _process(plan, name, version)
    wanted = version or process.version
    own = sorted((spec for spec in specs if spec.name == process.name), key=lambda spec: spec.number)
    present = [spec for spec in own if spec.version == wanted]
    if replicas <= len(present):
        return ScaleChange(removed=tuple(reversed(present[replicas:])))
    if process.port and process.name not in plan.lone and replicas - len(present) + len(own) > 1:
        what = f"has the port {process.port} in one instance; leave `port` out of the topology to have more"
        raise ValidationError(f"scaling {name}", [Violation(name, what)])
    taken = {spec.number for spec in (*own, *leaving) if spec.name == process.name}
    numbers = (number for number in count(1) if number not in taken)
    missing = replicas - len(present)
    extra = tuple(sorted((environment or {}).items()))
    return ScaleChange(added=tuple(process.numbered(next(numbers), wanted, extra) for _ in range(missing)))


def _process(plan: Plan, name: str, version: str | None) -> ProcessSpec:
    own = [process for process in plan.processes if process.name not in COMPONENTS]
    named = [process for process in own if name in (process.name, process.service)]
    if not named:
        raise NoSuchNameError(no_such_service(name, {process.service for process in own}))
    exact = [process for process in named if process.version == version]
    return (exact or named)[0]
