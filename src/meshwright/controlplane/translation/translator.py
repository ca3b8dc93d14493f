"""The control plane's core: from a catalog to a snapshot. No I/O, no clock.

The work is cut into parts that are kept from one snapshot to the next. A service part is what a chain and the
policies it touches lead to: a listener, routes per skew, an ingress virtual host. A target part is what instances
and their service's policy lead to: a cluster per kind of node, and endpoints. A part is made again only when an
input of it has another value than before, so an instance's coming or going costs one target part however many
services there are.

Each new part is checked before it is taken (`validation`). A service whose new part fails keeps its last good one, with
a problem that says why; the rest goes on. A service without a good one is not published: its name is answered
like an unknown one.

Two chains may name the same target. The chain of the target's own service then says what it is, and failing that
the first by name: equal on every replica.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from meshwright.controlplane.model import localities
from meshwright.controlplane.model.resource_table import digest
from meshwright.controlplane.model.snapshot import Snapshot
from meshwright.controlplane.translation import envoy
from meshwright.controlplane.translation.resource_parts import ServicePart, TargetPart, make_service, make_target
from meshwright.controlplane.translation.views import Services, Targets, view
from meshwright.errors import ValidationError, Violation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshwright.controlplane.model.catalog import Catalog, Target
    from meshwright.controlplane.translation.chain import Upstream
    from meshwright.model import ServiceName

__all__ = ["Translator"]


class Translator:
    """Turns one state of the mesh after the other into snapshots.

    What it keeps of the last one saves the work for what did not change, and stands in for what is now wrong. Apart
    from the latter it makes no difference to the result.
    """

    def __init__(self) -> None:
        self._services = Services({}, {})
        self._targets = Targets({})

    def translate(self, catalog: Catalog) -> Snapshot:
        """Everything that nodes are told about the mesh in this catalog."""
        problems: list[Violation] = []
        service_parts = _services(catalog, self._services.parts, problems)
        target_parts = _targets(catalog, _upstreams(service_parts), self._targets.parts)
        prefixes = _prefixes(service_parts, target_parts, problems)
        services = self._keep_services(Services(service_parts, prefixes))
        targets = self._keep_targets(Targets(target_parts, catalog.callers))
        problems += [Violation(name, what) for name, part in service_parts.items() for what in part.problems]
        problems += [Violation(name, what) for name, rules in catalog.callers.items() for what in rules.problems]
        problems += [
            Violation(part.upstream.target.service, what) for part in target_parts.values() for what in part.problems
        ]
        return Snapshot(
            version=digest(f"{services.version};{targets.version}".encode()),
            problems=tuple(sorted(set(problems), key=lambda problem: (problem.path, problem.message))),
            views=lambda node_profile: view(services, targets, node_profile),
        )

    @property
    def targets_in_force(self) -> frozenset[Target]:
        """The lists of instances behind the last snapshot: those of its last good routes too, which the catalog's
        chains may not name any more. The builder of the next catalog reads these."""
        parts = self._targets.parts.values()
        own = {part.upstream.target for part in parts if part.upstream.here}
        return frozenset(own.union(*(part.upstream.failover for part in parts)))

    def _keep_services(self, services: Services) -> Services:
        if not self._services.same_as(services):
            self._services = services
        return self._services

    def _keep_targets(self, targets: Targets) -> Targets:
        targets.inherit(self._targets)
        self._targets = targets
        return targets


def _services(
    catalog: Catalog, old: Mapping[ServiceName, ServicePart], problems: list[Violation]
) -> dict[ServiceName, ServicePart]:
    parts = {}
    for service in sorted(catalog.chains):
        document = catalog.chains[service]
        part = old.get(service)
        if part is None or not part.fits(document, catalog.policies):
            try:
                part = make_service(service, document, catalog.policies)
            except ValidationError as error:
                outcome = "its last good routes stay in force" if part else "it is not published"
                problems += [Violation(service, f"{outcome}: {problem}") for problem in error.violations]
                if part and not part.fits(part.document, catalog.policies):  # the policies still apply
                    with contextlib.suppress(ValidationError):  # unless they are what is wrong
                        part = make_service(service, part.document, catalog.policies)
        if part is not None:
            parts[service] = part
    return parts


def _upstreams(parts: Mapping[ServiceName, ServicePart]) -> dict[str, Upstream]:
    """Every upstream that some chain names, by id, each as the chain of its own service has it where there is one."""
    upstreams: dict[str, Upstream] = {}
    for service, part in parts.items():
        for name, upstream in part.chain.upstreams.items():
            if name not in upstreams or upstream.target.service == service:
                upstreams[name] = upstream
    return upstreams


def _targets(
    catalog: Catalog, upstreams: Mapping[str, Upstream], old: Mapping[str, TargetPart]
) -> dict[str, TargetPart]:
    parts = {}
    modes = localities.modes_of(catalog.policies)
    for name in sorted(upstreams):
        upstream = upstreams[name]
        policy = catalog.policies.get(upstream.target.service)
        own = catalog.instances.get(upstream.target, ()) if upstream.here else ()
        reserve = ((target, catalog.instances.get(target, ())) for target in upstream.failover)
        members = ((upstream.target, own), *reserve)
        prioritized = localities.prioritized((upstream.target, *upstream.failover), upstream.prioritized, modes)
        part = old.get(name)
        if part is None or not part.fits(upstream, policy, members, prioritized):
            part = make_target(upstream, policy, members, prioritized, part)
        parts[name] = part
    return parts


def _prefixes(
    services: Mapping[ServiceName, ServicePart], targets: Mapping[str, TargetPart], problems: list[Violation]
) -> dict[str, ServiceName]:
    """Which service an Envoy's caller means who names only a path. The first by name wins."""
    unroutable = services.keys() - set(envoy.routable(services))
    what = "an Envoy does not route to it: its name is no domain, or is another's but for case"
    problems += [Violation(service, what) for service in unroutable]
    claims: dict[str, set[ServiceName]] = {}
    for part in targets.values():
        if part.upstream.target.service in services:
            for prefix in part.prefixes:
                claims.setdefault(prefix, set()).add(part.upstream.target.service)
    for prefix, claimants in claims.items():
        first, *others = sorted(claimants)
        problems += [
            Violation(other, f"calls to {prefix} at an Envoy reach {first}, which has it too") for other in others
        ]
    return {prefix: min(claimants) for prefix, claimants in sorted(claims.items())}
