"""The parts of a snapshot, each made from a few inputs that it remembers, and checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from meshwright.controlplane.model.localities import NOWHERE, reduced
from meshwright.controlplane.model.policy import Policy
from meshwright.controlplane.model.resource_table import digest
from meshwright.controlplane.model.snapshot import NodeKind, Resource, ResourceType, pack
from meshwright.controlplane.translation import balancing, clusters, endpoints, envoy, routes, validation
from meshwright.controlplane.translation.chain import parse_chain
from meshwright.controlplane.translation.listeners import listener
from meshwright.errors import ValidationError, Violation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshwright.controlplane.model.catalog import Target
    from meshwright.controlplane.model.localities import Place
    from meshwright.controlplane.model.upstream_config import UpstreamRule
    from meshwright.controlplane.translation.chain import Chain, Upstream
    from meshwright.model import Instance, ServiceName

    Members: TypeAlias = tuple[tuple[Target, tuple[Instance, ...]], ...]


_UNSAYABLE = (ValueError, TypeError, OverflowError)
"""What protobuf raises for a value that its field cannot hold. It must not cost other services."""


_MOST_SKEWS = 16
"""Corrected tables that a part keeps. Each process has a skew of its own, and a part may outlive thousands of them."""


_MOST_RULES = 64
"""Clusters that a part keeps for callers with rules of their own."""


@dataclass(frozen=True, slots=True)
class ServicePart:
    """What clients that dial one service are told: made from its chain and the policies that the chain touches."""

    document: Mapping[str, Any]
    policies: Mapping[ServiceName, Policy | None]
    chain: Chain
    listener: Resource
    route: Resource
    table: Any
    """The route table as a message, without correction."""
    timed: bool
    """Whether the route table depends on a gRPC node's skew."""
    host: Any
    """The virtual host of Envoy's ingress."""
    problems: tuple[str, ...]
    digest: str
    _by_skew: dict[int, Resource] = field(default_factory=dict)

    def fits(self, document: Mapping[str, Any], policies: Mapping[ServiceName, Policy]) -> bool:
        """Whether the part is still what these inputs lead to."""
        if self.document is not document and self.document != document:
            return False
        return all(policies.get(service) == policy for service, policy in self.policies.items())

    def route_for(self, skew_ms: int) -> Resource:
        """The route table for gRPC nodes with that skew."""
        if not self.timed or not skew_ms:
            return self.route
        resource = self._by_skew.get(skew_ms)
        if resource is None:
            if len(self._by_skew) >= _MOST_SKEWS:
                del self._by_skew[next(iter(self._by_skew))]
            table = routes.corrected(self.table, skew_ms)
            resource = self._by_skew[skew_ms] = pack(ResourceType.ROUTE, table.name, table)
        return resource


@dataclass(frozen=True, slots=True)
class TargetPart:
    """One cluster and its endpoints: made from an upstream, its service's policy, and the instances."""

    upstream: Upstream
    policy: Policy | None
    members: Members
    prioritized: frozenset[Target]
    """The members whose instances each caller uses by their nearness."""
    clusters: Mapping[NodeKind, Resource]
    endpoints: Resource
    """As a caller sees them that does not say where it is."""
    places: frozenset[Place]
    """Where callers see other ones."""
    prefixes: frozenset[str]
    """The path prefixes that the instances serve, for an Envoy."""
    problems: tuple[str, ...]
    _by_rule: dict[tuple[NodeKind, UpstreamRule], Resource] = field(default_factory=dict, compare=False)
    _by_place: dict[Place, Resource] = field(default_factory=dict, compare=False)

    def cluster_for(self, kind: NodeKind, rule: UpstreamRule | None) -> Resource:
        """The cluster as a caller with that rule sees it."""
        if rule is None:
            return self.clusters[kind]
        found = self._by_rule.get((kind, rule))
        if found is None:
            if len(self._by_rule) >= _MOST_RULES:
                del self._by_rule[next(iter(self._by_rule))]
            message = clusters.cluster(self.upstream, self.policy or Policy(), kind, rule)
            packed = pack(ResourceType.CLUSTER, self.upstream.id, message)
            same = packed.version == self.clusters[kind].version or validation.cluster(message)
            found = self._by_rule[kind, rule] = self.clusters[kind] if same else packed
        return found

    def endpoints_for(self, caller: Place) -> Resource:
        """The endpoints as a caller in that place sees them."""
        place = reduced(caller, self.places)
        if place == NOWHERE:
            return self.endpoints
        found = self._by_place.get(place)
        if found is None:
            ring = _is_ring(self.policy, self.upstream)
            message, _ = endpoints.assignment(
                self.upstream, self.members, ring=ring, prioritized=self.prioritized, caller=place
            )
            packed = pack(ResourceType.ENDPOINTS, self.upstream.id, message)
            same = packed.version == self.endpoints.version or validation.assignment(message)
            found = self._by_place[place] = self.endpoints if same else packed
        return found

    def fits(self, upstream: Upstream, policy: Policy | None, members: Members, prioritized: frozenset[Target]) -> bool:
        """Whether the part is still what these inputs lead to."""
        same = self.members == members and self.prioritized == prioritized
        return same and self.upstream == upstream and self.policy == policy


