"""Something that speaks Jaeger's APIs: the dev trace store, and a real Jaeger where one is installed."""

from __future__ import annotations

import contextlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from support.processes import ROOT, Process, promised_port, python, running
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


NO_JAEGER = "no real Jaeger here: put a binary of Jaeger 2 on PATH or at .tools/jaeger/jaeger"


@dataclass(frozen=True)
class Jaeger:
    """Where it is asked, where it takes OTLP over HTTP and gRPC, and where it says that it is well."""

    query: str
    otlp_http: str
    otlp_grpc: str
    health: str


def find_jaeger() -> Path | None:
    """The real Jaeger, of its second generation, or none."""
    found = shutil.which("jaeger") or shutil.which(ROOT / ".tools/jaeger/jaeger")
    return Path(found) if found else None


@contextlib.asynccontextmanager
async def dev_store(folder: Path) -> AsyncIterator[Jaeger]:
    """The dev trace store."""
    ports = {name: promised_port() for name in ("query", "otlp-http", "otlp-grpc")}
    options = [f"--{name}-port={port}" for name, port in ports.items()]
    query, http, grpc = (f"http://127.0.0.1:{port}" for port in ports.values())
    async with running(python("-m", "meshwright.cli", "traces", *options), folder / "traces.log") as process:
        found = Jaeger(query, http, grpc, f"{query}/status")
        await _well(found, process)
        yield found


@contextlib.asynccontextmanager
async def real_jaeger(binary: Path, folder: Path) -> AsyncIterator[Jaeger]:
    """A real Jaeger, in memory, on ports of its own."""
    query, query_grpc, http, grpc, health = (f"127.0.0.1:{promised_port()}" for _ in range(5))
    config = {
        "service": {
            "extensions": ["jaeger_storage", "jaeger_query", "healthcheckv2"],
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["jaeger_storage_exporter"]}},
            "telemetry": {"metrics": {"level": "none"}},
        },
        "extensions": {
            "jaeger_storage": {"backends": {"memory": {"memory": {"max_traces": 1000}}}},
            "jaeger_query": {
                "storage": {"traces": "memory"},
                "http": {"endpoint": query},
                "grpc": {"endpoint": query_grpc},
            },
            "healthcheckv2": {"use_v2": True, "http": {"endpoint": health}},
        },
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": http}, "grpc": {"endpoint": grpc}}}},
        "exporters": {"jaeger_storage_exporter": {"trace_storage": "memory"}},
    }
    file = folder / "jaeger.json"
    file.write_text(json.dumps(config), "utf-8")
    async with running([str(binary), "--config", str(file)], folder / "jaeger.log") as process:
        found = Jaeger(f"http://{query}", f"http://{http}", f"http://{grpc}", f"http://{health}/status")
        await _well(found, process)
        yield found


async def _well(jaeger: Jaeger, process: Process) -> None:
    async def well() -> bool:
        assert process.running, process.tail()
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await client.get(jaeger.health)).status_code == httpx.codes.OK

    await eventually(well, timeout=60, ignore=(httpx.TransportError,))
