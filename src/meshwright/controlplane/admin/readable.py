"""Resources as people read them: JSON in protobuf's mapping, type URLs kept, nothing left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from meshwright.controlplane.model.snapshot import ResourceType
from meshwright.messages import xds
from meshwright.model import folded

if TYPE_CHECKING:
    from meshwright.controlplane.model.snapshot import Resource


def readable(resource: Resource) -> dict[str, Any]:
    """A resource's content as JSON."""
    return readable_any(xds.AnyMessage.FromString(resource.body))


def readable_any(message: xds.AnyMessage) -> dict[str, Any]:
    """A packed message's content as JSON; where its type is not known, what it is."""
    try:
        return xds.to_json(message)
    except (DecodeError, TypeError, ValueError) as error:
        return {"@type": message.type_url, "unreadable": str(error)}


def resource_matches(resource: Resource, service: str) -> bool:
    """Whether a resource belongs to a service: clusters and endpoints are named `[subset.]service.namespace.dc`."""
    service, name = folded(service), folded(resource.name)
    if not service or name == service:
        return True
    if resource.type in (ResourceType.LISTENER, ResourceType.ROUTE):
        return False
    return service in name.split(".")[:2]
