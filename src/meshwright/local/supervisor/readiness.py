"""When a process is ready: not when it runs, but when it does what others need it for.

Each kind is one question, asked again every few milliseconds; what is answered instead of "ready" is kept, because a
person who waits in vain wants to know it. Registration is the exception: Consul's blocking queries answer the moment
that something changes.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from meshwright.config import ConsulConfig, load
from meshwright.errors import MeshwrightError
from meshwright.model import Health, InstanceId

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from meshwright.consul import Consul
    from meshwright.local.planner.plan import LaunchSpec
    from meshwright.model import Instance

EVERY = 0.02
"""Seconds between two questions."""
PATIENCE = 2.0
"""Seconds that one answer may take."""
_LOOK = 2.0
"""Seconds that one question for a registration may wait, before it is looked for as another service too."""
_FIRST_ERROR = 400
_MOST_OF_BODY = 4096
_LONGEST_REASON = 300


class Readiness:
    """Whether one instance is ready, in the sense of `kind` (see meshwright.local.topology.spec)."""

    def __init__(self, kind: str, launch: LaunchSpec) -> None:
        self._kind = kind
        self._launch = launch
        self.reason = "it was not asked yet"
        """Why it is not ready, by the last answer."""
        self.found_as = ""
        """The service as which the instance has registered, where that is not its own."""
        self.oddity = ""
        """What a person should know of an instance that is ready all the same."""

    async def wait(self) -> None:
        """Return when the instance is ready."""
        if self._kind == "started":
            return
        if self._kind == "consul":
            await self._until_registered()
            return
        where, ask = _question(self._kind, self._launch)
        while (reason := await _answer(where, ask)) is not None:
            self.reason = reason
            await asyncio.sleep(EVERY)

    async def _until_registered(self) -> None:
        """Wait until Consul calls the instance passing, at the port that this process was given."""
        from meshwright.consul import Blocking, Consul  # noqa: PLC0415 - processes start while this is imported

        index = 0
        async with Consul(load(ConsulConfig, self._launch.environment)) as consul:
            while True:
                try:
                    found = await consul.instances(self._launch.process.service, blocking=Blocking(index, wait=_LOOK))
                    reason = _why_not_registered(found.value, self._launch)
                    if reason is not None and index:  # not at once: it may just be starting
                        self.found_as = await _registered_as(consul, self._launch)
                except MeshwrightError as error:
                    self.reason = str(error)
                    index = 0
                    await asyncio.sleep(EVERY)
                    continue
                if reason is None:
                    self.oddity = _oddity(found.value, self._launch)
                    return
                if self.found_as:
                    own = self._launch.process.service
                    reason = f"it has registered as service {self.found_as}, not {own}, which MESHWRIGHT_SERVICE says"
                self.reason = f"{reason} (Consul at {consul.address})"
                index = found.index if found.index >= index else 0


async def why_not_http(url: str) -> str | None:
    """None where a GET of `url` is answered with a status below 400; else what is answered instead."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    context = ssl.create_default_context() if secure else None
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=context)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        writer.write(f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
        line = await reader.readline()
        status = line.split()
        if len(status) < 2 or not status[1].isdigit():  # noqa: PLR2004 - version and status
            return f"{url} does not answer in HTTP"
        if int(status[1]) < _FIRST_ERROR:
            return None
        while (await reader.readline()).strip():
            pass
        return f"{url} answers {int(status[1])}: {_said(await reader.read(_MOST_OF_BODY))}"
    finally:
        writer.close()


def _said(body: bytes) -> str:
    """What an answer's body says: the detail of a problem document, or else its first line."""
    text = body.decode(errors="replace").strip()
    try:
        found = json.loads(text[text.index("{") : text.rindex("}") + 1])
        text = str(found.get("detail") or found.get("error") or found.get("title") or text)
    except ValueError:
        pass
    first = text.partition("\n")[0].strip()
    return first[:_LONGEST_REASON] or "(an empty answer)"


def _question(kind: str, launch: LaunchSpec) -> tuple[str, Callable[[], Awaitable[str | None]]]:
    """Whom to ask, and how."""
    if kind == "tcp":
        return launch.address, lambda: _why_not_tcp(launch)
    if kind == "grpc":
        return launch.address, lambda: _why_not_grpc(launch)
    own = f"http://{launch.address}{kind.removeprefix('http:')}"
    url = kind if kind.startswith(("http://", "https://")) else own
    return url, lambda: why_not_http(url)


async def _answer(where: str, ask: Callable[[], Awaitable[str | None]]) -> str | None:
    try:
        return await asyncio.wait_for(ask(), PATIENCE)
    except ConnectionRefusedError:
        return f"nothing listens at {where}"
    except TimeoutError:
        return f"{where} does not answer within {PATIENCE:g} s"
    except (OSError, ValueError, asyncio.IncompleteReadError) as error:
        return f"{where}: {error or type(error).__name__}"


async def _why_not_tcp(launch: LaunchSpec) -> None:
    _, writer = await asyncio.open_connection(launch.host, launch.port)
    writer.close()


async def _why_not_grpc(launch: LaunchSpec) -> str | None:
    import grpc  # noqa: PLC0415 - most topologies do not need it here, and it takes a while
    from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: PLC0415

    await _why_not_tcp(launch)
    async with grpc.aio.insecure_channel(launch.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
        except grpc.aio.AioRpcError as error:
            return f"its health check ends with {error.code().name}: {error.details()}"
        status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
        return None if status == "SERVING" else f"its health check says {status}"


def _why_not_registered(found: Sequence[Instance], launch: LaunchSpec) -> str | None:
    """None where the instance is passing, and not what is left of an earlier process with that name: its port says
    which one it is."""
    service, wanted = launch.process.service, launch.spec.name
    instance = next((one for one in found if one.id == wanted), None)
    if instance is None:
        others = f"; there are {', '.join(sorted(one.id for one in found))}" if found else ""
        return f"it has not registered as instance {wanted} of service {service}{others}"
    if instance.address.port != launch.port and not launch.environment.get("MESHWRIGHT_ADVERTISE"):
        return f"its registration names port {instance.address.port}, not {launch.port}, which MESHWRIGHT_PORT says"
    if instance.health is not Health.PASSING:
        return f"it is registered, and its check says {instance.health.value}"
    return None


async def _registered_as(consul: Consul, launch: LaunchSpec) -> str:
    """The other service that the agent has this process as, by its instance and port; empty where there is none."""
    try:
        found = await consul.agent_service(InstanceId(launch.spec.name))
    except MeshwrightError:  # a token may read the own service alone
        return ""
    if found is None or found.service == launch.process.service or found.address.port != launch.port:
        return ""
    return found.service


def _oddity(found: Sequence[Instance], launch: LaunchSpec) -> str:
    """A version that is not the one that was started: routes to versions, and rollouts, go by what is registered."""
    registered = next(one.version for one in found if one.id == launch.spec.name)
    if registered == launch.spec.version:
        return ""
    return (
        f"it registered as version {registered or '(none)'}, not {launch.spec.version}, which MESHWRIGHT_VERSION says: "
        "calls are routed by the registered one"
    )
