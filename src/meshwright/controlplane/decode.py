"""Resources as people read them: JSON in protobuf's mapping, type URLs kept, nothing left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

# Imported for their descriptors: JSON shows the content of a packed message only where its type is known.
from envoy.config.cluster.v3 import cluster_pb2  # noqa: F401
from envoy.config.endpoint.v3 import endpoint_pb2  # noqa: F401
from envoy.config.listener.v3 import listener_pb2  # noqa: F401
from envoy.config.route.v3 import route_pb2  # noqa: F401
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError

from meshwright.controlplane.snapshot import ResourceType
from meshwright.model import folded

if TYPE_CHECKING:
    from meshwright.controlplane.snapshot import Resource


def readable(resource: Resource) -> dict[str, Any]:
    """A resource's content as JSON."""
    return readable_any(AnyMessage.FromString(resource.body))


def readable_any(message: AnyMessage) -> dict[str, Any]:
    """A packed message's content as JSON; where its type is not known, what it is."""
    try:
        document: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    except (DecodeError, TypeError, ValueError) as error:
        return {"@type": message.type_url, "unreadable": str(error)}
    return document


def resource_matches(resource: Resource, service: str) -> bool:
    """Whether a resource belongs to a service: clusters and endpoints are named `[subset.]service.namespace.dc`."""
    service, name = folded(service), folded(resource.name)
    if not service or name == service:
        return True
    if resource.type in (ResourceType.LISTENER, ResourceType.ROUTE):
        return False
    return service in name.split(".")[:2]
