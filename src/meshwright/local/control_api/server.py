"""The control API of a running `up`: HTTP over a unix socket that only its owner can open.

    GET  /v1/processes                              the status of every instance
    GET  /v1/logs?of=<name>&lines=<n>&follow=1      JSON lines {"instance", "line"}, oldest first
    POST /v1/kill   {"instance", "signal"}
    POST /v1/scale  {"service", "replicas", "version"}   returns when the new instances are ready
    GET  /v1/rollouts                               every rollout, as a resource with its status
    POST /v1/rollouts  <a VersionedRollout>         creates or changes it: {"rollout", "notices"}
    PATCH, DELETE /v1/rollouts/<name>               a merge patch (RFC 7396); the traffic rules go with it

An error is `{"error": "<message>"}` with a status of 400 or 500.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import asdict
from signal import Signals
from typing import TYPE_CHECKING, Any

import psutil
from aiohttp import web

from meshwright.config import ConsulConfig, load_config
from meshwright.consul import Consul
from meshwright.errors import MeshwrightError, ValidationError, Violation
from meshwright.name_suggestions import NoSuchNameError, no_such

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from meshwright.local.rollouts.rollout_manager import RolloutManager
    from meshwright.local.supervisor.supervisor import Supervisor

_CONSUL_TIMEOUT = 1.0
_QUEUE = 10_000
"""The number of lines queued for a slow reader; further ones are dropped."""


@contextlib.asynccontextmanager
async def serving(supervisor: Supervisor, path: Path, manager: RolloutManager) -> AsyncIterator[None]:
    """Serves the control API on that socket, within the context."""
    api = _Api(supervisor, manager)
    app = web.Application(middlewares=[_say_errors])
    app.router.add_get("/v1/processes", api.processes)
    app.router.add_get("/v1/logs", api.logs)
    app.router.add_post("/v1/kill", api.kill)
    app.router.add_post("/v1/scale", api.scale)
    app.router.add_routes(_RolloutApi(manager).routes())
    path.unlink(missing_ok=True)  # noqa: ASYNC240 - a local path, as below
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    try:
        await web.UnixSite(runner, str(path)).start()
        path.chmod(0o600)  # noqa: ASYNC240
        yield
    finally:
        await runner.cleanup()
        path.unlink(missing_ok=True)  # noqa: ASYNC240


@web.middleware
async def _say_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except (ValidationError, KeyError, ValueError) as error:
        return web.json_response({"error": str(error)}, status=400)
    except MeshwrightError as error:
        return web.json_response({"error": str(error)}, status=500)


class _Api:
    def __init__(self, supervisor: Supervisor, manager: RolloutManager) -> None:
        self._supervisor = supervisor
        self._manager = manager

    async def processes(self, _: web.Request) -> web.Response:
        health = await self._health()
        rows = []
        for status in self._supervisor.statuses():
            row = asdict(status)
            row["health"] = health.get(status.instance, "")
            row["rss"] = _rss(status.pid)
            rows.append(row)
        return web.json_response(rows)

    async def logs(self, request: web.Request) -> web.StreamResponse:
        wanted = self._instances(request.query.get("of", ""))
        count = int(request.query.get("lines", "100"))
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        lines: asyncio.Queue[tuple[str, str]] = asyncio.Queue(_QUEUE)

        def on_line(instance: str, line: str) -> None:
            if wanted is None or instance in wanted or self._is_of(instance, request.query.get("of", "")):
                with contextlib.suppress(asyncio.QueueFull):
                    lines.put_nowait((instance, line))

        with self._supervisor.listening(on_line):
            await response.prepare(request)
            for entry in self._supervisor.history(wanted, count):
                await response.write(_entry(*entry))
            while request.query.get("follow") == "1":
                await response.write(_entry(*await lines.get()))
        return response

    async def kill(self, request: web.Request) -> web.Response:
        body = await request.json()
        self._supervisor.kill(str(body["instance"]), Signals[str(body.get("signal", "SIGKILL"))])
        return web.json_response({})

    async def scale(self, request: web.Request) -> web.Response:
        body = await request.json()
        service, version = str(body["service"]), body.get("version")
        if version is None and (rollout := self._manager.rollout_of(service)):
            what = (
                f"the rollout {rollout} says how many instances it has: change `spec.replicas` there and apply it, or "
                "name a --version"
            )
            raise ValidationError("the scaling", [Violation(service, what)])
        change = await self._supervisor.scale(service, int(body["replicas"]), version)
        return web.json_response(
            {
                "added": [spec.instance for spec in change.added],
                "removed": [spec.instance for spec in change.removed],
            }
        )

    def _instances(self, name: str) -> set[str] | None:
        """The instances with that instance, process or service name; None for all."""
        if not name:
            return None
        found = {status.instance for status in self._supervisor.statuses() if name in _names(status)}
        if not found:
            known = {one for status in self._supervisor.statuses() for one in _names(status)}
            raise NoSuchNameError(no_such("service or instance", name, known))
        return found

    def _is_of(self, instance_name: str, name: str) -> bool:
        """Whether a later instance matches the name."""
        instance = self._supervisor.instances.get(instance_name)
        return instance is not None and name in _names(instance.status())

    async def _health(self) -> dict[str, str]:
        """Consul's health of each instance; empty if it does not answer."""
        plan = self._supervisor.plan
        if not plan.registry.address:
            return {}
        with contextlib.suppress(MeshwrightError, TimeoutError):
            async with Consul(load_config(ConsulConfig, plan.environment)) as consul:
                states = await asyncio.wait_for(consul.check_states(), _CONSUL_TIMEOUT)
            worst: dict[str, str] = {}
            for state in states.value:
                if worst.get(state.instance, "passing") == "passing":
                    worst[state.instance] = state.health.value
            return worst
        return {}


class _RolloutApi:
    def __init__(self, manager: RolloutManager) -> None:
        self._manager = manager

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/rollouts", self.list),
            web.post("/v1/rollouts", self.apply),
            web.patch("/v1/rollouts/{name}", self.patch),
            web.delete("/v1/rollouts/{name}", self.delete),
        ]

    async def list(self, _: web.Request) -> web.Response:
        return web.json_response((await self._manager.open()).documents())

    async def apply(self, request: web.Request) -> web.Response:
        rollout, notices = (await self._manager.open()).apply(await request.json())
        return web.json_response({"rollout": rollout, "notices": notices})

    async def patch(self, request: web.Request) -> web.Response:
        rollouts = await self._manager.open()
        return web.json_response(rollouts.patch(request.match_info["name"], await request.json()))

    async def delete(self, request: web.Request) -> web.Response:
        await (await self._manager.open()).delete(request.match_info["name"])
        return web.json_response({})


def _names(status: Any) -> tuple[str, str, str]:
    return (status.instance, status.process, status.service)


def _rss(pid: int | None) -> int | None:
    """The resident memory of a process and its descendants, in bytes."""
    if pid is None:
        return None
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        return int(sum(one.memory_info().rss for one in (process, *process.children(recursive=True))))
    return None


def _entry(instance: str, line: str) -> bytes:
    return json.dumps({"instance": instance, "line": line}).encode() + b"\n"
