"""Views: which of a snapshot's resources a node sees. Made when a node first asks, shared by all that see the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from meshwright.controlplane.model.localities import NOWHERE, reduced
from meshwright.controlplane.model.snapshot import NodeKind, ResourceType
from meshwright.controlplane.model.upstream_config import rules_of
from meshwright.controlplane.translation import envoy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshwright.controlplane.model.localities import Place
    from meshwright.controlplane.model.snapshot import NodeProfile, Resource
    from meshwright.controlplane.model.upstream_config import CallerRules
    from meshwright.controlplane.translation.resource_parts import ServicePart, TargetPart
    from meshwright.model import ServiceName


@dataclass(frozen=True, eq=False)
class Services:
    """All service parts, and what is made from them together."""

    parts: Mapping[ServiceName, ServicePart]
    prefixes: Mapping[str, ServiceName]
    _made: dict[str, Mapping[str, Resource]] = field(default_factory=dict)
    _corrected: dict[int, Mapping[str, Resource]] = field(default_factory=dict)

    def same_as(self, other: Services) -> bool:
        """Whether the same parts are in it: by identity, which is what `translate` keeps."""
        if self.prefixes != other.prefixes or len(self.parts) != len(other.parts):
            return False
        return all(other.parts.get(name) is part for name, part in self.parts.items())

    @cached_property
    def _timed(self) -> bool:
        return any(part.timed for part in self.parts.values())

    def listeners(self) -> Mapping[str, Resource]:
        """gRPC's listeners."""
        if "listeners" not in self._made:
            self._made["listeners"] = {name: part.listener for name, part in self.parts.items()}
        return self._made["listeners"]

    def routes(self, skew_ms: int) -> Mapping[str, Resource]:
        """gRPC's route tables, those with timeouts corrected for that skew."""
        if "routes" not in self._made:
            self._made["routes"] = {name: part.route for name, part in self.parts.items()}
        if not skew_ms or not self._timed:
            return self._made["routes"]
        if skew_ms not in self._corrected:
            self._corrected[skew_ms] = CorrectedRoutes(self.parts, skew_ms)
        return self._corrected[skew_ms]

    def ingress(self) -> Mapping[str, Resource]:
        """Envoy's route table."""
        if "ingress" not in self._made:
            by_name = {str(name): part.host for name, part in self.parts.items()}
            names = envoy.routable(by_name)
            prefixes = {prefix: name for prefix, name in self.prefixes.items() if name in names}
            ingress = envoy.ingress_routes([by_name[name] for name in names], prefixes)
            self._made["ingress"] = {envoy.INGRESS: ingress}
        return self._made["ingress"]


class CorrectedRoutes(Mapping[str, "Resource"]):
    """Route tables for one skew, each made when it is asked for: a node asks for few of them. They are not kept."""

    def __init__(self, parts: Mapping[ServiceName, ServicePart], skew_ms: int) -> None:
        self.parts: Mapping[Any, ServicePart] = parts
        self.skew_ms = skew_ms

    @property
    def timed(self) -> frozenset[str]:
        """The names of the tables that hold timeouts: those that differ from what others are sent."""
        return frozenset(name for name, part in self.parts.items() if part.timed)

    def __getitem__(self, name: str) -> Resource:
        return self.parts[name].route_for(self.skew_ms)

    def __iter__(self) -> Iterator[str]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)

    def same(self, name: str, other: object) -> bool:
        """Whether `other` has the same table of that name, as far as can be told without making the two."""
        if not isinstance(other, CorrectedRoutes) or other.skew_ms != self.skew_ms:
            return False
        return self.parts.get(name) is other.parts.get(name)


@dataclass(frozen=True)
class Targets:
    """All target parts, and what is made from them together."""

    parts: Mapping[str, TargetPart]
    callers: Mapping[ServiceName, CallerRules] = field(default_factory=dict)
    _made: dict[str, Mapping[str, Resource]] = field(default_factory=dict)
    _by_caller: dict[tuple[NodeKind, str], tuple[CallerRules, Mapping[str, Resource]]] = field(default_factory=dict)
    _by_place: dict[Place, Mapping[str, Resource]] = field(default_factory=dict)

    def inherit(self, old: Targets) -> None:
        """Take over the cluster tables where no cluster changed, so that a comparison is one of identity."""
        same = len(self.parts) == len(old.parts) and all(
            name in old.parts and old.parts[name].clusters is part.clusters for name, part in self.parts.items()
        )
        if same:
            self._made.update({kind.value: old.clusters(kind) for kind in NodeKind})
            same_rules = ((key, made) for key, made in old._by_caller.items() if self._rules(key[1]) == made[0])
            self._by_caller.update(same_rules)

    def clusters_for(self, kind: NodeKind, caller: str) -> Mapping[str, Resource]:
        """The clusters as a node of that kind and service needs them."""
        rules = self._rules(caller)
        if rules is None:
            return self.clusters(kind)
        found = self._by_caller.get((kind, caller))
        if found is None:
            made = {
                name: part.cluster_for(kind, rules.rule(part.upstream.target.service))
                for name, part in self.parts.items()
            }
            found = self._by_caller[kind, caller] = (rules, made)
        return found[1]

    def _rules(self, caller: str) -> CallerRules | None:
        return rules_of(caller, self.callers)

    def clusters(self, kind: NodeKind) -> Mapping[str, Resource]:
        """The clusters as that kind of node needs them, without the rules of a caller."""
        if kind.value not in self._made:
            self._made[kind.value] = {name: part.clusters[kind] for name, part in self.parts.items()}
        return self._made[kind.value]

    def endpoints(self) -> Mapping[str, Resource]:
        """The endpoints, as all see them whose place makes no difference."""
        if "endpoints" not in self._made:
            self._made["endpoints"] = {name: part.endpoints for name, part in self.parts.items()}
        return self._made["endpoints"]

    def endpoints_for(self, caller: Place) -> Mapping[str, Resource]:
        """The endpoints as a node in that place sees them."""
        place = NOWHERE if caller == NOWHERE else reduced(caller, self._places)
        if place == NOWHERE:
            return self.endpoints()
        if place not in self._by_place:
            own = {name: part.endpoints_for(place) for name, part in self.parts.items() if part.places}
            self._by_place[place] = {**self.endpoints(), **own}
        return self._by_place[place]

    @cached_property
    def _places(self) -> frozenset[Place]:
        return frozenset().union(*(part.places for part in self.parts.values()))

    def versions(self) -> Iterator[str]:
        """The versions of everything in it, in order."""
        for part in self.parts.values():
            yield part.endpoints.version
            yield from (part.clusters[kind].version for kind in NodeKind)
            if part.places:
                yield from (part.endpoints_for(place).version for place in sorted(part.places))


def view(
    services: Services, targets: Targets, node_profile: NodeProfile
) -> Mapping[ResourceType, Mapping[str, Resource]]:
    """Everything that a node of this profile may subscribe to."""
    if node_profile.kind is NodeKind.ENVOY:
        listeners: Mapping[str, Resource] = {envoy.INGRESS: envoy.ingress_listener(node_profile.ingress)}
        routes = services.ingress()
    else:
        listeners = services.listeners()
        routes = services.routes(node_profile.timeout_skew_ms)
    return {
        ResourceType.LISTENER: listeners,
        ResourceType.ROUTE: routes,
        ResourceType.CLUSTER: targets.clusters_for(node_profile.kind, node_profile.caller),
        ResourceType.ENDPOINTS: targets.endpoints_for(node_profile.place),
    }
