"""`meshwright up --demo --host ::` seen from a second machine: the gateway is there, and nothing else is."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

import pytest

from support import networks
from support.processes import python, running
from support.ups import environment
from support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from support.networks import Machine

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
    if reason := networks.missing():
        pytest.skip(reason)
    with networks.two_machines() as (here, there):
        argv = here.argv(*python("-m", "meshwright.cli", "up", "--demo", "--consul", "dev", "--host", "::", "-q"))
        given = {**environment(tmp_path), "OTEL_SDK_DISABLED": "false"}
        async with running(argv, tmp_path / "up.log", given) as up:

            def shown() -> str:
                assert up.running, up.tail(60)
                return up.log.read_text()

            await eventually(lambda: "Ctrl-C stops everything" in shown(), timeout=120)
            urls = [f"http://{networks.HERE}:8080", f"http://[{networks.HERE_6}]:8080"]
            assert f"gateway-1 is open to other machines at {urls[0]}\n  on other networks: {urls[1]}\n" in shown()
            assert "\x1b" not in shown(), "no code for phones where there is no terminal"
            listening = await told(here, LISTENING)
            assert len(listening) > 20, listening
            assert {8080, 8500, 18000, 18001, 16686, 4317, 4318} <= set(listening)
            reached = await told(there, CONNECT, json.dumps(listening), networks.HERE, networks.HERE_6)
            assert reached == {networks.HERE: [8080], networks.HERE_6: [8080]}
            for url in urls:
                assert await told(there, VISIT, url) == ["<!doctype html>", 201, True]


async def told(machine: Machine, program: str, *arguments: str) -> object:
    """What a program says there, as JSON."""
    return json.loads(await asyncio.to_thread(machine.run, sys.executable, "-c", program, *arguments))
