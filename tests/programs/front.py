"""A process that is ready once a call to `target` over the mesh succeeds: `python -m programs.front`."""

from __future__ import annotations

import asyncio

import grpc
from aiohttp import web

import meshwright
from demo.calculator.v1 import calculator_pb2 as pb
from demo.calculator.v1 import calculator_pb2_grpc as rpc
from meshwright import http
from meshwright.config import ServiceConfig, load_config
from meshwright.process import stop_event


async def main() -> None:
    config = load_config(ServiceConfig)
    async with meshwright.channel("target", config) as channel:
        stub = rpc.CalculatorStub(channel)

        async def ready(_: web.Request) -> web.Response:
            try:
                await stub.Add(pb.Numbers(a=1, b=2), timeout=1)
            except grpc.aio.AioRpcError as error:
                return web.json_response({"detail": f"target: {error.code().name}"}, status=503)
            return web.json_response({})

        app = web.Application()
        app.router.add_get("/readyz", ready)
        with stop_event() as stop:
            async with http.serving(app, config.host, config.port):
                await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
