"""Views: which of a snapshot's resources a node sees. Made when a node first asks, shared by all that see the same."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from meshwright.controlplane.model.localities import NOWHERE, reduced
from meshwright.controlplane.model.resource_table import ResourceTable, digest
from meshwright.controlplane.model.snapshot import NodeKind, ResourceType
from meshwright.controlplane.model.upstream_config import rules_of
from meshwright.controlplane.translation import envoy

if TYPE_CHECKING:
    from collections.abc import Iterator, KeysView, Mapping

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
    _made: dict[str, ResourceTable] = field(default_factory=dict)
    _corrected: dict[int, ResourceTable] = field(default_factory=dict)

    def same_as(self, other: Services) -> bool:
        """Whether the same parts are in it: by identity, which is what a translator keeps."""
        if self.prefixes != other.prefixes or len(self.parts) != len(other.parts):
            return False
        return all(other.parts.get(name) is part for name, part in self.parts.items())

    @cached_property
    def version(self) -> str:
        """A hash over all parts: equal on every replica that knows the same."""
        lines = [f"{name}={part.digest}" for name, part in self.parts.items()]
        lines += [f"{prefix}>{name}" for prefix, name in self.prefixes.items()]
        return digest("\n".join(lines).encode())

    @cached_property
    def _timed(self) -> bool:
        return any(part.timed for part in self.parts.values())

    def listeners(self) -> ResourceTable:
        """gRPC's listeners."""
        if "listeners" not in self._made:
            self._made["listeners"] = ResourceTable({name: part.listener for name, part in self.parts.items()})
        return self._made["listeners"]

    def routes(self, skew_ms: int) -> ResourceTable:
        """gRPC's route tables, those with timeouts corrected for that skew."""
        if "routes" not in self._made:
            self._made["routes"] = ResourceTable({name: part.route for name, part in self.parts.items()})
        if not skew_ms or not self._timed:
            return self._made["routes"]
        if skew_ms not in self._corrected:
            self._corrected[skew_ms] = CorrectedRoutes(self, skew_ms)
        return self._corrected[skew_ms]

    def ingress(self) -> ResourceTable:
        """Envoy's route table."""
        if "ingress" not in self._made:
            by_name = {str(name): part.host for name, part in self.parts.items()}
            names = envoy.routable(by_name)
            prefixes = {prefix: name for prefix, name in self.prefixes.items() if name in names}
            ingress = envoy.ingress_routes([by_name[name] for name in names], prefixes)
            self._made["ingress"] = ResourceTable({envoy.INGRESS: ingress})
        return self._made["ingress"]


class CorrectedRoutes(ResourceTable):
    """Route tables for one skew, each made when it is asked for. They are not kept here."""

    lazy: ClassVar[bool] = True

    def __init__(self, services: Services, skew_ms: int) -> None:
        super().__init__({})
        self.parts: Mapping[Any, ServicePart] = services.parts
        self._services = services
        self.skew_ms = skew_ms

    def __getitem__(self, name: str) -> Resource:
        return self.parts[name].route_for(self.skew_ms)

    def __iter__(self) -> Iterator[str]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)

    def keys(self) -> KeysView[str]:
        """The names."""
        return self.parts.keys()

    @cached_property
    def version(self) -> str:
        """A hash over what the tables are made of: to hash the tables would make them all."""
        return f"{self._services.version}-{self.skew_ms}"

    @cached_property
    def corrected(self) -> frozenset[str]:
        """The names of the tables that hold timeouts: those that differ from what others are sent."""
        return frozenset(name for name, part in self.parts.items() if part.timed)

    def shares(self, name: str, other: ResourceTable) -> bool:
        """Whether `other` has the same table of that name, as far as can be told without making the two."""
        if not isinstance(other, CorrectedRoutes) or other.skew_ms != self.skew_ms:
            return False
        return self.parts.get(name) is other.parts.get(name)


