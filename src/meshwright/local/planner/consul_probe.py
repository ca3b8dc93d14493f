"""Looking for a Consul: the one that somebody told us of, or one that runs where the registry would.

A Consul that is told has to answer, or nothing starts. One that is merely found is used only if it is a Consul: the
dev registry of somebody else's `up` speaks the same API and would vanish with it, so its port counts as taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

from meshwright.config import ConsulConfig, load
from meshwright.errors import BadInputError, MeshwrightError, Problem
from meshwright.local.planner.component_source import ComponentSource
from meshwright.local.planner.plan import HOST

if TYPE_CHECKING:
    from meshwright.consul import Consul

DEV_MARK = "meshwright"
"""What the dev registry says of itself where Consul names its kind of release."""
_PATIENCE = 1.0
_MOST = 1024 * 1024
_FORBIDDEN = 403


async def find(port: int) -> ComponentSource:
    """The Consul that runs at that port, or the dev registry that will."""
    with contextlib.suppress(OSError, ValueError, TimeoutError, asyncio.IncompleteReadError):
        document = await asyncio.wait_for(_agent_self(port), _PATIENCE)
        version = str(document["Config"]["Version"])
        if DEV_MARK not in json.dumps(document.get("Stats", {}).get("build", {})):
            return ComponentSource(dev=False, address=f"{HOST}:{port}", why=f"found running, version {version}")
    return ComponentSource(dev=True, why="no Consul is running here")


async def _agent_self(port: int) -> dict[str, Any]:
    """`/v1/agent/self`, by hand: this is asked on every start, mostly of nobody, and must not cost an import."""
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
        if error.status != _FORBIDDEN:  # which service a token may read is for the control plane to say
            raise


async def check(source: ComponentSource, environment: dict[str, str]) -> None:
    """Raise `BadInputError` if the Consul that we were told of, or found, cannot be used."""
    from meshwright.consul import Consul  # noqa: PLC0415 - only where there is a real one

    config = load(ConsulConfig, {**environment, "CONSUL_HTTP_ADDR": source.address})
    try:
        async with Consul(config) as consul:
            await asyncio.wait_for(_ask(consul), 2 * _PATIENCE)
    except TimeoutError:
        raise BadInputError("the registry", [Problem(source.why, f"{source.address} does not answer")]) from None
    except BadInputError:
        raise
    except MeshwrightError as error:
        raise BadInputError("the registry", [Problem(source.why, str(error))]) from error
