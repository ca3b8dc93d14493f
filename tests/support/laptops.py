"""A rollout on an `up`: a service of real processes to roll out, and the verbs as a person types them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import yaml

from support.mesh import Caller
from support.ports import promised_port
from support.processes import TESTS, python, running
from support.ups import Up, an_up, environment, own_ports
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

TARGET = f"""
[environment]
PYTHONPATH = "{TESTS}"
[processes.target]
command = ["{sys.executable}", "-m", "support.target"]
version = "1.0.0"
replicas = 2
"""
"""The service that is rolled out, of a topology."""
TOPOLOGY = f"""{TARGET}[processes.fixed]
SERVER
port = FIXED
"""


class Laptop:
    """An `up` with a service to roll out, and what a person does about it."""

    def __init__(self, up: Up) -> None:
        self.up = up
        self.folder = up.folder

    async def do(self, *arguments: str) -> str:
        code, said = await self.up.do("rollout", *arguments)
        assert code == 0, said
        return said

    async def apply(self, **spec: Any) -> str:
        return await self.do("apply", str(self.write(**spec)))

    def write(self, **spec: Any) -> Path:
        if variables := spec.pop("env", {}):
            container = {"name": "target", "env": [{"name": key, "value": value} for key, value in variables.items()]}
            spec["template"] = {"spec": {"containers": [container]}}
        document = {
            "apiVersion": "meshwright.dev/v1alpha1",
            "kind": "VersionedRollout",
            "metadata": {"name": spec.pop("name", "target")},
            "spec": {"service": "target", "replicas": 2, **spec},
        }
        path = self.folder / "rollout.yaml"
        path.write_text(yaml.safe_dump(document))
        return path

    async def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(await self.do("get", "target", "--json")).get("status", {})
        return found

    async def until(self, holds: Callable[[dict[str, Any]], bool], timeout: float = 40) -> dict[str, Any]:
        async def reached() -> dict[str, Any]:
            status = await self.status()
            assert holds(status), json.dumps(status, indent=1) + self.up.shown[-2000:]
            return status

        return await eventually(reached, timeout, every=0.1)

    async def until_phase(self, phase: str, **more: Any) -> dict[str, Any]:
        wanted = {"phase": phase, **more}
        return await self.until(lambda status: wanted.items() <= status.items())

    async def versions(self) -> Counter[str]:
        rows = json.loads((await self.up.do("ps", "--json"))[1])
        return Counter(row["version"] for row in rows if row["service"] == "target")

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[Watched]:
        """A `rollout watch` whose output goes into a pipe."""
        process = await asyncio.create_subprocess_exec(
            *python("-um", "meshwright.cli", "rollout", "watch", "target"),
            cwd=self.folder,
            env={**os.environ, **environment(self.folder)},
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            yield Watched(process)
        finally:
            process.terminate()
            await process.communicate()

    @contextlib.asynccontextmanager
    async def calling(self) -> AsyncIterator[Caller]:
        """A process that calls the service; its environment is what `up` wrote down for clients."""
        argv = python("-m", "support.caller", "target")
        log = self.folder / "caller.log"
        async with running(argv, log, dict(self.up.record.environment), pipes=True) as process:
            caller = Caller(process)
            await caller.answer()
            await caller.call(5, wait_for_ready=True)
            yield caller


class Watched:
    """What a piped `rollout watch` prints."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    @property
    def without_times(self) -> list[str]:
        return [line.partition(" ")[2] for line in self.lines]

    async def line_with(self, text: str) -> None:
        assert self.process.stdout is not None
        while not self.lines or text not in self.lines[-1]:
            self.lines.append((await asyncio.wait_for(self.process.stdout.readline(), 30)).decode())
            assert self.lines[-1], self.lines


@contextlib.asynccontextmanager
async def a_laptop(folder: Path) -> AsyncIterator[Laptop]:
    topology = TOPOLOGY.replace("FIXED", str(promised_port()))
    async with an_up(folder, topology, *own_ports(), mesh=True, OTEL_SDK_DISABLED="false") as up:
        await up.until_up()
        yield Laptop(up)


def canary(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"canary": {"steps": list(steps), "scaleDownDelay": "1s"}}