def make_service(
    service: ServiceName, document: Mapping[str, Any], policies: Mapping[ServiceName, Policy]
) -> ServicePart:
    """Translate one chain; raises `ValidationError` where it cannot be published."""
    try:
        return _service(service, document, policies)
    except ValidationError:
        raise
    except _UNSAYABLE as error:
        raise ValidationError(f"routes of {service}", [Violation("", _unsayable(error))]) from error


def _service(service: ServiceName, document: Mapping[str, Any], policies: Mapping[ServiceName, Policy]) -> ServicePart:
    chain = parse_chain(service, document)
    touched = {service, *(upstream.target.service for upstream in chain.upstreams.values())}
    own = {name: policies.get(name) for name in sorted(touched)}
    for_grpc = routes.build(chain, _known(own), NodeKind.GRPC)
    for_envoy = routes.build(chain, _known(own), NodeKind.ENVOY)
    wrong = validation.routes(for_grpc.routes, chain.upstreams.keys()) or validation.expressions_of(for_envoy.routes)
    if wrong:
        raise ValidationError(f"routes of {service}", [Violation("", what) for what in wrong])
    host = envoy.virtual_host(service, for_envoy.routes)
    table = routes.table(service, for_grpc)
    route = pack(ResourceType.ROUTE, service, table)
    content = route.body + host.SerializeToString(deterministic=True)
    return ServicePart(
        document=document,
        policies=own,
        chain=chain,
        listener=listener(service),
        route=route,
        table=table,
        timed=for_grpc.timed,
        host=host,
        problems=(*chain.problems, *for_grpc.problems, *for_envoy.problems),
        digest=digest(content),
    )


def make_target(
    upstream: Upstream,
    policy: Policy | None,
    members: Members,
    prioritized: frozenset[Target],
    old: TargetPart | None,
) -> TargetPart:
    """Translate one target; what fails its check is taken from `old`, or left empty."""
    problems: list[str] = []
    if old and old.upstream == upstream and old.policy == policy:
        packed = old.clusters
    else:
        packed = _clusters(upstream, policy or Policy(), old, problems)
    problems += balancing.problems(policy, upstream.load_balancer)
    message, left_out = endpoints.assignment(upstream, members, ring=_is_ring(policy, upstream))
    problems += left_out
    wrong = validation.assignment(message)
    if wrong:
        problems += [f"endpoints of {upstream.id} stay as they were: {what}" for what in wrong]
        message = endpoints.assignment(upstream, ())[0]
    keep = old.endpoints if wrong and old else None
    return TargetPart(
        upstream=upstream,
        policy=policy,
        members=members,
        prioritized=prioritized,
        clusters=packed,
        endpoints=keep or pack(ResourceType.ENDPOINTS, upstream.id, message),
        places=endpoints.near_whom(members, prioritized) if prioritized and not wrong else frozenset(),
        prefixes=envoy.api_prefixes(members[0][1]),
        problems=tuple(problems),
    )


def _is_ring(policy: Policy | None, upstream: Upstream) -> bool:
    return balancing.chosen(policy, upstream.load_balancer, NodeKind.GRPC).policy == "ring_hash"


def _clusters(
    upstream: Upstream, policy: Policy, old: TargetPart | None, problems: list[str]
) -> Mapping[NodeKind, Resource]:
    try:
        messages = {kind: clusters.cluster(upstream, policy, kind) for kind in NodeKind}
        wrong = validation.cluster(messages[NodeKind.GRPC])
    except _UNSAYABLE as error:
        wrong = [_unsayable(error)]
    if wrong:
        problems += [f"cluster {upstream.id} stays as it was: {what}" for what in wrong]
        if old:
            return old.clusters
        messages = {kind: clusters.cluster(upstream, Policy(), kind) for kind in NodeKind}
    return {kind: pack(ResourceType.CLUSTER, upstream.id, message) for kind, message in messages.items()}


def _known(policies: Mapping[ServiceName, Policy | None]) -> dict[ServiceName, Policy]:
    return {service: policy for service, policy in policies.items() if policy is not None}


def _unsayable(error: Exception) -> str:
    return f"cannot be said in xDS: {error}"
