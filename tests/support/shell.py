"""A shell that is typed into, command by command, as a tutorial is followed: variables and folders stay."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import uuid
from typing import TYPE_CHECKING

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
