"""API listeners: what gRPC's resolver asks for first when a client dials `xds:///user` (gRFC A27).

Every listener carries the fault filter, empty: faults are per-route overrides of it (gRFC A33), so injecting
one changes a route table and never a listener.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshwright.controlplane.model.snapshot import Resource, ResourceType, pack
from meshwright.messages import xds

if TYPE_CHECKING:
    from meshwright.model import ServiceName


def listener(service: ServiceName, dialled: str = "") -> Resource:
    """The listener of one service, whose routes are a resource of the same name. `dialled`: a client's spelling of it,
    which is what the client expects the listener to be called."""
    manager = xds.HttpConnectionManager(
        rds=xds.Rds(config_source=xds.over_ads(), route_config_name=service), http_filters=http_filters()
    )
    return _api_listener(dialled or service, manager)


def unknown_listener(name: str, *, hosted: bool = False) -> Resource:
    """The answer for an unknown name: no route at all, so that a call fails in milliseconds.

    Without an answer gRPC would wait 15 seconds for the resource to appear. `hosted`: with a virtual host
    that has no routes. Without one Node's client waits until the call's deadline; Java's refuses an empty one.
    """
    table = xds.RouteConfiguration(name=f"unknown:{name}")
    if hosted:
        table.virtual_hosts.add(name="unknown", domains=["*"])
    return _api_listener(name, xds.HttpConnectionManager(route_config=table, http_filters=http_filters()))


def http_filters() -> list[Any]:
    """Faults first, the router last, as both gRPC and Envoy demand."""
    return [
        xds.HttpFilter(name=xds.FAULT_FILTER, typed_config=xds.any_of(xds.HTTPFault())),
        xds.HttpFilter(name=xds.ROUTER_FILTER, typed_config=xds.any_of(xds.Router())),
    ]


def _api_listener(name: str, manager: Any) -> Resource:
    message = xds.Listener(name=name, api_listener=xds.ApiListener(api_listener=xds.any_of(manager)))
    return pack(ResourceType.LISTENER, name, message)
