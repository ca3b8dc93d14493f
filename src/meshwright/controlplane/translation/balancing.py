"""How the instances of a target share its calls: what the policy document says, and failing that Consul's resolver.

Consul's service-resolver has a `LoadBalancer` since 1.9. gRPC takes round robin and ring hash, refuses Envoy's other
policies (a NACK of the whole cluster), and hashes on metadata keys alone. Where it cannot do what is said, it gets what
comes nearest without changing what is promised, and the difference is reported (docs/explanation/control-plane.md):

- `maglev` becomes `ring_hash`: calls with equal values reach the same instance all the same.
- `least_request` and `random` become round robin.
- Hash policies on cookies, query parameters and addresses are left out; where none is left, nothing can be hashed on,
  and the calls go round robin.

An Envoy gets what was written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meshwright import durations
from meshwright.controlplane.model.policy import Balancing
from meshwright.controlplane.model.snapshot import NodeKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshwright.controlplane.model.policy import Policy

HEADER, COOKIE, QUERY_PARAMETER, SOURCE_IP = "header", "cookie", "query_parameter", "source_ip"
HASHING = ("ring_hash", "maglev")
SIMPLE = ("round_robin", "least_request", "random")
SMALL_RING, LARGE_RING, CHOICES = 1024, 4096, 2
"""What counts where nothing is said."""
MAX_RING = 8_388_608
"""The largest ring that gRPC and Envoy accept. gRPC's C core then makes one of 4096 entries at most."""


@dataclass(frozen=True, slots=True)
class HashOn:
    """One thing that calls are hashed on."""

    field: str
    name: str = ""
    terminal: bool = False
    """Whether the ones behind it do not count for a call that has this one."""
    cookie_path: str = ""
    cookie_ttl_ms: float | None = None


@dataclass(frozen=True, slots=True)
class LoadBalancer:
    """What balances calls: a policy by Consul's name, and its settings."""

    policy: str = "round_robin"
    hash_on: tuple[HashOn, ...] = ()
    minimum_ring_size: int = SMALL_RING
    maximum_ring_size: int = LARGE_RING
    choices: int = CHOICES
    """How many instances `least_request` looks at."""


def read(document: Mapping[str, Any] | None) -> LoadBalancer | None:
    """The `LoadBalancer` of a resolver node, or None where it says nothing."""
    if not document or not document.get("Policy"):
        return None
    ring = document.get("RingHashConfig") or {}
    low = int(ring.get("MinimumRingSize") or SMALL_RING)
    high = int(ring.get("MaximumRingSize") or max(low, LARGE_RING))
    return LoadBalancer(
        policy=str(document["Policy"]),
        hash_on=tuple(_hash_on(entry) for entry in document.get("HashPolicies") or ()),
        minimum_ring_size=min(low, high, MAX_RING),
        maximum_ring_size=min(high, MAX_RING),
        choices=int((document.get("LeastRequestConfig") or {}).get("ChoiceCount") or CHOICES),
    )


def chosen(policy: Policy | None, resolver: LoadBalancer | None, kind: NodeKind) -> LoadBalancer:
    """The balancing for a kind of node: the policy document's choice, failing that the resolver's, as far as it can."""
    said = policy.load_balancing if policy else None
    if said is not None:
        hash_on = (HashOn(HEADER, said.hash_on_header),) if said.policy is Balancing.RING_HASH else ()
        return LoadBalancer(said.policy.value, hash_on, said.minimum_ring_size, said.maximum_ring_size)
    if resolver is None or resolver.policy not in (*HASHING, *SIMPLE):
        return LoadBalancer()
    return resolver if kind is NodeKind.ENVOY else _for_grpc(resolver)


def problems(policy: Policy | None, resolver: LoadBalancer | None) -> list[str]:
    """What of a resolver's `LoadBalancer` is not done as it says."""
    if resolver is None or (policy is not None and policy.load_balancing is not None):
        return []
    name = resolver.policy
    if name in ("least_request", "random"):
        return [f"LoadBalancer {name} is not gRPC's; gRPC clients balance round robin"]
    if name not in (*HASHING, *SIMPLE):
        return [f"LoadBalancer {name} is not known here; calls are balanced round robin"]
    if name not in HASHING:
        return []
    lost = [each for each in resolver.hash_on if not _is_metadata(each)]
    found = [f"gRPC clients cannot hash on {_shown(each)}; it is left out" for each in lost]
    if len(lost) == len(resolver.hash_on):
        return [*found, f"LoadBalancer {name} has no header to hash on; gRPC clients balance round robin"]
    if name == "maglev":
        found.append("LoadBalancer maglev is not gRPC's; gRPC clients use ring_hash on the same headers")
    return found


def _for_grpc(resolver: LoadBalancer) -> LoadBalancer:
    hash_on = tuple(each for each in resolver.hash_on if _is_metadata(each))
    if resolver.policy not in HASHING or not hash_on:
        return LoadBalancer()
    return LoadBalancer("ring_hash", hash_on, resolver.minimum_ring_size, resolver.maximum_ring_size)


def _is_metadata(hash_on: HashOn) -> bool:
    """gRPC shows neither binary metadata nor pseudo headers to hash policies (gRFC A42)."""
    return hash_on.field == HEADER and not hash_on.name.endswith("-bin") and not hash_on.name.startswith(":")


def _hash_on(entry: Mapping[str, Any]) -> HashOn:
    terminal = bool(entry.get("Terminal", False))
    if entry.get("SourceIP"):
        return HashOn(SOURCE_IP, terminal=terminal)
    field, name = str(entry.get("Field") or ""), str(entry.get("FieldValue") or "")
    if field == HEADER:
        return HashOn(HEADER, name.lower(), terminal)
    if field != COOKIE:
        return HashOn(field, name, terminal)
    cookie = entry.get("CookieConfig") or {}
    ttl = durations.milliseconds(cookie.get("TTL")) or (0.0 if cookie.get("Session") else None)
    return HashOn(COOKIE, name, terminal, str(cookie.get("Path") or ""), ttl)


def _shown(hash_on: HashOn) -> str:
    return "the caller's address" if hash_on.field == SOURCE_IP else f"the {hash_on.field} {hash_on.name}"
