"""Probes for a Consul: the configured one, or one at the registry's port.

A configured Consul has to answer, or nothing starts. One that is found is used only if it is a real Consul: the dev
registry of another `up` has the same API and would end with that `up`, so its port counts as in use.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from meshwright.config import ConsulConfig, load_config
from meshwright.errors import MeshwrightError, ValidationError, Violation
from meshwright.local import http_client
from meshwright.local.planner.component_source import ComponentSource
from meshwright.local.topology.spec import HOST

if TYPE_CHECKING:
    from meshwright.consul import Consul

DEV_MARK = "meshwright"
"""The dev Consul's mark, in the field of Consul's release type."""
_TIMEOUT = 1.0


async def find(port: int) -> ComponentSource:
    """The Consul running at that port, else the dev Consul."""
    with contextlib.suppress(OSError, ValueError, http_client.HTTPException):
        document = await _agent_self(port)
        version = str(document["Config"]["Version"])
        if DEV_MARK not in json.dumps(document.get("Stats", {}).get("build", {})):
            return ComponentSource(dev=False, address=f"{HOST}:{port}", why=f"found running, version {version}")
    return ComponentSource(dev=True, why="no Consul is running here")


async def _agent_self(port: int) -> dict[str, Any]:
    """`/v1/agent/self` without the client of Consul: this runs at every start, and that import is slow."""
    answer = await http_client.get_async(f"http://{HOST}:{port}/v1/agent/self", _TIMEOUT)
    if answer.status == HTTPStatus.FORBIDDEN and b"denied" in answer.body:
        return {"Config": {"Version": "not shown to this token"}}
    if answer.status != HTTPStatus.OK:
        raise ValueError("not an agent")
    document = json.loads(answer.body)
    config = document.get("Config") if isinstance(document, dict) else None
    if not isinstance(config, dict) or "Version" not in config:
        raise ValueError("not an agent")
    return dict(document)


async def _ask(consul: Consul) -> None:
    from meshwright.consul import NEEDS_CONNECT, ConsulError  # noqa: PLC0415

    await consul.leader()
    try:
        await consul.discovery_chain("consul")
    except ConsulError as error:
        if error.without_connect:
            raise MeshwrightError(f"Consul at {consul.address}: {NEEDS_CONNECT}") from None
        if error.status != HTTPStatus.FORBIDDEN:  # the control plane reports the rights of its token
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
