"""Who is at the other end of a stream, and what its view of the mesh depends on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshwright.controlplane.snapshot import NodeKind, Viewpoint
from meshwright.errors import BadInputError, Problem
from meshwright.model import Address

if TYPE_CHECKING:
    from envoy.config.core.v3.base_pb2 import Node
    from google.protobuf.struct_pb2 import Struct

SKEW = "meshwright.timeout_skew_ms"
"""Metadata: by how many milliseconds this process's gRPC fires route timeouts early."""
INGRESS = "meshwright.ingress"
"""Metadata of an Envoy: the `host:port` on which it listens for calls into the mesh."""
MAX_SKEW_MS = 5000


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """What a node says about itself."""

    id: str
    cluster: str
    agent: str
    viewpoint: Viewpoint


def read_node(node: Node | None) -> NodeInfo:
    """Judge the node of a stream's first request. Raises `BadInputError` that says what is wrong with it."""
    if node is None:
        raise BadInputError("the discovery request", [Problem("node", "is required in the first request of a stream")])
    agent = f"{node.user_agent_name} {node.user_agent_version}".strip()
    problems: list[Problem] = []
    if node.user_agent_name.lower() == NodeKind.ENVOY.value:
        viewpoint = Viewpoint(NodeKind.ENVOY, ingress=_ingress(node.metadata, problems))
    else:
        viewpoint = Viewpoint(NodeKind.GRPC, timeout_skew_ms=_skew(node.metadata, problems))
    if problems:
        raise BadInputError(f"the metadata of node {node.id or '(without an id)'}", problems)
    return NodeInfo(node.id, node.cluster, agent, viewpoint)


def _skew(metadata: Struct, problems: list[Problem]) -> int:
    if SKEW not in metadata.fields:
        return 0
    value = metadata.fields[SKEW]
    number = value.number_value
    if value.WhichOneof("kind") != "number_value" or not math.isfinite(number) or not 0 <= number <= MAX_SKEW_MS:
        shown = str(value).strip().replace("\n", " ")
        problems.append(Problem(SKEW, f"expected a number from 0 to {MAX_SKEW_MS}, not {shown[:100]}"))
        return 0
    return round(number)


def _ingress(metadata: Struct, problems: list[Problem]) -> Address:
    default = Viewpoint(NodeKind.ENVOY).ingress
    if INGRESS not in metadata.fields:
        return default
    text = metadata.fields[INGRESS].string_value
    try:
        return Address.parse(text)
    except ValueError as error:
        problems.append(Problem(INGRESS, f"{error}, not {text[:100]!r}"))
        return default
