"""Synchronous code in a process of its own, by each kind of discovery, against a control plane and a Consul."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

import meshwright
from integration.runtime.calculator import Everything, add_everything
from meshwright.config import ServiceConfig, load_config
from support.consul.servers import dev_consul
from support.mesh.mesh import mesh
from support.processes import python, running
from support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import json, os, sys
import grpc
import meshwright
from demo.calculator.v1 import calculator_pb2 as pb, calculator_pb2_grpc as rpc

channels = {}
for name in map(str.strip, sys.stdin):
    channel = channels.setdefault(name, meshwright.sync.channel(name))
    try:
        answer = rpc.CalculatorStub(channel).Add(pb.Numbers(a=1, b=2)).value
    except grpc.RpcError as error:
        answer = error.details()
    print(json.dumps(answer), flush=True)
"""


@pytest.mark.parametrize("discovery", ["xds", "consul"])
async def test_a_name_is_found_and_a_wrong_one_is_explained(
    discovery: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    async with (
        dev_consul() as registry,
        mesh(registry, tmp_path, control_planes=1 if discovery == "xds" else 0) as built,
        meshwright.Server(
            load_config(ServiceConfig, {}, service="weather", consul=registry.config, propagation=0.0)
        ) as server,
    ):
        server.add(add_everything, Everything())
        await server.start()
        environ = {**built.environ, "MESHWRIGHT_DISCOVERY": discovery}
        async with running(python("-c", PROGRAM), tmp_path / "program.log", environ, pipes=True) as program:

            async def answer(name: str) -> Any:
                assert program.child.stdin
                assert program.child.stdout
                program.child.stdin.write(f"{name}\n".encode())
                line = await asyncio.wait_for(program.child.stdout.readline(), 30)
                assert line, program.tail()
                return json.loads(line)

            async def says(name: str, expected: object) -> bool:
                return await answer(name) == expected

            await eventually(lambda: says("weather", 3.0), timeout=20)
            await eventually(lambda: says("wether", "no service is called wether; did you mean weather?"), timeout=20)
            assert await answer("weather") == 3.0
            assert program.child.stdin
            program.child.stdin.close()
            assert await asyncio.wait_for(program.child.wait(), 20) == 0, program.tail()