@dataclass(frozen=True)
class Targets:
    """All target parts, and what is made from them together."""

    parts: Mapping[str, TargetPart]
    callers: Mapping[ServiceName, CallerRules] = field(default_factory=dict)
    _made: dict[str, ResourceTable] = field(default_factory=dict)
    _by_caller: dict[tuple[NodeKind, str], tuple[CallerRules, ResourceTable]] = field(default_factory=dict)
    _by_place: dict[Place, ResourceTable] = field(default_factory=dict)

    def inherit(self, old: Targets) -> None:
        """Take over the cluster tables where no cluster changed, so that a comparison is one of identity."""
        same = len(self.parts) == len(old.parts) and all(
            name in old.parts and old.parts[name].clusters is part.clusters for name, part in self.parts.items()
        )
        if same:
            self._made.update({kind.value: old.clusters(kind) for kind in NodeKind})
            same_rules = ((key, made) for key, made in old._by_caller.items() if self._rules(key[1]) == made[0])
            self._by_caller.update(same_rules)

    def clusters_for(self, kind: NodeKind, caller: str) -> ResourceTable:
        """The clusters as a node of that kind and service needs them."""
        rules = self._rules(caller)
        if rules is None:
            return self.clusters(kind)
        found = self._by_caller.get((kind, caller))
        if found is None:
            made = ResourceTable(
                {
                    name: part.cluster_for(kind, rules.rule(part.upstream.target.service))
                    for name, part in self.parts.items()
                }
            )
            found = self._by_caller[kind, caller] = (rules, made)
        return found[1]

    def _rules(self, caller: str) -> CallerRules | None:
        return rules_of(caller, self.callers)

    def clusters(self, kind: NodeKind) -> ResourceTable:
        """The clusters as that kind of node needs them, without the rules of a caller."""
        if kind.value not in self._made:
            self._made[kind.value] = ResourceTable({name: part.clusters[kind] for name, part in self.parts.items()})
        return self._made[kind.value]

    def endpoints(self) -> ResourceTable:
        """The endpoints, as all see them whose place makes no difference."""
        if "endpoints" not in self._made:
            self._made["endpoints"] = ResourceTable({name: part.endpoints for name, part in self.parts.items()})
        return self._made["endpoints"]

    def endpoints_for(self, caller: Place) -> ResourceTable:
        """The endpoints as a node in that place sees them."""
        place = NOWHERE if caller == NOWHERE else reduced(caller, self._places)
        if place == NOWHERE:
            return self.endpoints()
        if place not in self._by_place:
            own = {name: part.endpoints_for(place) for name, part in self.parts.items() if part.places}
            self._by_place[place] = ResourceTable({**self.endpoints(), **own})
        return self._by_place[place]

    @cached_property
    def _places(self) -> frozenset[Place]:
        return frozenset().union(*(part.places for part in self.parts.values()))

    @property
    def version(self) -> str:
        """A hash over everything in it: equal on every replica that knows the same."""
        content = hashlib.sha256()
        for name, rules in sorted(self.callers.items()):
            content.update(f"{name}:{rules.defaults}{sorted(rules.overrides.items())};".encode())
        for resource in self._versions():
            content.update(f"{resource};".encode())
        return content.hexdigest()[:16]

    def _versions(self) -> Iterator[str]:
        for part in self.parts.values():
            yield part.endpoints.version
            yield from (part.clusters[kind].version for kind in NodeKind)
            if part.places:
                yield from (part.endpoints_for(place).version for place in sorted(part.places))


def view(services: Services, targets: Targets, node_profile: NodeProfile) -> Mapping[ResourceType, ResourceTable]:
    """Everything that a node of this profile may subscribe to."""
    if node_profile.kind is NodeKind.ENVOY:
        listeners = ResourceTable({envoy.INGRESS: envoy.ingress_listener(node_profile.ingress)})
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
