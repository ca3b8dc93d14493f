"""What an Envoy gets: one ingress listener, and one route table over every service.

An Envoy subscribes to listeners by wildcard and refuses gRPC's API listeners, so its view has a single socket
listener. A call finds its service by authority (`user`), as gRPC clients name it, or, for callers that only know
the gateway, by the proto package in its path (`/demo.user.v1.UserService/GetUser`), where the instances' meta
`api` names packages or services. The routes behind both are the same as gRPC clients get, without the corrections
and omissions that gRPC needs.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from meshwright.controlplane.model.snapshot import Resource, ResourceType, pack
from meshwright.controlplane.translation import matches
from meshwright.controlplane.translation.listeners import http_filters
from meshwright.messages import xds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from meshwright.model import Address, Instance

INGRESS = "ingress"
"""The name of the listener and of its route table."""

_CONNECTION_MANAGER = "envoy.filters.network.http_connection_manager"
_DOMAIN = re.compile(r"[A-Za-z0-9._-]+")
_API = re.compile(r"[A-Za-z_][\w]*(\.[A-Za-z_][\w]*)+")


def ingress_listener(address: Address) -> Resource:
    """Plain-text HTTP/2 (and HTTP/1.1) on one socket, routed by the ingress table."""
    manager = xds.HttpConnectionManager(
        stat_prefix=INGRESS,
        codec_type="AUTO",
        rds=xds.Rds(config_source=xds.over_ads(), route_config_name=INGRESS),
        http_filters=http_filters(),
    )
    manager.stream_idle_timeout.FromNanoseconds(0)  # its default would end a quiet stream after five minutes
    network_filter = xds.Filter(name=_CONNECTION_MANAGER, typed_config=xds.any_of(manager))
    message = xds.Listener(
        name=INGRESS,
        address=xds.address(address.host, address.port),
        filter_chains=[xds.FilterChain(filters=[network_filter])],
    )
    return pack(ResourceType.LISTENER, INGRESS, message)


def routable(services: Iterable[str]) -> list[str]:
    """The services whose name an Envoy takes as an authority: one bad or doubled domain would cost the whole table."""
    chosen: dict[str, str] = {}
    for service in sorted(services):
        if _DOMAIN.fullmatch(service):
            chosen.setdefault(service.lower(), service)
    return sorted(chosen.values())


def virtual_host(service: str, routes: Iterable[Any]) -> Any:
    """The routes of one service, found by authority with any port or none."""
    return xds.VirtualHost(name=service, domains=[service, f"{service}:*"], routes=routes)


def ingress_routes(hosts: Sequence[Any], prefixes: Mapping[str, str]) -> Resource:
    """The whole table: a virtual host per service, and one for every other authority, routed by path.

    `prefixes` maps a path prefix to the name of the virtual host that it leads to.
    """
    by_name = {host.name: host for host in hosts}
    fallback = xds.VirtualHost(name="*", domains=["*"])
    for prefix in sorted(prefixes, key=lambda prefix: (-len(prefix), prefix)):
        for route in by_name[prefixes[prefix]].routes:
            copy = fallback.routes.add()
            copy.CopyFrom(route)
            copy.match.headers.append(matches.path_prefix(prefix))
    message = xds.RouteConfiguration(name=INGRESS, virtual_hosts=[*hosts, fallback])
    return pack(ResourceType.ROUTE, INGRESS, message)


def api_prefixes(instances: Iterable[Instance]) -> frozenset[str]:
    """The path prefixes that the instances' meta `api` stands for: `/demo.user.v1.` or `/demo.user.v1.UserService/`.

    Names are separated by commas or spaces. A name without a dot is no proto name; gRPC's own (health, reflection) are
    those of all callers. Both are passed over.
    """
    names = {name for instance in instances for name in re.split(r"[,\s]+", instance.meta.get("api", ""))}
    return frozenset(_prefix(name) for name in names if _API.fullmatch(name) and not name.startswith("grpc."))


def _prefix(name: str) -> str:
    is_service = name.rpartition(".")[2][0].isupper()
    return f"/{name}/" if is_service else f"/{name}."
