"""Who is at the other end of a stream, and what its view of the mesh depends on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf.json_format import MessageToDict

from meshwright.controlplane.snapshot import NodeKind, Viewpoint
from meshwright.errors import BadInputError, Problem
from meshwright.model import Address

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from envoy.config.core.v3.base_pb2 import Node

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
    metadata = MessageToDict(node.metadata)
    problems: list[Problem] = []
    if node.user_agent_name.lower() == NodeKind.ENVOY.value:
        viewpoint = Viewpoint(NodeKind.ENVOY, ingress=_ingress(metadata, problems))
    else:
        viewpoint = Viewpoint(NodeKind.GRPC, timeout_skew_ms=_skew(metadata, problems))
    if problems:
        raise BadInputError(f"the metadata of node {node.id or '(without an id)'}", problems)
    return NodeInfo(node.id, node.cluster, agent, viewpoint)


def _skew(metadata: Mapping[str, Any], problems: list[Problem]) -> int:
    value = metadata.get(SKEW, 0)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not 0 <= value <= MAX_SKEW_MS:
        problems.append(Problem(SKEW, f"expected a number from 0 to {MAX_SKEW_MS}, not {value!r}"))
        return 0
    return round(float(value))


def _ingress(metadata: Mapping[str, Any], problems: list[Problem]) -> Address:
    default = Viewpoint(NodeKind.ENVOY).ingress
    text = metadata.get(INGRESS)
    if text is None:
        return default
    try:
        return Address.parse(str(text))
    except ValueError as error:
        problems.append(Problem(INGRESS, f"{error}, not {text!r}"))
        return default
