"""One process of the call measurement: `python -m bench.rpc_process KIND [TARGET]`."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as otlp_rpc

import meshwright
from demo.calculator.v1 import calculator_pb2 as pb
from demo.calculator.v1 import calculator_pb2_grpc as rpc
from meshwright.client.bootstrap import prepare
from meshwright.config import ServiceConfig, load_config
from meshwright.process import stop_event
from meshwright.telemetry import Identity


class Calculator(rpc.CalculatorServicer):
    async def Add(self, request: pb.Numbers, context: grpc.aio.ServicerContext) -> pb.Result:
        return pb.Result(value=request.a + request.b)


class Collector(otlp_rpc.TraceServiceServicer):
    async def Export(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        return otlp.ExportTraceServiceResponse()


async def plain_server(port: int, add: Any, servicer: Any) -> None:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    add(servicer, server)
    healthy = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    await healthy.set("", health_pb2.HealthCheckResponse.SERVING)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    with stop_event() as stop:
        await stop.wait()
    await server.stop(None)


async def mesh_server() -> None:
    async with meshwright.Server(load_config(ServiceConfig)) as server:
        server.add(rpc.add_CalculatorServicer_to_server, Calculator())
        await server.run()


async def calls(stub: rpc.CalculatorStub, count: int, workers: int) -> dict[str, float]:
    left = iter(range(count))
    request = pb.Numbers(a=1, b=2)
    took: list[float] = []

    async def worker() -> None:
        for _ in left:
            began = time.perf_counter()
            await stub.Add(request, timeout=10)
            took.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(workers)))
    return {"p50": statistics.median(took), "rate": count / (time.perf_counter() - began)}


async def client(channel: grpc.aio.Channel) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with channel:
        stub = rpc.CalculatorStub(channel)
        await stub.Add(pb.Numbers(a=1, b=2), timeout=20, wait_for_ready=True)
        async for line in reader:
            command = json.loads(line)
            print(json.dumps(await calls(stub, command["calls"], command["workers"])), flush=True)


async def main(kind: str, target: str = "") -> None:
    config = load_config(ServiceConfig, service="bench")
    if kind == "plain-server":
        await plain_server(config.port, rpc.add_CalculatorServicer_to_server, Calculator())
    elif kind == "collector":
        await plain_server(int(target), otlp_rpc.add_TraceServiceServicer_to_server, Collector())
    elif kind == "mesh-server":
        await mesh_server()
    elif kind == "plain-client":
        await client(grpc.aio.insecure_channel(target))
    elif kind == "bare-client":
        prepare(config, Identity.of(config), lambda: None)
        await client(grpc.aio.insecure_channel(f"xds:///{target}"))
    elif kind == "mesh-client":
        await client(meshwright.channel(target, config))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
