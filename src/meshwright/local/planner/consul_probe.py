"""Probes for a Consul: the configured one, or one at the registry's port.

A configured Consul has to answer, or nothing starts. One that is found is used only if it is a real Consul: the dev
registry of another `up` has the same API and would end with that `up`, so its port counts as in use.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

from meshwright.config import ConsulConfig, load_config
from meshwright.errors import MeshwrightError, ValidationError, Violation
from meshwright.local.planner.component_source import ComponentSource
from meshwright.local.planner.plan import HOST

if TYPE_CHECKING:
    from meshwright.consul import Consul

DEV_MARK = "meshwright"
"""The dev registry's mark, in the field of Consul's release type."""
_TIMEOUT = 1.0
_MOST = 1024 * 1024
_FORBIDDEN = 403


async def find(port: int) -> ComponentSource:
    """The Consul running at that port, else the dev registry."""
    with contextlib.suppress(OSError, ValueError, TimeoutError, asyncio.IncompleteReadError):
        document = await asyncio.wait_for(_agent_self(port), _TIMEOUT)
        version = str(document["Config"]["Version"])
        if DEV_MARK not in json.dumps(document.get("Stats", {}).get("build", {})):
            return ComponentSource(dev=False, address=f"{HOST}:{port}", why=f"found running, version {version}")
    return ComponentSource(dev=True, why="no Consul is running here")


async def _agent_self(port: int) -> dict[str, Any]:
    """`/v1/agent/self` without a client library: this runs at every start, and an import would be slow."""
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(f"GET /v1/agent/self HTTP/1.0\r\nHost: {HOST}:{port}\r\n\r\n".encode())
        answer = await reader.read(_MOST)
        while chunk := await reader.read(_MOST):
            answer += chunk
        head, _, body = answer.partition(b"\r\n\r\n")
        status = head.split(b"\r\n", 1)[0]
        if b" 403 " in status and b"denied" in body:
            return {"Config": {"Version": "not shown to this token"}}
        if b" 200 " not in status:
            raise ValueError("not an agent")
        document: dict[str, Any] = json.loads(body)
        if not isinstance(document.get("Config"), dict) or "Version" not in document["Config"]:
            raise ValueError("not an agent")
        return document
    finally:
        writer.close()


async def _ask(consul: Consul) -> None:
    from meshwright.consul import NEEDS_CONNECT, ConsulError  # noqa: PLC0415

    await consul.leader()
    try:
        await consul.discovery_chain("consul")
    except ConsulError as error:
        if error.without_connect:
            raise MeshwrightError(f"Consul at {consul.address}: {NEEDS_CONNECT}") from None
        if error.status != _FORBIDDEN:  # the control plane reports the rights of its token
            raise


async def check(source: ComponentSource, environment: dict[str, str]) -> None:
    """Raises `ValidationError` if the configured or found Consul is not usable."""
    from meshwright.consul import Consul  # noqa: PLC0415 - only with an external Consul

    config = load_config(ConsulConfig, {**environment, "CONSUL_HTTP_ADDR": source.address})
    try:
        async with Consul(config) as consul:
            await asyncio.wait_for(_ask(consul), 2 * _TIMEOUT)
    except TimeoutError:
        raise ValidationError("the registry", [Violation(source.why, f"{source.address} does not answer")]) from None
    except ValidationError:
        raise
    except MeshwrightError as error:
        raise ValidationError("the registry", [Violation(source.why, str(error))]) from error
