"""A whole mesh for end-to-end tests: Consul (real or dev), control planes, instances, callers, as processes."""

from __future__ import annotations

import contextlib
import itertools
import json
import uuid
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from meshwright.consul import Consul
from meshwright.model import Address, ServiceName
from support.processes import Process, promised_port, python, running
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

    from support.consul.servers import ConsulServer


CONTROL_PLANE = (
    "import asyncio; from meshwright.config import load_config;"
    "from meshwright.controlplane import ControlPlaneConfig, run;"
    "asyncio.run(run(load_config(ControlPlaneConfig)))"
)


@dataclass(frozen=True)
class Outcome:
    """How one call ended: a gRPC status name, who answered, after how many seconds, begun when (monotonic)."""

    code: str
    instance: str
    version: str
    seconds: float
    message: str
    began: float


def failures(outcomes: Iterable[Outcome]) -> Counter[str]:
    """How often each status other than OK was seen."""
    return Counter(f"{outcome.code}: {outcome.message}" for outcome in outcomes if outcome.code != "OK")


class Caller:
    """The test's end of `programs.caller`."""

    def __init__(self, process: Process) -> None:
        self.process = process

    async def do(self, command: str, **arguments: Any) -> dict[str, Any]:
        child = self.process.child
        assert child.stdin
        assert child.stdout
        child.stdin.write(json.dumps({"do": command, **arguments}).encode() + b"\n")
        await child.stdin.drain()
        return await self.answer()

    async def answer(self) -> dict[str, Any]:
        assert self.process.child.stdout
        line = await self.process.child.stdout.readline()
        assert line, f"the caller ended:\n{self.process.tail()}"
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def call(self, times: int = 1, **arguments: Any) -> list[Outcome]:
        return [Outcome(*row) for row in (await self.do("call", times=times, **arguments))["outcomes"]]

    async def start(self, **arguments: Any) -> None:
        """Begin to call without pause, and see the first hundred calls made."""
        await self.do("start", **arguments)
        await self.made(100)

    async def made(self, more: int) -> None:
        """Wait until that many more calls have ended."""
        goal = await self.count() + more

        async def reached() -> bool:
            return await self.count() >= goal

        await eventually(reached, timeout=30)

    async def count(self) -> int:
        return int((await self.do("count"))["count"])

    async def stop(self) -> list[Outcome]:
        return [Outcome(*row) for row in (await self.do("stop"))["outcomes"]]


class Mesh:
    """Starts and stops the parts; everything ends with the test's context."""

    def __init__(self, consul_server: ConsulServer, folder: Path, stack: contextlib.AsyncExitStack) -> None:
        self.consul_server = consul_server
        self.folder = folder
        self.stack = stack
        self.consul = Consul(consul_server.config)
        self.control_planes: list[tuple[Address, Process]] = []
        self._numbers = itertools.count(1)

    def new_name(self, stem: str = "svc") -> str:
        """A service name that no other test uses."""
        return f"{stem}-{uuid.uuid4().hex[:8]}"

    @property
    def environ(self) -> dict[str, str]:
        return {
            "CONSUL_HTTP_ADDR": self.consul_server.config.address,
            "MESHWRIGHT_XDS": ",".join(str(address) for address, _ in self.control_planes),
            "MESHWRIGHT_LOG_FORMAT": "json",
        }

    def log(self, name: str) -> Path:
        return self.folder / f"{name}-{next(self._numbers)}.log"

    async def run(self, command: list[str], name: str, environ: dict[str, str], *, pipes: bool = False) -> Process:
        return await self.stack.enter_async_context(
            running(command, self.log(name), {**self.environ, **environ}, pipes=pipes)
        )

    async def control_plane(self, address: Address | None = None) -> Process:
        """Start one more control plane and wait until it serves; a given address replaces the one that was there."""
        chosen = address or Address("127.0.0.1", promised_port())
        environ = {
            "MESHWRIGHT_CONTROLPLANE_HOST": chosen.host,
            "MESHWRIGHT_CONTROLPLANE_PORT": str(chosen.port),
            "MESHWRIGHT_CONTROLPLANE_DEBUG_PORT": str(promised_port()),
        }
        process = await self.run(python("-c", CONTROL_PLANE), "controlplane", environ)
        await serving(chosen, "", process)
        self.control_planes = [entry for entry in self.control_planes if entry[0] != chosen] + [(chosen, process)]
        return process

    async def instance(self, service: str, version: str = "1.0.0", **environ: str) -> tuple[str, Process]:
        """Start one instance of a service and wait until Consul calls it healthy; returns its id."""
        name = f"{service}-{version}-{next(self._numbers)}"
        process = await self.run(
            python("-m", "programs.target"),
            name,
            {
                "MESHWRIGHT_SERVICE": service,
                "MESHWRIGHT_VERSION": version,
                "MESHWRIGHT_INSTANCE": name,
                **environ,
            },
        )
        await self.until(lambda ids: name in ids, service, process)
        return name, process

    async def healthy(self, service: str) -> set[str]:
        found = await self.consul.instances(ServiceName(service), passing=True)
        return {str(instance.id) for instance in found.value}

    async def until(self, condition: Any, service: str, process: Process | None = None) -> None:
        """Wait until the ids of the service's healthy instances satisfy the condition."""

        async def holds() -> bool:
            if process is not None:
                assert process.running, process.tail()
            return bool(condition(await self.healthy(service)))

        await eventually(holds, timeout=30)

    async def caller(self, service: str, **environ: str) -> Caller:
        process = await self.run(python("-m", "programs.caller", service), "caller", environ, pipes=True)
        caller = Caller(process)
        await caller.answer()
        return caller

    async def callable(self, service: str, **environ: str) -> Caller:
        """A caller that has made a successful call, by short calls in a loop (docs/explanation/control-plane.md)."""
        caller = await self.caller(service, **environ)

        async def succeeded() -> bool:
            return not failures(await caller.call(1))

        await eventually(succeeded, timeout=20)
        return caller


async def serving(address: Address, service: str, process: Process) -> None:
    """Wait until the gRPC server at that address says SERVING."""
    async with grpc.aio.insecure_channel(str(address)) as channel:
        stub = health_pb2_grpc.HealthStub(channel)

        async def ready() -> bool:
            assert process.running, process.tail()
            try:
                answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=2)
            except grpc.aio.AioRpcError:
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

        await eventually(ready, timeout=60)


@contextlib.asynccontextmanager
async def mesh(consul_server: ConsulServer, folder: Path, *, control_planes: int = 1) -> AsyncIterator[Mesh]:
    """A mesh on that Consul with that many control planes."""
    async with contextlib.AsyncExitStack() as stack:
        built = Mesh(consul_server, folder, stack)
        await stack.enter_async_context(built.consul)
        for _ in range(control_planes):
            await built.control_plane()
        yield built
