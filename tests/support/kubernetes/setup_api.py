"""An API server as far as the setup Job needs one: Secrets and StatefulSets of one namespace, and a trial claim."""

from __future__ import annotations

import contextlib
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web
from lightkube import KubeConfig

from meshwright import http

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


NAMESPACE = "shop"


@dataclass
class SetupApi:
    """What the server has, what it was asked, and how it is troubled."""

    secrets: dict[str, dict[str, Any]] = field(default_factory=dict)
    stateful_sets: dict[str, dict[str, Any]] = field(default_factory=dict)
    default_class: str = "standard"
    away: int = 0
    """How many requests more it answers with 503."""
    quicker: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Secrets that another run makes just before ours is created."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Method and path of each request that it did answer."""
    claims: int = 0
    """Claims that were really made."""
    _versions: Any = field(default_factory=lambda: itertools.count(1))

    def put(self, name: str, **data: str) -> dict[str, Any]:
        """A Secret with these keys, their values as they are stored: in base64."""
        made = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": dict(data)}
        return self._store(made)

    def _store(self, secret: dict[str, Any]) -> dict[str, Any]:
        secret["metadata"]["resourceVersion"] = str(next(self._versions))
        self.secrets[secret["metadata"]["name"]] = secret
        return secret

    async def handle(self, request: web.Request) -> web.Response:
        if self.away:
            self.away -= 1
            return _status(503, "the test says so")
        self.asked.append((request.method, request.path))
        resource, name = request.match_info["resource"], request.match_info.get("name", "")
        if resource == "persistentvolumeclaims":
            return await self._claim(request)
        if request.method == "POST":
            return await self._create(await request.json())
        found = {"secrets": self.secrets, "statefulsets": self.stateful_sets}[resource].get(name)
        if found is None:
            return _status(404, f"{resource} {name} not found")
        if request.method == "PATCH":
            return self._patch(found, await request.json())
        return web.json_response(found)

    async def _create(self, secret: dict[str, Any]) -> web.Response:
        name = secret["metadata"]["name"]
        if name in self.quicker:
            self._store(self.quicker.pop(name))
        if name in self.secrets:
            return _status(409, f"secrets {name} already exists")
        return web.json_response(self._store(secret), status=201)

    def _patch(self, secret: dict[str, Any], patch: dict[str, Any]) -> web.Response:
        metadata = patch["metadata"]
        if metadata["resourceVersion"] != secret["metadata"]["resourceVersion"]:
            return _status(409, "the object has been modified")
        secret["metadata"].setdefault("annotations", {}).update(metadata.get("annotations") or {})
        secret.setdefault("data", {}).update(patch.get("data") or {})
        return web.json_response(self._store(secret))

    async def _claim(self, request: web.Request) -> web.Response:
        self.claims += request.query.get("dryRun") != "All"
        claim = await request.json()
        if self.default_class:
            claim["spec"]["storageClassName"] = self.default_class
        return web.json_response(claim, status=201)


def _status(code: int, message: str) -> web.Response:
    return web.json_response({"kind": "Status", "code": code, "message": message, "reason": "Test"}, status=code)


@contextlib.asynccontextmanager
async def setup_api() -> AsyncIterator[tuple[SetupApi, KubeConfig]]:
    """A server, and how it is reached."""
    api = SetupApi()
    app = web.Application()
    for base in ("/api/v1", "/apis/apps/v1"):
        for rest in ("", "/{name}"):
            app.router.add_route("*", f"{base}/namespaces/{NAMESPACE}/{{resource}}{rest}", api.handle)
    async with http.serving(app, "127.0.0.1", 0) as address:
        yield (
            api,
            KubeConfig.from_dict(
                {
                    "current-context": "test",
                    "clusters": [{"name": "test", "cluster": {"server": f"http://{address}"}}],
                    "users": [{"name": "test", "user": {"token": "test"}}],
                    "contexts": [
                        {"name": "test", "context": {"cluster": "test", "user": "test", "namespace": NAMESPACE}}
                    ],
                }
            ),
        )
