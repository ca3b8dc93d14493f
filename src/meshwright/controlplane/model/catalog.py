"""What Consul knows, as one immutable value: the input of `translate`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from meshwright.model import ServiceName, folded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshwright.controlplane.model.policy import Policy
    from meshwright.controlplane.model.upstream_config import CallerRules
    from meshwright.model import Instance


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """One list of instances: those of a service that match a filter expression of Consul's. The name is in lower case:
    Consul compares it so."""

    service: ServiceName
    filter: str = ""
    only_passing: bool = False


@dataclass(frozen=True, slots=True)
class Catalog:
    """The state of the mesh. Its builder keeps the objects that did not change: `translate` compares by
    identity first, and only then by value.
    """

    chains: Mapping[ServiceName, Mapping[str, Any]] = field(default_factory=dict)
    """The compiled discovery chain (Consul's JSON under "Chain") of every service name that clients may dial."""
    instances: Mapping[Target, tuple[Instance, ...]] = field(default_factory=dict)
    """Healthy ones and others: `translate` decides which get traffic. A target of a chain that is not a key here counts
    as empty, so the builder of a catalog reads the lists of a chain before it adds the chain, and goes on reading those
    of the last good routes (`translate.targets_in_force`)."""
    policies: Mapping[ServiceName, Policy] = field(default_factory=dict)
    """The parsed documents under `meshwright/policy/`."""
    callers: Mapping[ServiceName, CallerRules] = field(default_factory=dict)
    """What the service-defaults of callers say of the services that they call."""


def targets(chain: Mapping[str, Any]) -> frozenset[Target]:
    """Which instance lists a compiled chain needs. Targets elsewhere are left out: see decision 0023."""
    entries = (chain.get("Targets") or {}).values()
    return frozenset(target_of(entry) for entry in entries if not elsewhere(chain, entry))


def elsewhere(chain: Mapping[str, Any], target: Mapping[str, Any]) -> str:
    """Where a target is, if the lists of our Consul do not show it; empty: here. The service of that name here is
    another one.
    """
    if target.get("Peer"):
        return f"the peer {target['Peer']}"
    for field_, default in (("Datacenter", ""), ("Partition", "default"), ("Namespace", "default")):
        if (target.get(field_) or chain.get(field_) or default) != (chain.get(field_) or default):
            return f"another {field_.lower()}"
    return ""


def target_of(entry: Mapping[str, Any]) -> Target:
    """The instance list behind one entry of a chain's `Targets`."""
    subset = entry.get("Subset") or {}
    return Target(
        ServiceName(folded(entry["Service"])), subset.get("Filter") or "", bool(subset.get("OnlyPassing", False))
    )
