"""Who is at the other end of a stream, and what its view of the mesh depends on.

gRPC's C core (Python, C++, Ruby, PHP, C#) fires route timeouts early by 1 to 2 seconds, a constant of the process
(decision 0022). A process with Meshwright's runtime measures it and says so; of one that does not, the control plane
assumes the greatest: its timeouts fire up to a second late, and never early. gRPC in Go, Java and Node, and Envoy, fire
on time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshwright.controlplane.model.localities import Place
from meshwright.controlplane.model.snapshot import NodeKind, NodeProfile
from meshwright.errors import ValidationError, Violation
from meshwright.model import Address

if TYPE_CHECKING:
    from meshwright.messages.xds import Node, Struct

SKEW = "meshwright.timeout_skew_ms"
"""Metadata: by how many milliseconds this process's gRPC fires route timeouts early."""
INGRESS = "meshwright.ingress"
"""Metadata of an Envoy: the `host:port` on which it listens for calls into the mesh."""
MAX_SKEW_MS = 5000
GREATEST_SKEW_MS = 2000
"""What is assumed of a C core that names no skew: 1 s and the fraction of a clock."""
_C_CORE = "grpc c-core"
"""How the user agent of a C core begins, in lower case; the platform and the language follow."""
_NODE_JS = "grpc node pure js"


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """What a node says about itself."""

    id: str
    cluster: str
    agent: str
    node_profile: NodeProfile
    skew_assumed: bool = False
    """Whether the timeout skew is not what the node measured, but the greatest that its gRPC can have."""


def read_node(node: Node | None) -> NodeInfo:
    """Judge the node of a stream's first request. Raises `ValidationError` that says what is wrong with it."""
    if node is None:
        raise ValidationError(
            "the discovery request", [Violation("node", "is required in the first request of a stream")]
        )
    agent = f"{node.user_agent_name} {node.user_agent_version}".strip()
    problems: list[Violation] = []
    name = node.user_agent_name.lower()
    assumed = False
    place = Place(node.locality.region, node.locality.zone)
    if name == NodeKind.ENVOY.value:
        ingress = _ingress(node.metadata, problems)
        node_profile = NodeProfile(NodeKind.ENVOY, ingress=ingress, caller=node.cluster, place=place)
    else:
        assumed = name.startswith(_C_CORE) and SKEW not in node.metadata.fields
        skew = GREATEST_SKEW_MS if assumed else _skew(node.metadata, problems)
        node_profile = NodeProfile(
            NodeKind.GRPC,
            timeout_skew_ms=skew,
            caller=node.cluster,
            place=place,
            hosts_unknown=name.startswith(_NODE_JS),
        )
    if problems:
        raise ValidationError(f"the metadata of node {node.id or '(without an id)'}", problems)
    return NodeInfo(node.id, node.cluster, agent, node_profile, assumed)


def _skew(metadata: Struct, problems: list[Violation]) -> int:
    if SKEW not in metadata.fields:
        return 0
    value = metadata.fields[SKEW]
    number = value.number_value
    if value.WhichOneof("kind") != "number_value" or not math.isfinite(number) or not 0 <= number <= MAX_SKEW_MS:
        shown = str(value).strip().replace("\n", " ")
        problems.append(Violation(SKEW, f"expected a number from 0 to {MAX_SKEW_MS}, not {shown[:100]}"))
        return 0
    return round(number)


def _ingress(metadata: Struct, problems: list[Violation]) -> Address:
    default = NodeProfile(NodeKind.ENVOY).ingress
    if INGRESS not in metadata.fields:
        return default
    text = metadata.fields[INGRESS].string_value
    try:
        return Address.parse(text)
    except ValueError as error:
        problems.append(Violation(INGRESS, f"{error}, not {text[:100]!r}"))
        return default
