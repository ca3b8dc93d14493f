"""A real coturn on loopback, in the configuration that the chart ships."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
from typing import TYPE_CHECKING

from aioice import stun

from support.processes import ROOT, promised_port, running
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.processes import Process

CONFIGURATION = ROOT / "helm/meshwright/coturn/turnserver.conf"
NO_COTURN = "no coturn here (turnserver): scripts/system-packages.sh installs it"
REALM = "meshwright"


def find_coturn() -> str | None:
    return shutil.which("turnserver")


@contextlib.asynccontextmanager
async def coturn(folder: Path, secret: str) -> AsyncIterator[int]:
    """A server for as long as the context lasts; yields its UDP port."""
    program = find_coturn()
    assert program
    port, relays = promised_port(), promised_port()
    command = [
        *(program, "-c", str(CONFIGURATION), "--listening-ip", "127.0.0.1", "--relay-ip", "127.0.0.1"),
        *("--listening-port", str(port), "--realm", REALM, "--static-auth-secret", secret),
        *("--min-port", str(relays), "--max-port", str(relays + 20), "--userdb", str(folder / "turn.db")),
        *("--pidfile", str(folder / "turn.pid")),
    ]
    async with running(command, folder / "coturn.log", dict(os.environ)) as process:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(0.1)
            client.connect(("127.0.0.1", port))
            await eventually(lambda: _answers(process, client), 15, ignore=(OSError,))
        yield port


def _answers(process: Process, client: socket.socket) -> bool:
    assert process.running, process.tail()
    client.send(bytes(stun.Message(stun.Method.BINDING, stun.Class.REQUEST)))
    return stun.parse_message(client.recv(1500)).message_class == stun.Class.RESPONSE
