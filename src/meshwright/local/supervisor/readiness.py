"""Readiness probes: a process is ready once it serves its dependents, not once it runs.

Each kind is one probe, repeated every few milliseconds; its last failure is kept as the reason for a timeout.
Registration uses Consul's blocking queries instead, which return on each change.
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import TYPE_CHECKING

from meshwright.config import ConsulConfig, load_config
from meshwright.errors import MeshwrightError
from meshwright.local import http_client
from meshwright.model import Health, InstanceId

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from meshwright.consul import Consul
    from meshwright.local.topology.spec import ProcessSpec
    from meshwright.model import Instance

PROBE_INTERVAL = 0.02
"""Seconds between two probes."""
PROBE_TIMEOUT = 2.0
"""The timeout of one probe, in seconds."""
_QUERY_WAIT = 2.0
"""Seconds of one blocking query, after which registrations under other names are searched too."""
_MOST_OF_BODY = 4096
_LONGEST_REASON = 300


class Readiness:
    """Whether one instance is ready, in the sense of `kind` (see meshwright.local.topology.spec)."""

    def __init__(self, kind: str, spec: ProcessSpec) -> None:
        self._kind = kind
        self._spec = spec
        self.reason = "it was not probed yet"
        """The failure of the last probe."""
        self.registered_as = ""
        """The service name of the instance's registration, if another than its own."""
        self.warning = ""
        """A warning about a ready instance."""

    async def wait(self) -> None:
        """Returns when the instance is ready."""
        if self._kind == "started":
            return
        if self._kind == "consul":
            await self._until_registered()
            return
        where, ask = _question(self._kind, self._spec)
        while (reason := await _answer(where, ask)) is not None:
            self.reason = reason
            await asyncio.sleep(PROBE_INTERVAL)

    async def _until_registered(self) -> None:
        """Waits until the instance is passing in Consul, with the port of this process."""
        from meshwright.consul import Blocking, Consul  # noqa: PLC0415 - processes start while this is imported

        index = 0
        async with Consul(load_config(ConsulConfig, self._spec.environment)) as consul:
            while True:
                try:
                    found = await consul.instances(self._spec.service, blocking=Blocking(index, wait=_QUERY_WAIT))
                    reason = _why_not_registered(found.value, self._spec)
                    if reason is not None and index:  # not in the first query: it may still be starting
                        self.registered_as = await _registered_as(consul, self._spec)
                except MeshwrightError as error:
                    self.reason = str(error)
                    index = 0
                    await asyncio.sleep(PROBE_INTERVAL)
                    continue
                if reason is None:
                    self.warning = _version_warning(found.value, self._spec)
                    return
                if self.registered_as:
                    own = self._spec.service
                    reason = (
                        f"it has registered as service {self.registered_as}, not {own}, which MESHWRIGHT_SERVICE says"
                    )
                self.reason = f"{reason} (Consul at {consul.address})"
                index = found.index if found.index >= index else 0


async def why_not_http(url: str) -> str | None:
    """None where a GET of `url` returns a status below 400; else the failure."""
    try:
        answer = await http_client.get_async(url, PROBE_TIMEOUT, _MOST_OF_BODY)
    except http_client.HTTPException:
        return f"{url} does not answer in HTTP"
    if answer.status < HTTPStatus.BAD_REQUEST:
        return None
    return f"{url} answers {answer.status}: {_said(answer.body)}"


def _said(body: bytes) -> str:
    """The message of a response's body: the detail of a problem document, else its first line."""
    text = body.decode(errors="replace").strip()
    try:
        found = json.loads(text[text.index("{") : text.rindex("}") + 1])
        text = str(found.get("detail") or found.get("error") or found.get("title") or text)
    except ValueError:
        pass
    first = text.partition("\n")[0].strip()
    return first[:_LONGEST_REASON] or "(an empty answer)"


def _question(kind: str, spec: ProcessSpec) -> tuple[str, Callable[[], Awaitable[str | None]]]:
    """The target of the probe, and the probe."""
    if kind == "tcp":
        return spec.address, lambda: _why_not_tcp(spec)
    if kind == "grpc":
        return spec.address, lambda: _why_not_grpc(spec)
    own = f"http://{spec.address}{kind.removeprefix('http:')}"
    url = kind if kind.startswith(("http://", "https://")) else own
    return url, lambda: why_not_http(url)


async def _answer(where: str, ask: Callable[[], Awaitable[str | None]]) -> str | None:
    try:
        return await asyncio.wait_for(ask(), PROBE_TIMEOUT)
    except ConnectionRefusedError:
        return f"nothing listens at {where}"
    except TimeoutError:
        return f"{where} does not answer within {PROBE_TIMEOUT:g} s"
    except (OSError, ValueError, asyncio.IncompleteReadError) as error:
        return f"{where}: {error or type(error).__name__}"


async def _why_not_tcp(spec: ProcessSpec) -> None:
    _, writer = await asyncio.open_connection(spec.host, spec.port)
    writer.close()


async def _why_not_grpc(spec: ProcessSpec) -> str | None:
    import grpc  # noqa: PLC0415 - most topologies do not need it here, and it takes a while
    from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: PLC0415

    await _why_not_tcp(spec)
    async with grpc.aio.insecure_channel(spec.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=PROBE_TIMEOUT)
        except grpc.aio.AioRpcError as error:
            return f"its health check ends with {error.code().name}: {error.details()}"
        status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
        return None if status == "SERVING" else f"its health check says {status}"


def _why_not_registered(found: Sequence[Instance], spec: ProcessSpec) -> str | None:
    """None where the instance is passing, with the port of this process: an earlier one may have had the name."""
    service, wanted = spec.service, spec.instance
    instance = next((one for one in found if one.id == wanted), None)
    if instance is None:
        others = f"; there are {', '.join(sorted(one.id for one in found))}" if found else ""
        return f"it has not registered as instance {wanted} of service {service}{others}"
    if instance.address.port != spec.port and not spec.environment.get("MESHWRIGHT_ADVERTISE"):
        return f"its registration names port {instance.address.port}, not {spec.port}, which MESHWRIGHT_PORT says"
    if instance.health is not Health.PASSING:
        return f"it is registered, and its check says {instance.health.value}"
    return None


async def _registered_as(consul: Consul, spec: ProcessSpec) -> str:
    """The other service under which this process is registered, by its instance and port; empty without one."""
    try:
        found = await consul.agent_service(InstanceId(spec.instance))
    except MeshwrightError:  # the token may be limited to the own service
        return ""
    if found is None or found.service == spec.service or found.address.port != spec.port:
        return ""
    return found.service


def _version_warning(found: Sequence[Instance], spec: ProcessSpec) -> str:
    """The warning about a registered version other than the started one: routes and rollouts use the registered one."""
    registered = next(one.version for one in found if one.id == spec.instance)
    if registered == spec.version:
        return ""
    return (
        f"it registered as version {registered or '(none)'}, not {spec.version}, which MESHWRIGHT_VERSION says: "
        "calls are routed by the registered one"
    )
