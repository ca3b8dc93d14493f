"""`meshwright up --demo --host ::` seen from a second machine: the gateway is there, and nothing else is."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from support.mesh.up import environment
from support.processes import python, running
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


HERE, THERE = "198.51.100.1", "198.51.100.2"
HERE_6, THERE_6 = "2001:db8:51::1", "2001:db8:51::2"


@dataclass(frozen=True)
class Machine:
    """A network namespace, alive as long as its process."""

    pid: int

    def argv(self, *command: str) -> list[str]:
        """The command, to be run in it."""
        return ["nsenter", "--net", "--target", str(self.pid), "--", *command]

    def run(self, *command: str) -> str:
        return subprocess.run(self.argv(*command), check=True, capture_output=True, text=True, timeout=60).stdout


def missing() -> str:
    """What keeps this machine from making namespaces; empty where nothing does."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "network namespaces need Linux and root"
    lacking = [name for name in ("unshare", "nsenter", "ip") if shutil.which(name) is None]
    if lacking:
        return f"there is no {', '.join(lacking)}"
    probe = subprocess.run(["unshare", "--net", "true"], check=False, capture_output=True)
    return "" if probe.returncode == 0 else "network namespaces are not permitted here"


@contextlib.contextmanager
def two_machines() -> Iterator[tuple[Machine, Machine]]:
    """The first has the addresses HERE and HERE_6, the second THERE and THERE_6."""
    with contextlib.ExitStack() as stack:
        here, there = (stack.enter_context(_machine()) for _ in range(2))
        veth = ["ip", "link", "add", "eth0", "netns", str(here.pid), "type", "veth"]
        subprocess.run([*veth, "peer", "name", "eth0", "netns", str(there.pid)], check=True)
        for machine, addresses in ((here, (HERE, HERE_6)), (there, (THERE, THERE_6))):
            machine.run("ip", "link", "set", "lo", "up")
            machine.run("ip", "address", "add", f"{addresses[0]}/24", "dev", "eth0")
            machine.run("ip", "-6", "address", "add", f"{addresses[1]}/64", "dev", "eth0", "nodad")
            machine.run("ip", "link", "set", "eth0", "up")
        yield here, there


@contextlib.contextmanager
def _machine() -> Iterator[Machine]:
    command = ["unshare", "--net", "sh", "-c", "echo made; exec sleep 3600"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield Machine(process.pid)
        finally:
            process.kill()


LISTENING = """
import json, psutil
found = [one for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
print(json.dumps(sorted({one.laddr.port for one in found})))
"""
CONNECT = """
import json, socket, sys
def reached(host, port):
    try:
        socket.create_connection((host, port), 5).close()
    except OSError:
        return False
    return True
ports = json.loads(sys.argv[1])
print(json.dumps({host: [port for port in ports if reached(host, port)] for host in sys.argv[2:]}))
"""
VISIT = """
import asyncio, json, sys, urllib.request, websockets
url = sys.argv[1]
page = urllib.request.urlopen(url, timeout=20).read().decode()
body = json.dumps({"name": "Ada Lovelace", "email": f"ada{len(url)}@example.org"}).encode()
post = urllib.request.Request(f"{url}/api/v1/users", body, {"content-type": "application/json"})
created = urllib.request.urlopen(post, timeout=20).status
async def connected():
    async with websockets.connect(f"ws{url.removeprefix('http')}/ws", origin=url):
        return True
print(json.dumps([page[:15].lower(), created, asyncio.run(connected())]))
"""


async def test_a_classroom_reaches_the_gateway_and_nothing_else(tmp_path: Path) -> None:
    if reason := missing():
        pytest.skip(reason)
    with two_machines() as (here, there):
        argv = here.argv(*python("-m", "meshwright.cli", "up", "--demo", "--consul", "dev", "--host", "::", "-q"))
        given = {**environment(tmp_path), "OTEL_SDK_DISABLED": "false"}
        async with running(argv, tmp_path / "up.log", given) as up:

            def shown() -> str:
                assert up.running, up.tail(60)
                return up.log.read_text()

            await eventually(lambda: "Ctrl-C stops everything" in shown(), timeout=120)
            urls = [f"http://{HERE}:8080", f"http://[{HERE_6}]:8080"]
            assert f"gateway-1 is open to other machines at {urls[0]}\n  on other networks: {urls[1]}\n" in shown()
            assert "\x1b" not in shown(), "no code for phones where there is no terminal"
            listening = await told(here, LISTENING)
            assert len(listening) > 20, listening
            assert {8080, 8500, 18000, 18001, 16686, 4317, 4318} <= set(listening)
            reached = await told(there, CONNECT, json.dumps(listening), HERE, HERE_6)
            assert reached == {HERE: [8080], HERE_6: [8080]}
            for url in urls:
                assert await told(there, VISIT, url) == ["<!doctype html>", 201, True]


async def told(machine: Machine, program: str, *arguments: str) -> object:
    """What a program says there, as JSON."""
    return json.loads(await asyncio.to_thread(machine.run, sys.executable, "-c", program, *arguments))
