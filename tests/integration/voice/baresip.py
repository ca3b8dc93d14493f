"""baresip, a SIP telephone, as a process."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

NO_BARESIP = "no baresip here: scripts/system-packages.sh installs it"
MODULES = ("/usr/lib/baresip/modules", "/usr/local/lib/baresip/modules")


def find_baresip() -> str | None:
    return shutil.which("baresip")


class Baresip:
    """One telephone; `output` is what it has printed, SIP messages included."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.output = ""
        self._process = process

    async def read(self) -> None:
        assert self._process.stdout
        while block := await self._process.stdout.read(4096):
            self.output += block.decode(errors="replace")


def configure(folder: Path, account: str, modules: Sequence[str], config: str) -> None:
    """Writes the files that baresip reads."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "accounts").write_text(account + "\n")
    path = next((each for each in MODULES if Path(each).is_dir()), MODULES[0])
    lines = ["sip_listen 127.0.0.1:0", f"module_path {path}", "module account.so", "module menu.so"]
    lines += [f"module {name}.so" for name in modules]
    (folder / "config").write_text("\n".join(lines) + "\n" + config)


@contextlib.asynccontextmanager
async def baresip(
    folder: Path, account: str, *, modules: Sequence[str] = ("g711",), commands: Sequence[str] = (), config: str = ""
) -> AsyncIterator[Baresip]:
    """A telephone with an account, as `<sip:ada@127.0.0.1:5060>;auth_pass=secret`.

    commands: what is typed at its start. config: further lines of its configuration.
    """
    configure(folder, account, modules, config)
    typed = [word for command in commands for word in ("-e", command)]
    process = await asyncio.create_subprocess_exec(
        "baresip",
        *("-f", str(folder), "-s", *typed),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    phone = Baresip(process)
    reading = asyncio.create_task(phone.read())
    try:
        yield phone
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
        await reading
