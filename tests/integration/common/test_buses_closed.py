"""A bus that is closed leaves nothing behind that goes on in the background."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from nats.aio import transport

from services.common.messaging.bus import BusConfig, open_bus
from support.servers.nats import nats_server
from support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


async def test_reconnecting_ends_also_where_the_cancellation_met_a_refused_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`asyncio.wait_for` of Python 3.11 then raises the refusal, and the cancellation is gone."""
    trying, refusals = asyncio.Event(), 0

    async def connect(*_: Any, **__: Any) -> None:
        nonlocal refusals
        trying.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            refusals += 1
            if refusals > 2:
                raise
            raise ConnectionRefusedError from None

    before = asyncio.all_tasks()
    async with nats_server(tmp_path / "nats") as server:
        async with open_bus(BusConfig((server.url,)), "test") as bus:
            await eventually(lambda: bus.connected)
            monkeypatch.setattr(transport.TcpTransport, "connect", connect)
            await server.kill()
            await asyncio.wait_for(trying.wait(), 20)
        left = [task for task in asyncio.all_tasks() - before if not task.done()]
        for task in left:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({task}, timeout=1)
        assert not left
