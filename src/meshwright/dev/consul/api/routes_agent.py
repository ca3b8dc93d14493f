"""`/v1/agent`: what services and operators say to their own agent."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from typing import TYPE_CHECKING, Any

from aiohttp import web

from meshwright.dev import booleans
from meshwright.dev.consul.api import requests
from meshwright.dev.consul.api.agent_info import agent_self, members
from meshwright.dev.consul.catalog.agent import aggregate, health_json
from meshwright.dev.consul.catalog.catalog import SERVICES
from meshwright.dev.consul.catalog.models import CRITICAL, PASSING, WARNING
from meshwright.dev.consul.filters import AGENT_CHECK, AGENT_SERVICE, compile_filter
from meshwright.dev.consul.http_errors import HttpError, bad_request
from meshwright.dev.consul.query import as_json, blocking_wait

if TYPE_CHECKING:
    from meshwright.dev.consul.api.routing import Route
    from meshwright.dev.consul.state import State

_HTTP_STATUS = {PASSING: 200, WARNING: 429}


class AgentRoutes:
    """Handlers over the agent."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._agent = state.agent

    def routes(self) -> list[Route]:
        """Method, path, handler."""
        return [
            ("GET", "/v1/agent/self", self.self_),
            ("GET", "/v1/agent/members", self.members),
            ("GET", "/v1/agent/services", self.services),
            ("GET", "/v1/agent/service/{id:.*}", self.service),
            ("PUT", "/v1/agent/service/register", self.register),
            ("PUT", "/v1/agent/service/deregister/{id:.*}", self.deregister),
            ("PUT", "/v1/agent/service/maintenance/{id:.*}", self.maintain_service),
            ("PUT", "/v1/agent/maintenance", self.maintain_node),
            ("GET", "/v1/agent/checks", self.checks),
            ("PUT", "/v1/agent/check/register", self.register_check),
            ("PUT", "/v1/agent/check/deregister/{id:.*}", self.deregister_check),
            ("PUT", "/v1/agent/check/pass/{id:.*}", self.pass_),
            ("PUT", "/v1/agent/check/warn/{id:.*}", self.warn),
            ("PUT", "/v1/agent/check/fail/{id:.*}", self.fail),
            ("PUT", "/v1/agent/check/update/{id:.*}", self.update),
            ("GET", "/v1/agent/health/service/id/{id:.*}", self.health_by_id),
            ("GET", "/v1/agent/health/service/name/{name:.*}", self.health_by_name),
        ]

    async def self_(self, request: web.Request) -> web.Response:
        """Who this agent is."""
        return as_json(request, agent_self(self._state))

    async def members(self, request: web.Request) -> web.Response:
        """The one member of this cluster."""
        return as_json(request, members(self._state))

    async def services(self, request: web.Request) -> web.Response:
        """The services registered here, by id."""
        matches = compile_filter(request.query.get("filter", ""), AGENT_SERVICE)
        rows = {key: self._agent.services[key].agent_json() for key in sorted(self._agent.services)}
        return as_json(request, {key: row for key, row in rows.items() if matches(row)})

    async def service(self, request: web.Request) -> web.Response:
        """One service; with `hash`, answered when its content is not that any more."""
        service_id = request.match_info["id"]
        known = request.query.get("hash", "")
        deadline = asyncio.get_running_loop().time() + blocking_wait(request)
        found = self._content(service_id)
        while known and found["ContentHash"] == known:
            if not await self._state.waiting.moved((SERVICES,), deadline):
                break
            found = self._content(service_id)
        return as_json(request, found, {"X-Consul-ContentHash": found["ContentHash"]})

    def _content(self, service_id: str) -> dict[str, Any]:
        service = self._agent.services.get(service_id)
        if service is None:
            raise HttpError(404, f"unknown service ID: {service_id}")
        content = service.agent_json()
        digest = hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=8).hexdigest()
        return {**content, "ContentHash": digest}

    async def register(self, request: web.Request) -> web.Response:
        """Add or replace a service with its checks."""
        service, checks = requests.service(
            await request.read(), self._state.node, min_deregister=self._state.min_deregister
        )
        replace_checks = booleans.lenient(request.query.get("replace-existing-checks", ""))
        self._agent.register(service, checks, time.monotonic(), replace_checks=replace_checks)
        return web.Response()

    async def deregister(self, request: web.Request) -> web.Response:
        """Remove a service."""
        self._agent.deregister(_id(request, "ServiceID missing", status=500))
        return web.Response()

    async def maintain_service(self, request: web.Request) -> web.Response:
        """Begin or end a service's maintenance."""
        service_id = _id(request, "Missing service ID")
        enable, reason = _maintenance(request)
        self._agent.maintain_service(service_id, enable=enable, reason=reason, now=time.monotonic())
        return web.Response()

    async def maintain_node(self, request: web.Request) -> web.Response:
        """Begin or end the node's maintenance."""
        enable, reason = _maintenance(request)
        self._agent.maintain_node(enable=enable, reason=reason, now=time.monotonic())
        return web.Response()

    async def checks(self, request: web.Request) -> web.Response:
        """The checks registered here, by id."""
        matches = compile_filter(request.query.get("filter", ""), AGENT_CHECK)
        rows = {key: self._agent.checks[key].row.json() for key in sorted(self._agent.checks)}
        return as_json(request, {key: row for key, row in rows.items() if matches(row)})

    async def register_check(self, request: web.Request) -> web.Response:
        """Add or replace a check."""
        body = await request.read()
        row, spec = requests.check(body, self._state.node, min_deregister=self._state.min_deregister)
        self._agent.register_check(row, spec, time.monotonic())
        return web.Response()

    async def deregister_check(self, request: web.Request) -> web.Response:
        """Remove a check."""
        self._agent.deregister_check(_id(request, "CheckID missing", status=500))
        return web.Response()

    async def pass_(self, request: web.Request) -> web.Response:
        """A TTL check says that all is well."""
        return self._beat(request, PASSING)

    async def warn(self, request: web.Request) -> web.Response:
        """A TTL check says that something is odd."""
        return self._beat(request, WARNING)

    async def fail(self, request: web.Request) -> web.Response:
        """A TTL check says that it is broken."""
        return self._beat(request, CRITICAL)

    def _beat(self, request: web.Request, status: str) -> web.Response:
        check_id = request.match_info["id"]
        self._agent.beat(check_id, status, request.query.get("note", ""), time.monotonic())
        return web.Response()

    async def update(self, request: web.Request) -> web.Response:
        """A TTL check says status and output in its body."""
        status, output = requests.update(await request.read())
        self._agent.beat(request.match_info["id"], status, output, time.monotonic())
        return web.Response()

    async def health_by_id(self, request: web.Request) -> web.Response:
        """The aggregated state of one service, also as an HTTP status."""
        service = self._agent.services.get(_id(request, "Bad request: Missing serviceID", status=500))
        if service is None:
            text = json.dumps(f"ServiceId {request.match_info['id']} not found") + "\n"
            value = {"AggregatedStatus": CRITICAL, "Service": None, "Checks": None}
            return self._health(request, 404, text, value)
        status, value = health_json(service, self._agent.checks_for(service.id))
        return self._health(request, _HTTP_STATUS.get(status, 503), status, value)

    async def health_by_name(self, request: web.Request) -> web.Response:
        """The aggregated state of all services of a name: the worst counts."""
        name = request.match_info["name"]
        if not name:
            raise HttpError(500, "Bad request: Missing service Name")
        found = [service for _, service in sorted(self._agent.services.items()) if service.name == name]
        if not found:
            return self._health(request, 404, f"ServiceName {name} Not Found", [])
        values = [health_json(service, self._agent.checks_for(service.id))[1] for service in found]
        status = aggregate([check for service in found for check in self._agent.checks_for(service.id)])
        return self._health(request, _HTTP_STATUS.get(status, 503), status, values)

    def _health(self, request: web.Request, code: int, text: str, value: Any) -> web.Response:
        if request.query.get("format") == "text" or request.headers.get("Accept") == "text/plain":
            return web.Response(status=code, text=text)
        return as_json(request, value, status=code)


def _id(request: web.Request, missing: str, status: int = 400) -> str:
    found = request.match_info["id"]
    if not found:
        raise HttpError(status, missing)
    return found


def _maintenance(request: web.Request) -> tuple[bool, str]:
    if "enable" not in request.query:
        raise bad_request("Missing value for enable")
    text = request.query["enable"]
    try:
        return booleans.parse(text), request.query.get("reason", "")
    except ValueError:
        raise bad_request(f'Invalid value for enable: "{text}"') from None
