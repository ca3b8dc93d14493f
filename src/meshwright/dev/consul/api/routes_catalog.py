"""`/v1/catalog` and `/v1/health`: what the registry knows, read and written directly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshwright.dev import booleans
from meshwright.dev.consul.api.registration import deregister, register
from meshwright.dev.consul.catalog import catalog as topics
from meshwright.dev.consul.catalog.catalog import checks_topic, instances_topic, service_topic
from meshwright.dev.consul.catalog.models import PASSING
from meshwright.dev.consul.filters import CHECK, HEALTH_SERVICE, NODE, SERVICE, SERVICE_NODE, compile_filter
from meshwright.dev.consul.http_errors import bad_request
from meshwright.dev.consul.query import Read, as_json, check_datacenter
from meshwright.model import folded

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from meshwright.dev.consul.api.routing import Route
    from meshwright.dev.consul.catalog.models import Node, Service
    from meshwright.dev.consul.filters import Shape
    from meshwright.dev.consul.state import State


class CatalogRoutes:
    """Handlers over the catalog."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._catalog = state.catalog
        self._store = state.store

    def routes(self) -> list[Route]:
        """Method, path, handler."""
        return [
            ("GET", "/v1/catalog/services", self.services),
            ("GET", "/v1/catalog/service/{name:.*}", self.service),
            ("GET", "/v1/catalog/nodes", self.nodes),
            ("GET", "/v1/catalog/node/{name:.*}", self.node),
            ("GET", "/v1/catalog/node-services/{name:.*}", self.node_services),
            ("GET", "/v1/catalog/datacenters", self.datacenters),
            ("PUT", "/v1/catalog/register", self.register),
            ("PUT", "/v1/catalog/deregister", self.deregister),
            ("GET", "/v1/health/service/{name:.*}", self.health_service),
            ("GET", "/v1/health/checks/{name:.*}", self.health_checks),
            ("GET", "/v1/health/node/{name:.*}", self.health_node),
            ("GET", "/v1/health/state/{state:.*}", self.health_state),
        ]

    async def services(self, request: web.Request) -> web.Response:
        """Names with the tags of all their instances."""
        wanted = _node_meta(request)

        def read() -> Read:
            found: dict[str, set[str]] = {}
            for service in self._catalog.services.values():
                if self._node_matches(service.node, wanted):
                    found.setdefault(service.name, set()).update(service.tags)
            value = {name: sorted(found[name]) for name in sorted(found)}
            return Read(value, self._store.last(topics.SERVICES), (topics.SERVICES,))

        return await self._answer(request, read)

    async def service(self, request: web.Request) -> web.Response:
        """The instances of a service, without checks."""
        name = _name(request, "Missing service name")
        matches = _filter(request, SERVICE_NODE)
        tags, wanted = request.query.getall("tag", []), _node_meta(request)

        def read() -> Read:
            rows = [
                service.catalog_json(self._node_of(service))
                for service in self._near(request, self._catalog.instances(name))
                if _has_tags(service.tags, tags) and self._node_matches(service.node, wanted)
            ]
            index = self._catalog.service_index(name, checks=False)
            return Read([row for row in rows if matches(row)], index, (instances_topic(name),))

        return await self._answer(request, read)

    async def nodes(self, request: web.Request) -> web.Response:
        """Every node."""
        matches, wanted = _filter(request, NODE), _node_meta(request)

        def read() -> Read:
            names = sorted(name for name in self._catalog.nodes if self._node_matches(name, wanted))
            names.sort(key=lambda name: name != folded(request.query.get("near", "")))
            rows = [self._catalog.nodes[name].json() for name in names]
            return Read([row for row in rows if matches(row)], self._store.last(topics.NODES), (topics.NODES,))

        return await self._answer(request, read)

    async def node(self, request: web.Request) -> web.Response:
        """A node with its services; null where there is none."""
        name = _name(request, "Missing node name")
        matches = _filter(request, SERVICE)

        def read() -> Read:
            watched = (topics.NODES, topics.SERVICES)
            node = self._catalog.node(name)
            if node is None:
                return Read(None, 0, watched, null=True)  # Consul: a node that is not there has no index
            services = {service.id: service.json() for service in self._catalog.instances_on(name)}
            value = {"Node": node.json(), "Services": {key: row for key, row in services.items() if matches(row)}}
            return Read(value, self._store.last(*watched), watched)

        return await self._answer(request, read)

    async def node_services(self, request: web.Request) -> web.Response:
        """A node with its services, as a list."""
        name = _name(request, "Missing node name")
        matches = _filter(request, SERVICE)

        def read() -> Read:
            watched = (topics.NODES, topics.SERVICES)
            node = self._catalog.node(name)
            if node is None:
                return Read({"Node": None, "Services": None}, 0, watched)
            services = [service.json() for service in self._catalog.instances_on(name)]
            value = {"Node": node.json(), "Services": [row for row in services if matches(row)]}
            return Read(value, self._store.last(*watched), watched)

        return await self._answer(request, read)

    async def datacenters(self, request: web.Request) -> web.Response:
        """The one there is."""
        return as_json(request, [self._state.datacenter])

    async def register(self, request: web.Request) -> web.Response:
        """Write node, service and checks past any agent."""
        register(self._state, await request.read())
        return as_json(request, True)

    async def deregister(self, request: web.Request) -> web.Response:
        """Remove a node, a service or a check past any agent."""
        deregister(self._state, await request.read())
        return as_json(request, True)

    async def health_service(self, request: web.Request) -> web.Response:
        """The instances of a service with node and checks."""
        name = _name(request, "Missing service name")
        matches = _filter(request, HEALTH_SERVICE)
        passing = _passing(request)
        tags, wanted = request.query.getall("tag", []), _node_meta(request)

        def read() -> Read:
            rows = [
                {
                    "Node": self._node_of(service).json(),
                    "Service": service.json(),
                    "Checks": [check.json() for check in self._catalog.checks_for(service)],
                }
                for service in self._near(request, self._catalog.instances(name))
                if _has_tags(service.tags, tags) and self._node_matches(service.node, wanted)
            ]
            found = [row for row in rows if _is_healthy(row, passing) and matches(row)]
            return Read(found, self._catalog.service_index(name), (service_topic(name),))

        return await self._answer(request, read)

    async def health_checks(self, request: web.Request) -> web.Response:
        """The checks of a service's instances."""
        name = _name(request, "Missing service name")
        return await self._checks(request, lambda check: folded(check.service_name) == folded(name), checks_topic(name))

    async def health_node(self, request: web.Request) -> web.Response:
        """The checks on a node."""
        name = _name(request, "Missing node name")
        return await self._checks(request, lambda check: folded(check.node) == folded(name))

    async def health_state(self, request: web.Request) -> web.Response:
        """The checks in a state, or in any."""
        state = request.match_info["state"]
        if not state:
            raise bad_request("Missing check state")
        return await self._checks(request, lambda check: state in ("any", check.status))

    async def _checks(
        self, request: web.Request, wanted: Callable[[Any], bool], topic: str = topics.CHECKS
    ) -> web.Response:
        matches, meta = _filter(request, CHECK), _node_meta(request)

        def read() -> Read:
            rows = [
                check.json()
                for _, check in sorted(self._catalog.checks.items())
                if wanted(check) and self._node_matches(check.node, meta)
            ]
            return Read([row for row in rows if matches(row)], self._store.last(topics.CHECKS), (topic,))

        return await self._answer(request, read)

    async def _answer(self, request: web.Request, read: Callable[[], Read]) -> web.Response:
        check_datacenter(request, self._state.datacenter)
        return await self._state.waiting.answer(request, read)

    def _near(self, request: web.Request, services: list[Any]) -> list[Any]:
        near = request.query.get("near", "")
        near = self._state.node if near == "_agent" else near
        return sorted(services, key=lambda service: folded(service.node) != folded(near)) if near else services

    def _node_of(self, service: Service) -> Node:
        return self._catalog.nodes[folded(service.node)]

    def _node_matches(self, node: str, wanted: dict[str, str]) -> bool:
        meta = self._catalog.nodes[folded(node)].meta or {} if wanted else {}
        return all(meta.get(key) == value for key, value in wanted.items())


def _is_healthy(row: dict[str, Any], passing: bool) -> bool:
    return not passing or all(check["Status"] == PASSING for check in row["Checks"])


def _passing(request: web.Request) -> bool:
    if "passing" not in request.query:
        return False
    text = request.query["passing"]
    if not text:
        return True
    try:
        return booleans.parse(text)
    except ValueError:
        raise bad_request("Invalid value for ?passing") from None


def _name(request: web.Request, missing: str) -> str:
    name = request.match_info["name"]
    if not name:
        raise bad_request(missing)
    return name


def _filter(request: web.Request, shape: Shape) -> Callable[[Any], bool]:
    return compile_filter(request.query.get("filter", ""), shape)


def _node_meta(request: web.Request) -> dict[str, str]:
    pairs = (item.partition(":") for item in request.query.getall("node-meta", []))
    return {key: value for key, _, value in pairs}


def _has_tags(tags: tuple[str, ...], wanted: list[str]) -> bool:
    have = {tag.lower() for tag in tags}
    return all(tag.lower() in have for tag in wanted)
