"""Which instances are near a caller: the levels of Consul's `PrioritizeByLocality`, mode `failover`.

Calls go to the instances in the caller's zone; where none is left, to those elsewhere in its region, and then to all
others. A zone counts only within its region. A caller that does not say where it is makes no difference between
instances, as in Consul; one that names only its region has two levels (docs/explanation/control-plane.md).

A service's resolver says the mode (since Consul 1.17, Enterprise); its policy document says it for any Consul, and
wins. Pure; how the levels become priorities is in `endpoints`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from meshwright.controlplane.model.catalog import Target
    from meshwright.controlplane.model.policy import Policy
    from meshwright.model import Instance, ServiceName

T = TypeVar("T")

NONE, FAILOVER = "none", "failover"
MODES = (NONE, FAILOVER)


class Place(NamedTuple):
    """Where a caller or an instance is. Empty: it does not say."""

    region: str = ""
    zone: str = ""


NOWHERE = Place()


def place_of(instance: Instance) -> Place:
    """Where an instance is."""
    return Place(instance.meta.get("region", ""), instance.meta.get("zone", ""))


def near_whom(instances: Iterable[Instance]) -> frozenset[Place]:
    """The places of callers that have some of these instances nearer than others."""
    places = {place_of(instance) for instance in instances}
    return frozenset(places | {Place(place.region) for place in places}) - {NOWHERE}


def reduced(caller: Place, places: Collection[Place]) -> Place:
    """Of a caller's place what makes a difference, where `near_whom` gave these places."""
    if caller in places:
        return caller
    region = Place(caller.region)
    return region if region in places else NOWHERE


def by_level(items: Sequence[T], place: Callable[[T], Place], caller: Place) -> list[tuple[Place, list[T]]]:
    """The items that a caller shall use, the nearest first, without empty levels. Each level has the place that all
    its items share with the caller."""
    levels = [caller, Place(caller.region), NOWHERE]
    found: dict[Place, list[T]] = {}
    for item in items:
        found.setdefault(_shared(place(item), caller), []).append(item)
    return [(level, found.pop(level)) for level in levels if level in found]


def _shared(place: Place, caller: Place) -> Place:
    if place == caller:
        return caller
    return Place(caller.region) if place.region == caller.region else NOWHERE


def read(target: Mapping[str, Any]) -> str:
    """The mode that a compiled chain has for one of its targets."""
    return str((target.get("PrioritizeByLocality") or {}).get("Mode") or NONE)


def prioritized(
    members: Iterable[Target], said: Collection[Target], modes: Mapping[ServiceName, str]
) -> frozenset[Target]:
    """The targets whose instances each caller uses by their nearness: where the `modes_of` the policies have their
    service, if that is `failover`, and else if resolvers have `said` so."""
    if not said and not modes:
        return frozenset()
    default = dict.fromkeys(said, FAILOVER)
    return frozenset(target for target in members if modes.get(target.service, default.get(target)) == FAILOVER)


def modes_of(policies: Mapping[ServiceName, Policy]) -> dict[ServiceName, str]:
    """What the policy documents say, of those services of which they do."""
    modes = ((service, policy.prioritize_by_locality) for service, policy in policies.items())
    return {service: mode for service, mode in modes if mode is not None}
