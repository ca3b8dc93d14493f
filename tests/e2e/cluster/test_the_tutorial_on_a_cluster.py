"""docs/tutorials/kubernetes.md, followed literally: every command of it, in its order, in one shell.

Left out is what makes and ends a cluster in Docker, and the environment that the tests run in: `make kind-up` is the
`helm upgrade --install` of its recipe. The namespace `mesh` is the tutorial's, so this is not run where one exists.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import uuid
from typing import TYPE_CHECKING

import httpx
import pytest

from support.kubernetes.cluster import Release, given, kubectl, needs_cluster
from support.processes import ROOT
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path


_FENCE = re.compile(r"^```[a-z]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(document: Path) -> list[str]:
    """The commands of a document's code blocks in their order; one that goes over several lines is one."""
    blocks = _FENCE.findall(document.read_text())
    return [line.strip() for block in blocks for line in re.sub(r"\\\n\s*", "", block).splitlines() if line.strip()]


class Shell:
    """A bash; what a command leaves running in the background ends with it."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self._child = child

    async def run(self, command: str, timeout: float = 60) -> tuple[int, str]:
        """The command's exit code, and all that it printed."""
        mark = uuid.uuid4().hex
        writer, reader = self._child.stdin, self._child.stdout
        assert writer
        assert reader
        writer.write(f'{command}\necho "{mark} $?"\n'.encode())
        await writer.drain()
        said = await asyncio.wait_for(reader.readuntil(f"{mark} ".encode()), timeout)
        code = await asyncio.wait_for(reader.readline(), timeout)
        return int(code), said.decode().removesuffix(f"{mark} ")


@contextlib.asynccontextmanager
async def shell(folder: Path, environ: Mapping[str, str]) -> AsyncIterator[Shell]:
    child = await asyncio.create_subprocess_exec(
        *("bash", "--noprofile", "--norc"),
        cwd=folder,
        env={**os.environ, **environ},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=2**24,
    )
    try:
        made = Shell(child)
        yield made
        await made.run("kill $(jobs -p) 2>/dev/null; wait")
    finally:
        if child.returncode is None:
            child.terminate()
        await child.communicate()


pytestmark = [needs_cluster, pytest.mark.timeout(900)]
TUTORIAL = ROOT / "docs/tutorials/kubernetes.md"
OF_DOCKER = re.compile(r"make (venv|kind-down)$|helm install .*registry\.example\.org")
FORWARD = re.compile(r"kubectl port-forward \S+ (\d+):")
WATCH = "kubectl meshwright rollout watch"
LOAD = "while sleep"
ABORTED = "kubectl meshwright rollout status user"
"""The tutorial says that it ends with 1."""
TRACED = "curl -si "


def kind_up() -> str:
    """What `make kind-up` does once there is a cluster that has the image."""
    (line,) = re.findall(r"^\t(helm upgrade --install .*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return " ".join([line.replace(" --kube-context kind-meshwright", ""), *given()])


class Reader:
    """Types the tutorial's commands, and keeps what each said."""

    def __init__(self, typed: Shell, folder: Path) -> None:
        self._shell = typed
        self._folder = folder
        self.said: dict[str, str] = {}

    async def type(self, command: str) -> None:
        if OF_DOCKER.match(command):
            return
        if forward := FORWARD.match(command):
            await self._shell.run(f"{command} >{self._folder}/forward-{forward[1]} 2>&1 &")
            await eventually(lambda: answers(int(forward[1])), 60, ignore=(httpx.TransportError,))
            return
        if command.startswith(LOAD):
            await self._shell.run(f"({command}) &")
            return
        if command.startswith(WATCH):
            code, said = await self._watch(command)
        else:
            code, said = await self._shell.run(kind_up() if command == "make kind-up" else command, timeout=400)
        print(f"$ {command}\n{said}[{code}]")
        self.said[command] = said
        assert code == (1 if command.startswith(ABORTED) else 0), command
        if command.startswith(TRACED):
            (identity,) = re.findall(r"^x-trace-id: (\w+)", said, re.MULTILINE | re.IGNORECASE)
            await eventually(lambda: trace(identity), 60, every=0.5, ignore=(httpx.TransportError,))

    def last(self, beginning: str) -> str:
        """What the last command that begins so printed."""
        return [said for command, said in self.said.items() if command.startswith(beginning)][-1]

    async def _watch(self, command: str) -> tuple[int, str]:
        """It goes on until Ctrl-C, which comes as soon as the rollout has come to its end."""
        page = self._folder / "watch"
        await self._shell.run(f"{command} >{page} 2>&1 &")
        await eventually(lambda: "Healthy" in page.read_text().splitlines()[-1], 120, ignore=(IndexError,))
        await self._shell.run("kill $!; wait $!")
        return 0, page.read_text()


async def answers(port: int) -> bool:
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(f"http://127.0.0.1:{port}/")).status_code < 500


async def trace(identity: str) -> str:
    """The trace as the tutorial's Jaeger has it."""
    async with httpx.AsyncClient(trust_env=False) as client:
        found = await client.get(f"http://127.0.0.1:16686/api/v3/traces/{identity}")
        assert found.status_code == 200, found.text
        return found.text


async def test_every_command_of_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    code, _ = await kubectl("get", "namespace", "mesh", check=False)
    if code == 0:
        pytest.skip("the namespace `mesh` exists on this cluster: the tutorial wants to make it")
    config = tmp_path / "kubeconfig"
    config.write_text((await kubectl("config", "view", "--raw"))[1])
    tools = [str(ROOT / ".venv/bin"), str(ROOT / ".tools/helm")]
    path = ":".join([*tools, os.environ["PATH"]])
    try:
        async with shell(ROOT, {"KUBECONFIG": str(config), "PATH": path}) as typed:
            reader = Reader(typed, tmp_path)
            for command in commands(TUTORIAL):
                await reader.type(command)
            assert re.search(r"Phase:\s+Succeeded", reader.last("helm test"))
            assert reader.last(TRACED).startswith("HTTP/1.1 200")
            assert "2.0.0" in reader.last(WATCH).splitlines()[-1]
            assert "Aborted" in reader.last(ABORTED)
            assert "success-rate" in reader.last(ABORTED)
            _, left = await kubectl("get", "all,vro", "--namespace=mesh", "--output=name")
            assert "/user" not in left
            assert "/mw-" not in left
    finally:
        await Release("mesh").helm("uninstall", "mw", "--wait", "--ignore-not-found")
        await kubectl("delete", "namespace", "mesh", "--ignore-not-found", "--wait", timeout=180)
