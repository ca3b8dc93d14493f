"""An Envoy between client and server, as a sidecar would be: one hop over loopback, nothing else configured."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from meshwright.free_ports import find_free
from meshwright.model import Address
from support.processes import running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FOLDER = Path(__file__).resolve().parents[1] / ".tools" / "envoy"
_TYPES = "type.googleapis.com/envoy.extensions"
_HTTP2 = {
    f"{_TYPES.removeprefix('type.googleapis.com/')}.upstreams.http.v3.HttpProtocolOptions": {
        "@type": f"{_TYPES}.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
}


def binary() -> Path | None:
    """Where scripts/tools.sh has put Envoy."""
    return next((path for path in FOLDER.rglob("*") if path.name == "envoy" and path.is_file()), None)


def _socket(address: Address) -> dict[str, Any]:
    return {"socket_address": {"address": address.host, "port_value": address.port}}


def bootstrap(listen: Address, upstream: Address) -> dict[str, Any]:
    router = {"name": "router", "typed_config": {"@type": f"{_TYPES}.filters.http.router.v3.Router"}}
    manager = {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "hop",
        "codec_type": "HTTP2",
        "http_filters": [router],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "upstream", "timeout": "0s"}}],
                }
            ]
        },
    }
    listener = {
        "name": "hop",
        "address": _socket(listen),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    cluster = {
        "name": "upstream",
        "type": "STATIC",
        "typed_extension_protocol_options": _HTTP2,
        "load_assignment": {
            "cluster_name": "upstream",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _socket(upstream)}}]}],
        },
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


@contextlib.asynccontextmanager
async def envoy_hop(upstream: Address, folder: Path) -> AsyncIterator[Address | None]:
    """The address of an Envoy that passes everything on to `upstream`; None where there is no Envoy."""
    found = binary()
    if found is None:
        yield None
        return
    listen = Address("127.0.0.1", find_free())
    config = folder / "envoy.json"
    config.write_text(json.dumps(bootstrap(listen, upstream)))
    command = [str(found), "-c", str(config), "--base-id", str(listen.port), "--concurrency", "2", "-l", "warning"]
    async with running(command, folder / "envoy.log") as process, grpc.aio.insecure_channel(str(listen)) as channel:
        ready = asyncio.create_task(channel.channel_ready())
        await asyncio.wait_for(ready, 20)
        assert process.running, process.tail()
        yield listen
