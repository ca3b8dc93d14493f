"""What NetworkPolicies mean, as far as the chart uses them: whether one pod may connect to another, or to an address.

The rules of `networking.k8s.io/v1`: a pod that no policy selects in a direction is open in it; one that is selected is
reached by, or reaches, what some rule of some policy allows, and a connection needs the leave of both ends.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Any

Policy = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """A pod, or an address outside of the cluster (no namespace)."""

    labels: dict[str, str] = field(default_factory=dict)
    namespace: str = ""
    address: str = "10.0.0.1"


@dataclass(frozen=True)
class Socket:
    """Where a connection goes at its target."""

    port: int
    protocol: str = "TCP"


def allows(policies: list[Policy], source: Place, target: Place, port: int, protocol: str = "TCP") -> bool:
    """Whether a connection from `source` to `port` of `target` is let through at both ends."""
    socket = Socket(port, protocol)
    return _passes(policies, source, target, socket, "Egress") and _passes(policies, target, source, socket, "Ingress")


def _passes(policies: list[Policy], pod: Place, other: Place, socket: Socket, direction: str) -> bool:
    if not pod.namespace:
        return True
    mine = [
        each
        for each in policies
        if each["metadata"].get("namespace", pod.namespace) == pod.namespace
        and direction in each["spec"]["policyTypes"]
        and _selects(each["spec"]["podSelector"], pod.labels)
    ]
    rules = [rule for each in mine for rule in each["spec"].get(direction.lower()) or ()]
    peers = "to" if direction == "Egress" else "from"
    return not mine or any(
        _has_port(rule.get("ports"), socket) and _has_peer(rule.get(peers), pod, other) for rule in rules
    )


def _has_port(ports: list[dict[str, Any]] | None, socket: Socket) -> bool:
    if not ports:
        return True
    assert all(isinstance(each["port"], int) for each in ports), "names of ports are not evaluated"
    return any((each["port"], each.get("protocol", "TCP")) == (socket.port, socket.protocol) for each in ports)


def _has_peer(peers: list[dict[str, Any]] | None, pod: Place, other: Place) -> bool:
    return not peers or any(_is_peer(each, pod, other) for each in peers)


def _is_peer(peer: dict[str, Any], pod: Place, other: Place) -> bool:
    if block := peer.get("ipBlock"):
        address = ipaddress.ip_address(other.address)
        inside = address in ipaddress.ip_network(block["cidr"])
        return inside and not any(address in ipaddress.ip_network(each) for each in block.get("except", ()))
    if not other.namespace:
        return False
    if "namespaceSelector" in peer:
        if not _selects(peer["namespaceSelector"], {"kubernetes.io/metadata.name": other.namespace}):
            return False
    elif other.namespace != pod.namespace:
        return False
    return _selects(peer.get("podSelector") or {}, other.labels)


def _selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    return (selector.get("matchLabels") or {}).items() <= labels.items() and all(
        _meets(each, labels) for each in selector.get("matchExpressions") or ()
    )


def _meets(expression: dict[str, Any], labels: dict[str, str]) -> bool:
    found = labels.get(expression["key"])
    values = expression.get("values") or ()
    return {
        "In": found in values,
        "NotIn": found not in values,
        "Exists": found is not None,
        "DoesNotExist": found is None,
    }[expression["operator"]]
