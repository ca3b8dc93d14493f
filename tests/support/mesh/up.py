"""`meshwright up` as a real process on a topology of small scripts, and the commands that act on it.

`Laptop` rolls out a service of real processes on it, by the commands of a user.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import re
import signal
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import psutil
import yaml

from meshwright.local.supervisor.run_state import RunRecord, StateFolder
from support.mesh.mesh import Caller
from support.processes import TESTS, Process, promised_port, python, running
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


NO_MESH = '[mesh]\nregistry = "none"\ncontrolplane = "none"\ntraces = "none"\n'

SERVER = """
import http.server, os, signal, sys, time
name = os.environ["MESHWRIGHT_INSTANCE"]
if os.environ["MESHWRIGHT_VERSION"] == "bad":
    sys.exit("this version is bad")
def note(what):
    with open(sys.argv[1], "a") as notes:
        notes.write(f"{what} {name}\\n")
def stop(number, frame):
    note("stop")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *parts):
        pass
server = http.server.HTTPServer(("127.0.0.1", int(os.environ["MESHWRIGHT_PORT"])), Handler)
note("start")
print(f"hello from {name} at {os.environ['MESHWRIGHT_VERSION']}", flush=True)
server.serve_forever()
"""


COMPONENTS = ("registry", "xds", "controlplane", "traces", "otlp-grpc", "otlp-http")
"""What `up` gives ports to, besides processes."""
_NUMBERS = itertools.count()


def own_ports() -> list[str]:
    """Options by which the mesh's components of an `up` listen where no other does."""
    return [option for name in COMPONENTS for option in ("--port", f"{name}={promised_port()}")]


class Up:
    """A running `meshwright up`."""

    def __init__(self, process: Process, folder: Path) -> None:
        self.process = process
        self.folder = folder
        self.state = StateFolder(folder / "home", "shop")

    @property
    def shown(self) -> str:
        """All that it has printed."""
        return self.process.log.read_text(errors="replace")

    @property
    def record(self) -> RunRecord:
        record = self.state.read()
        assert record is not None
        return record

    def pid(self, instance: str) -> int:
        found = next(life.pid for life in self.record.lives if life.instance == instance)
        assert found is not None, f"{instance} has no process"
        return found

    def notes(self) -> list[str]:
        path = self.folder / "notes"
        return path.read_text().splitlines() if path.exists() else []

    async def until_shown(self, text: str, timeout: float = 30) -> None:
        def shown() -> bool:
            assert re.search(text, self.shown), self.shown
            return True

        await eventually(shown, timeout)

    async def until_up(self) -> None:
        await self.until_shown(r"is up after [0-9.]+ s\.", timeout=90)

    async def do(self, *arguments: str) -> tuple[int, str]:
        """Run another command; returns its exit code and all that it printed."""
        return await command(self.folder, *arguments)

    async def interrupt(self) -> int:
        return await self.process.end(signal.SIGINT)


def environment(folder: Path) -> dict[str, str]:
    return {"MESHWRIGHT_HOME": str(folder / "home"), "CONSUL_HTTP_ADDR": "", "COLUMNS": "200"}


async def command(folder: Path, *arguments: str, patience: float = 60, **environ: str) -> tuple[int, str]:
    """Run one command of `meshwright` to its end, which must come within `patience` seconds."""
    child = await asyncio.create_subprocess_exec(
        *python("-m", "meshwright.cli", *arguments),
        cwd=folder,
        env={**os.environ, **environment(folder), **environ},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(child.communicate(), patience)
    assert child.returncode is not None
    return child.returncode, out.decode()


def write(folder: Path, topology: str, *, mesh: bool = False) -> Path:
    """Write a topology and the script that its processes run: `server` there stands for the command."""
    (folder / "server.py").write_text(SERVER)
    server = f'command = ["{sys.executable}", "{folder}/server.py", "{folder}/notes"]\nready = "http:/"'
    path = folder / "shop.toml"
    path.write_text(f'name = "shop"\n{"" if mesh else NO_MESH}' + topology.replace("SERVER", server))
    return path


@contextlib.asynccontextmanager
async def an_up(folder: Path, topology: str, *arguments: str, mesh: bool = False, **environ: str) -> AsyncIterator[Up]:
    """`meshwright up` on that topology, for as long as the context lasts."""
    path = write(folder, topology, mesh=mesh)
    argv = python("-m", "meshwright.cli", "up", "-f", str(path), *arguments)
    log = folder / f"up-{next(_NUMBERS)}.log"
    async with running(argv, log, {**environment(folder), **environ}) as process:
        yield Up(process, folder)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


TARGET = f"""
[environment]
PYTHONPATH = "{TESTS}"
[processes.target]
command = ["{sys.executable}", "-m", "programs.target"]
version = "1.0.0"
replicas = 2
"""
"""The service that is rolled out, of a topology."""
TOPOLOGY = f"""{TARGET}[processes.fixed]
SERVER
port = FIXED
"""


class Laptop:
    """An `up` with a service to roll out, and the commands for its rollout."""

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
        argv = python("-m", "programs.caller", "target")
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
