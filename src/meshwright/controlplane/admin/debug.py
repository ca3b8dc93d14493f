"""What the control plane knows, sends and complains about, over HTTP: for people, probes and Prometheus."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from meshwright.controlplane.admin import about
from meshwright.controlplane.admin.readable import readable, resource_matches
from meshwright.controlplane.metrics import SHORT_NAMES
from meshwright.controlplane.model.localities import Place
from meshwright.controlplane.model.snapshot import NodeKind, NodeProfile, ResourceType
from meshwright.controlplane.xds.nodes import GREATEST_SKEW_MS, MAX_SKEW_MS, SKEW
from meshwright.errors import ValidationError, Violation
from meshwright.model import folded

if TYPE_CHECKING:
    from meshwright.controlplane.consul_source.source import Source
    from meshwright.controlplane.metrics import Metrics
    from meshwright.controlplane.model.snapshot import Snapshot
    from meshwright.controlplane.xds.server import Ads
    from meshwright.controlplane.xds.stream import Stream, Subscription

_INDEX = """Meshwright control plane

/debug/snapshot?service=NAME&type=listener|route|cluster|endpoints&node=grpc|envoy&skew=MS&caller=NAME&region=R&zone=Z
                  what is published
/debug/streams    who is connected, subscribed to what, and has accepted or refused which version
/debug/problems   what could not be honoured, what is kept because Consul lost it, and whose timeouts are not exact
/debug/service?name=NAME   the chain and the policy that are in force for a service, and what is wrong with it
/metrics          for Prometheus
/healthz          200 while the process works
/readyz           200 once the state of the mesh is known
"""
_LATE = (
    f"names no {SKEW}: as its gRPC fires timeouts 1 to 2 s early, they are sent {GREATEST_SKEW_MS / 1000:g} s longer, "
    "and end its calls up to a second late"
)
_TYPES = {name: kind for kind, name in SHORT_NAMES.items()}


def application(source: Source, ads: Ads, metrics: Metrics, consul: str) -> web.Application:
    """The pages. `consul` is its address, for messages."""
    pages = _Pages(source, ads, metrics, consul)
    app = web.Application()
    app.add_routes(
        [
            web.get("/", pages.index),
            web.get("/debug", pages.status),
            web.get("/debug/snapshot", pages.snapshot),
            web.get("/debug/streams", pages.streams),
            web.get("/debug/problems", pages.problems),
            web.get("/debug/service", pages.service),
            web.get("/metrics", pages.metrics),
            web.get("/healthz", pages.healthz),
            web.get("/readyz", pages.readyz),
        ]
    )
    return app


class _Pages:
    def __init__(self, source: Source, ads: Ads, metrics: Metrics, consul: str) -> None:
        self._source = source
        self._ads = ads
        self._metrics = metrics
        self._consul = consul

    async def index(self, _request: web.Request) -> web.Response:
        return web.Response(text=_INDEX)

    async def status(self, _request: web.Request) -> web.Response:
        snapshot = self._ads.cache.snapshot
        return _json(
            {
                "ready": snapshot is not None,
                "version": snapshot.version if snapshot else None,
                "streams": len(self._ads.cache.streams),
                "problems": len(self._all_problems()),
                "consul": self._consul_status(),
            }
        )

    async def snapshot(self, request: web.Request) -> web.Response:
        snapshot = self._ads.cache.snapshot
        if snapshot is None:
            return _json({"error": "the state of the mesh is not known yet", "consul": self._consul_status()}, 503)
        try:
            types, node_profile = _wanted(request)
        except ValidationError as error:
            return _json({"error": str(error)}, 400)
        service = request.query.get("service", "")
        view = snapshot.view(node_profile)
        resources = {
            SHORT_NAMES[kind]: {
                name: {"version": resource.version, "content": readable(resource)}
                for name, resource in sorted(view[kind].items())
                if resource_matches(resource, service)
            }
            for kind in types
        }
        return _json({"version": snapshot.version, "node": node_profile.kind.value, "resources": resources})

    async def streams(self, _request: web.Request) -> web.Response:
        now = time.time()
        return _json({"streams": [_stream(stream, now) for stream in self._ads.cache.streams]})

    async def problems(self, _request: web.Request) -> web.Response:
        problems = [{"where": problem.path, "what": problem.message} for problem in self._all_problems()]
        nacks = self._nacks()
        held = {"services": sorted(self._source.guard.held), "reason": self._source.guard.reason}
        document = {"problems": problems, "refused": nacks, "held": held, "clients": self._clients()}
        return _json(document | {"consul": self._consul_status()})

    async def service(self, request: web.Request) -> web.Response:
        name = request.query.get("name", "")
        if not name:
            return _json({"error": "say which service: /debug/service?name=NAME"}, 400)
        document = about.in_force(name, self._source.published, self._all_problems())
        document["refused"] = [nack for nack in self._nacks() if about.is_about(str(nack["message"]), name)]
        guard = self._source.guard
        document["held"] = guard.reason if folded(name) in guard.held else ""
        return _json(document)

    async def metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def healthz(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(self, _request: web.Request) -> web.Response:
        if self._ads.cache.snapshot is not None:
            return web.Response(text="ready\n")
        errors = sorted(set(self._source.errors.values())) or [str(problem) for problem in self._source.problems.all]
        return web.Response(
            text=f"not ready: {'; '.join(errors) or 'waiting for the first answers of Consul'}\n", status=503
        )

    def _nacks(self) -> list[dict[str, str]]:
        """What clients have refused, and still refuse."""
        return [
            {"node": stream.node.id, "type": SHORT_NAMES[kind], "message": state.nack.message}
            for stream in self._ads.cache.streams
            for kind, state in stream.types.items()
            if state.nack is not None
        ]

    def _clients(self) -> list[dict[str, Any]]:
        """The clients of which something is assumed, where it makes a difference: those of routes with timeouts."""
        snapshot = self._ads.cache.snapshot
        found = []
        for stream in self._ads.cache.streams:
            node, routes = stream.node, stream.types.get(ResourceType.ROUTE)
            if snapshot is None or routes is None or not node.skew_assumed:
                continue
            timed = sorted(snapshot.view(node.node_profile)[ResourceType.ROUTE].corrected & routes.names)
            if timed:
                found.append({"node": node.id, "agent": node.agent, "services": timed, "what": _LATE})
        return found

    def _all_problems(self) -> tuple[Violation, ...]:
        snapshot: Snapshot | None = self._ads.cache.snapshot
        return (*self._source.problems.all, *(snapshot.problems if snapshot else ()))

    def _consul_status(self) -> dict[str, Any]:
        return {
            "address": self._consul,
            "connected": self._source.connected,
            "synced": self._source.synced,
            "errors": dict(sorted(self._source.errors.items())),
        }


def _wanted(request: web.Request) -> tuple[tuple[ResourceType, ...], NodeProfile]:
    problems: list[Violation] = []
    name, node, skew = (request.query.get(key, "") for key in ("type", "node", "skew"))
    if name and name not in _TYPES:
        problems.append(Violation("type", f"expected one of {', '.join(_TYPES)}, not {name!r}"))
    kinds = {kind.value: kind for kind in NodeKind}
    if node and node not in kinds:
        problems.append(Violation("node", f"expected one of {', '.join(kinds)}, not {node!r}"))
    if skew and not (re.fullmatch("[0-9]{1,9}", skew) and int(skew) <= MAX_SKEW_MS):
        problems.append(Violation("skew", f"expected milliseconds from 0 to {MAX_SKEW_MS}, not {skew[:100]!r}"))
    if problems:
        raise ValidationError("the query", problems)
    types = (_TYPES[name],) if name else tuple(ResourceType)
    kind = kinds.get(node, NodeKind.GRPC)
    caller, region, zone = (request.query.get(key, "") for key in ("caller", "region", "zone"))
    skew_ms = int(skew or 0) if kind is NodeKind.GRPC else 0
    return types, NodeProfile(kind, timeout_skew_ms=skew_ms, caller=caller, place=Place(region, zone))


def _stream(stream: Stream, now: float) -> dict[str, Any]:
    node = stream.node
    return {
        "node": {"id": node.id, "cluster": node.cluster, "agent": node.agent, "kind": node.node_profile.kind.value},
        "locality": {"region": node.node_profile.place.region, "zone": node.node_profile.place.zone},
        "timeout_skew_ms": node.node_profile.timeout_skew_ms,
        "timeout_skew_assumed": node.skew_assumed,
        "since": _time(stream.opened),
        "seconds": round(now - stream.opened, 1),
        "types": {SHORT_NAMES[kind]: _subscription(state) for kind, state in stream.types.items()},
    }


def _subscription(state: Subscription) -> dict[str, Any]:
    nack = state.nack
    return {
        "names": ["*"] if state.wildcard else sorted(state.names),
        "sent": state.sent,
        "acked": state.acked,
        "nonce": state.nonce,
        "nack": nack and {"version": nack.version, "message": nack.message, "at": _time(nack.at)},
    }


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _json(document: object, status: int = 200) -> web.Response:
    return web.json_response(document, status=status, dumps=_dumps)


def _dumps(document: object) -> str:
    return json.dumps(document, indent=2) + "\n"
