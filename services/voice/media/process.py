"""Keeps the process of the extensions running (`services.voice.media`), and reads what it tells."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from typing import TYPE_CHECKING, Any

from services.voice.sip.calls.proxy import Target
from services.voice.sip.messages import Source

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
STOP_SECONDS = 0.5
"""Less than `tasks.RETRY_SECONDS`, after which the end of this task would be interrupted."""


class ExtensionProcess:
    """`targets`: the extensions that answer now, by name. `on_score` gets the estimated MOS of each call that ended."""

    def __init__(self, host: str, on_score: Callable[[float], None] = lambda _: None) -> None:
        self.targets: dict[str, Target] = {}
        self.pid = 0
        self._host = host
        self._on_score = on_score

    async def keep(self) -> None:
        """Runs the process, and starts it again after pauses whenever it ends."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            async with self._started() as process:
                assert process.stdout is not None
                while line := await process.stdout.readline():
                    if self._take(json.loads(line)):
                        pause = FIRST_PAUSE_SECONDS
            log.warning("the extensions ended with %s: started again in %.1f s", process.returncode, pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    @contextlib.asynccontextmanager
    async def _started(self) -> AsyncIterator[asyncio.subprocess.Process]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.voice.media", self._host),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        self.pid = process.pid
        try:
            yield process
        finally:
            self.targets.clear()
            self.pid = 0
            assert process.stdin is not None
            process.stdin.close()
            try:
                await asyncio.wait_for(process.wait(), STOP_SECONDS)
            except TimeoutError:
                process.kill()
                await process.wait()

    def _take(self, told: dict[str, Any]) -> bool:
        """Takes a line; True if the extensions are ready."""
        if "port" in told:
            source = Source("udp", self._host, told["port"])
            for name in told["names"]:
                self.targets[name] = Target(f"sip:{name}@{self._host}:{source.port}", source)
            return True
        if told.get("mos") is not None:
            self._on_score(told["mos"])
        return False
