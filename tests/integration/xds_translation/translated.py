"""A control plane without Consul, servers that do as they are told, and a bare gRPC client: to test translation."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc

from meshwright.controlplane.metrics import Metrics
from meshwright.controlplane.model import upstream_config
from meshwright.controlplane.model.catalog import Catalog, Target
from meshwright.controlplane.model.policy import parse_policy
from meshwright.controlplane.translation.translator import Translator
from meshwright.controlplane.xds.server import Ads
from meshwright.model import Address, Health, Instance, InstanceId, ServiceName
from support.processes import Process, python, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping
    from pathlib import Path

    from meshwright.controlplane.model.snapshot import Snapshot


# A burst of more than a thousand calls must reach the handler: by default the server turns some away at random.
_OPTIONS = [
    ("grpc.so_reuseport", 0),
    ("grpc.server.max_pending_requests", 10_000),
    ("grpc.server.max_pending_requests_hard_limit", 20_000),
]
PATH = "/demo.user.v1.UserService/GetUser"
UNTIMED = "/demo.user.v1.Other/Get"
"""A path for which no recorded chain has a timeout, so that a slow machine fails no call."""


@dataclass(frozen=True)
class Outcome:
    """How one call ended; `answer` is the name of the backend that answered it."""

    status: str
    answer: str
    seconds: float
    details: str


def answers(outcomes: Iterable[Outcome]) -> Counter[str]:
    """Who answered how often; a failed call counts under its status."""
    return Counter(outcome.answer or outcome.status for outcome in outcomes)


@dataclass
class Backend:
    """A server that answers every method with its name, or fails, or waits."""

    name: str
    fail: grpc.StatusCode | None = None
    fail_next: int = 0
    calls: int = 0
    paths: list[str] = field(default_factory=list)
    held: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)
    server: grpc.aio.Server | None = None
    address: Address = Address("127.0.0.1", 0)

    def __post_init__(self) -> None:
        self.released.set()

    async def start(self) -> None:
        """Serve on the port that it had before, if it had one."""
        self.server = grpc.aio.server(options=_OPTIONS)
        self.server.add_generic_rpc_handlers((_Everything(self),))
        self.address = Address("127.0.0.1", self.server.add_insecure_port(str(self.address)))
        await self.server.start()

    async def stop(self) -> None:
        if self.server:
            await self.server.stop(None)
            self.server = None

    async def answer(self, _: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        self.calls += 1
        self.held += 1
        try:
            await self.released.wait()
        finally:
            self.held -= 1
        if self.fail:
            await context.abort(self.fail, "told to fail")
        if self.fail_next:
            self.fail_next -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "told to fail once")
        return self.name.encode()

    def instance(self, service: str = "user", health: Health = Health.PASSING, **meta: str) -> Instance:
        return Instance(InstanceId(self.name), ServiceName(service), self.address, health, meta=meta)


class _Everything(grpc.GenericRpcHandler):
    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._handler: Any = grpc.unary_unary_rpc_method_handler(backend.answer)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        self._backend.paths.append(handler_call_details.method)
        return self._handler


class ControlPlane:
    """The real ADS server over a catalog that the test writes."""

    def __init__(self, ads: Ads, address: str) -> None:
        self.ads = ads
        self.address = address
        self.catalog = Catalog()
        self.translator = Translator()
        self.snapshot: Snapshot | None = None

    def publish(
        self,
        *chains: Mapping[str, Any],
        instances: Mapping[Target, Iterable[Instance]] | None = None,
        policies: Mapping[str, Mapping[str, Any]] | None = None,
        defaults: Iterable[Mapping[str, Any]] | None = None,
    ) -> Snapshot:
        """Replace what is given, keep the rest, and publish."""
        changes: dict[str, Any] = {}
        if chains:
            changes["chains"] = {ServiceName(chain["ServiceName"]): chain for chain in chains}
        if instances is not None:
            changes["instances"] = {target: tuple(members) for target, members in instances.items()}
        if policies is not None:
            changes["policies"] = {
                ServiceName(name): parse_policy(ServiceName(name), json.dumps(document).encode())
                for name, document in policies.items()
            }
        if defaults is not None:
            changes["callers"] = upstream_config.read(defaults)
        self.catalog = dataclasses.replace(self.catalog, **changes)
        self.snapshot = self.translator.translate(self.catalog)
        self.ads.publish(self.snapshot)
        return self.snapshot

    def nacks(self) -> list[str]:
        """What nodes refused."""
        return [
            f"{kind.name}: {state.nack}"
            for stream in self.ads.cache.streams
            for kind, state in stream.types.items()
            if state.nack
        ]


@contextlib.asynccontextmanager
async def control_plane() -> AsyncIterator[ControlPlane]:
    ads = Ads(Metrics())
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers(ads.handlers())
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield ControlPlane(ads, f"127.0.0.1:{port}")
    finally:
        await ads.stop()
        await server.stop(None)


@contextlib.asynccontextmanager
async def backends(*names: str) -> AsyncIterator[list[Backend]]:
    servers = [Backend(name) for name in names]
    for server in servers:
        await server.start()
    try:
        yield servers
    finally:
        for server in servers:
            server.released.set()
        await asyncio.gather(*(server.stop() for server in servers))


class Client:
    """The test's end of `programs.xds_client`."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def call(
        self,
        times: int = 1,
        *,
        concurrent: int = 8,
        target: str = "user",
        path: str = PATH,
        timeout: float = 10.0,
        **metadata: str,
    ) -> list[Outcome]:
        """Make calls. Underscores in the names of `metadata` stand for hyphens."""
        command = {
            "times": times,
            "concurrent": concurrent,
            "target": target,
            "path": path,
            "timeout": timeout,
            "metadata": [[key.replace("_", "-"), value] for key, value in metadata.items()],
        }
        child = self._process.child
        assert child.stdin
        assert child.stdout
        child.stdin.write(json.dumps(command).encode() + b"\n")
        line = await asyncio.wait_for(child.stdout.readline(), 60)
        if not line:
            code = await child.wait()
            raise RuntimeError(f"the client ended with {code}:\n{self._process.tail(100)}")
        return [Outcome(*outcome) for outcome in json.loads(line)]


@contextlib.asynccontextmanager
async def client(plane: ControlPlane, folder: Path, *, plain: bool = False) -> AsyncIterator[Client]:
    """A gRPC client process. A `plain` one does not say by how much its timeouts fire early."""
    command = python("-m", "programs.xds_client", plane.address, *(["plain"] if plain else []))
    async with running(command, folder / "client.log", pipes=True) as process:
        yield Client(process)
        assert process.child.stdin
        process.child.stdin.close()
        await process.child.wait()
