"""CSDS shows what a process was told by the control plane."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from integration.xds_translation.translated import backends
from support.consul.chains import ALL, recorded
from support.processes import python, running

if TYPE_CHECKING:
    from pathlib import Path

    from integration.xds_translation.translated import ControlPlane

PROGRAM = """
import asyncio, sys
import grpc
from meshwright.server.admin import CSDS, add_admin_services
from programs.xds_client import bootstrap

async def main():
    bootstrap(sys.argv[1], plain=True)
    server = grpc.aio.server()
    add_admin_services(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel("xds:///user") as mesh, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as own:
        await mesh.unary_unary("/demo.user.v1.UserService/GetUser")(b"", timeout=20)
        answer = await own.unary_unary(f"/{CSDS}/FetchClientStatus")(b"")
        stream = own.stream_stream(f"/{CSDS}/StreamClientStatus")()
        await stream.write(b"")
        await stream.done_writing()
        again = [each async for each in stream]
    await server.stop(None)
    assert len(again) == 1
    for kind in ("listener.v3.Listener", "route.v3.RouteConfiguration", "cluster.v3.Cluster"):
        name = f"type.googleapis.com/envoy.config.{kind}".encode()
        assert name in answer and name in again[0], kind

asyncio.run(main())
"""


async def test_csds_shows_the_resources_in_use(plane: ControlPlane, tmp_path: Path) -> None:
    async with backends("a") as (backend,):
        plane.publish(recorded("grpc"), instances={ALL: [backend.instance()]})
        async with running(python("-c", PROGRAM, plane.address), tmp_path / "log") as process:
            assert await asyncio.wait_for(process.child.wait(), 60) == 0, process.tail()
