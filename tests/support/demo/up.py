"""The demo as `meshwright up` runs it, on ports and in a folder of its own."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from support.mesh.up import command, environment
from support.processes import TESTS, Process, promised_port, python, running
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


TOPOLOGY = TESTS.parent / "services" / "demo.toml"
PARTS = ("gateway", "registry", "xds", "controlplane", "traces", "otlp-grpc", "otlp-http")
ADA = {"name": "Ada Lovelace", "email": "ada@example.org"}


@dataclass(frozen=True)
class DemoUp:
    """A running demo: its process, its folder, its ports by name."""

    process: Process
    folder: Path
    ports: dict[str, int]

    def url(self, part: str) -> str:
        return f"http://127.0.0.1:{self.ports[part]}"

    async def do(self, *arguments: str, patience: float = 60, **environ: str) -> str:
        """Run a command of `meshwright` on it, which must succeed."""
        code, said = await command(self.folder, *arguments, patience=patience, **environ)
        assert code == 0, said
        return said

    async def instances(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(await self.do("ps", "--json"))
        return rows


def free_ports() -> dict[str, int]:
    """A free port for each part, no two the same."""
    ports: dict[str, int] = {}
    while len(ports) < len(PARTS):
        port = promised_port()
        if port not in ports.values():
            ports[PARTS[len(ports)]] = port
    return ports


def doubled(folder: Path) -> Path:
    """The demo's topology with two replicas of each service that has one; the ports of gateway and voice, and NATS, are
    for one."""
    lines = []
    for line in TOPOLOGY.read_text("utf-8").splitlines():
        lines.append(line)
        if line.startswith('module = "services.') and not line.endswith(('.gateway"', '.voice"')):
            lines.append("replicas = 2")
    text = "\n".join(lines).replace('replicas = 2\nversion = "1.0.0"\nreplicas = 2', 'replicas = 2\nversion = "1.0.0"')
    path = folder / "demo.toml"
    path.write_text(text, "utf-8")
    return path


@contextlib.asynccontextmanager
async def starting(
    folder: Path, *arguments: str, topology: Path = TOPOLOGY, consul: str = "dev", **environ: str
) -> AsyncIterator[DemoUp]:
    """`meshwright up` on the demo, just begun, with these arguments more. `consul`: auto for what `environ` names."""
    ports = free_ports()
    options = [text for name, port in ports.items() for text in ("--port", f"{name}={port}")]
    argv = python("-m", "meshwright.cli", "up", "-f", str(topology), "--consul", consul, *options, *arguments)
    given = {**environment(folder), "OTEL_SDK_DISABLED": "false", **environ}
    async with running(argv, folder / "up.log", given) as process:
        yield DemoUp(process, folder, ports)


async def first_answer(demo: DemoUp, client: httpx.AsyncClient) -> httpx.Response:
    """The first request of the demo that succeeds: a user is created."""

    async def created() -> httpx.Response | None:
        assert demo.process.running, demo.process.tail(60)
        try:
            answer = await client.post(f"{demo.url('gateway')}/api/v1/users", json=ADA)
        except httpx.TransportError:
            return None
        return answer if answer.status_code == httpx.codes.CREATED else None

    answer = await eventually(created, timeout=60)
    assert answer is not None
    return answer
