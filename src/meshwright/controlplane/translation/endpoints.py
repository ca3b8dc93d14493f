"""Endpoints: which instances get traffic, in which locality, at which priority.

Consul decides who is well: passing instances get traffic, those in warning too unless the subset says
OnlyPassing, critical ones and those in maintenance do not. Taking an instance out stops new calls; calls in
flight finish. Where no instance is healthy the answer is an empty set, and calls fail at once (decision 0021).

Failover targets are lower priorities of the same assignment. Both gRPC and Envoy demand that priorities have no gap
and that no address appears twice, so an empty target takes no priority, and an instance that two targets share keeps
its first place. A target whose instances are used by their nearness takes a priority for each level that has some
(see `localities`), before the first failover target: each caller's levels are its own. gRPC's Java keeps the
localities of an assignment in one map, whatever their priority (as does every client that names a priority after its
localities), so that a locality that two priorities share belongs to the last one alone: calls would go to the reserve
while the target is well. A failover target's localities are therefore its own: their sub-zone is `failover-1` and so
on, after the place in Consul's list rather than the priority, so that a reserve which becomes the first priority
keeps its name and its connections.

gRPC's round robin ignores the weight of an endpoint but honours that of a locality. A zone whose instances
weigh differently is therefore published as one locality per weight. Its ring hash multiplies the two, which would
give an instance of a larger zone a larger share, so that a ring is one locality that weighs nothing, of each level.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from meshwright.controlplane.model import localities
from meshwright.controlplane.model.localities import NOWHERE
from meshwright.messages import xds
from meshwright.model import Health

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from meshwright.controlplane.model.catalog import Target
    from meshwright.controlplane.model.localities import Place
    from meshwright.controlplane.translation.chain import Upstream
    from meshwright.model import Address, Instance

MAX_WEIGHT = 100_000
"""Sums of weights within a priority must fit 32 bits; Consul itself allows up to 65535."""

_ONLY_WHEN_NOBODY_IS_LEFT = 100_000
"""For Envoy, which would spill calls over as soon as 29 per cent of the first priority are ejected; gRPC does not."""


def assignment(
    upstream: Upstream,
    members: Sequence[tuple[Target, tuple[Instance, ...]]],
    *,
    ring: bool = False,
    prioritized: Collection[Target] = (),
    caller: Place = NOWHERE,
) -> tuple[Any, list[str]]:
    """The endpoints of an upstream, from the instances of its target and of its failover targets, in that order; those
    of `prioritized` targets by their nearness to the caller.

    `ring`: gRPC clients hash calls to them. Also returns what is wrong with instances that had to be left out.
    """
    message = xds.ClusterLoadAssignment(cluster_name=upstream.id)
    problems: list[str] = []
    taken: set[Address] = set()
    priority = 0
    for place, (target, instances) in enumerate(members):
        chosen = _chosen(target, instances, taken, problems)
        sub_zone = f"failover-{place}" if place else ""
        here = caller if target in prioritized else NOWHERE
        for level, group in localities.by_level(chosen, lambda item: localities.place_of(item[0]), here):
            if ring:
                locality = message.endpoints.add(priority=priority)
                locality.locality.CopyFrom(xds.Locality(region=level.region, zone=level.zone, sub_zone=sub_zone))
                locality.load_balancing_weight.value = 1
                _add_endpoints(locality, group)
            else:
                _add_localities(message, group, priority, sub_zone)
            priority += 1
    if priority > 1:
        message.policy.overprovisioning_factor.value = _ONLY_WHEN_NOBODY_IS_LEFT
    return message, problems


def near_whom(
    members: Sequence[tuple[Target, tuple[Instance, ...]]], prioritized: Collection[Target]
) -> frozenset[Place]:
    """The places of callers for whom the assignment differs from that of all others."""
    return localities.near_whom(
        instance
        for target, instances in members
        if target in prioritized
        for instance, _ in _chosen(target, instances, set(), [])
    )


def serves(target: Target, instance: Instance) -> bool:
    """Whether an instance gets new calls."""
    if instance.health is Health.WARNING:
        return not target.only_passing and instance.weight > 0
    return instance.health is Health.PASSING and instance.weight > 0


def _chosen(
    target: Target, instances: Iterable[Instance], taken: set[Address], problems: list[str]
) -> list[tuple[Instance, int]]:
    chosen = []
    for instance in sorted(instances, key=lambda instance: (instance.address, instance.id)):
        if not serves(target, instance) or instance.address in taken:
            continue
        if not _is_ip(instance.address.host) or not instance.address.port:
            problems.append(f"instance {instance.id} is left out: {instance.address} is not an IP address and a port")
            continue
        if not all(map(_is_text, (instance.meta.get("region", ""), instance.meta.get("zone", "")))):
            problems.append(f"instance {instance.id} is left out: its region or zone is no text")
            continue
        taken.add(instance.address)
        chosen.append((instance, min(instance.weight, MAX_WEIGHT)))
    return chosen


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_text(value: str) -> bool:
    """Whether a message can hold it: JSON can write half of a surrogate pair."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _add_localities(message: Any, chosen: Sequence[tuple[Instance, int]], priority: int, sub_zone: str) -> None:
    zones: dict[Place, dict[int, list[tuple[Instance, int]]]] = {}
    for instance, weight in chosen:
        place = localities.place_of(instance)
        zones.setdefault(place, {}).setdefault(weight, []).append((instance, weight))
    for place, weights in sorted(zones.items()):
        for weight, group in sorted(weights.items()):
            names = [sub_zone] if sub_zone else []
            if len(weights) > 1:
                names.append(f"weight-{weight}")
            locality = message.endpoints.add(priority=priority)
            locality.locality.CopyFrom(xds.Locality(region=place.region, zone=place.zone, sub_zone="/".join(names)))
            locality.load_balancing_weight.value = weight * len(group)
            _add_endpoints(locality, group)


def _add_endpoints(locality: Any, group: Sequence[tuple[Instance, int]]) -> None:
    for instance, weight in group:
        endpoint = locality.lb_endpoints.add(health_status="HEALTHY")
        endpoint.endpoint.address.CopyFrom(xds.address(instance.address.host, instance.address.port))
        endpoint.load_balancing_weight.value = weight
