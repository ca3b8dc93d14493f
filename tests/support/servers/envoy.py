"""A real Envoy that takes its whole configuration from a control plane over ADS."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from meshwright.model import Address
from support.processes import ROOT, Process, promised_port, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


FETCHED = ROOT / ".tools" / "envoy" / "bin" / "envoy"
NO_ENVOY = "no Envoy here: neither on PATH nor fetched by scripts/tools.d/envoy.sh"


def find_envoy() -> Path | None:
    """The Envoy on PATH, else the fetched one."""
    found = shutil.which("envoy")
    if found:
        return Path(found)
    return FETCHED if FETCHED.exists() else None


class Envoy:
    """A running Envoy: `ingress` is where it takes calls, `admin` its own pages."""

    def __init__(self, process: Process, ingress: Address, admin: Address) -> None:
        self.process = process
        self.ingress = ingress
        self.admin = admin


@contextlib.asynccontextmanager
async def envoy(control_plane: Address, folder: Path, place: Mapping[str, str] | None = None) -> AsyncIterator[Envoy]:
    """Run one for as long as the context lasts, in a region and zone."""
    binary = find_envoy()
    assert binary, NO_ENVOY
    ingress, admin = Address("127.0.0.1", promised_port()), Address("127.0.0.1", promised_port())
    config = folder / "envoy.json"
    config.write_text(json.dumps(bootstrap(control_plane, ingress, admin, place or {})), encoding="utf-8")
    command = [str(binary), "-c", str(config), "--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]
    async with running(command, folder / "envoy.log") as process:
        yield Envoy(process, ingress, admin)


def bootstrap(control_plane: Address, ingress: Address, admin: Address, place: Mapping[str, str]) -> dict[str, object]:
    def socket(address: Address) -> dict[str, object]:
        return {"socket_address": {"address": address.host, "port_value": address.port}}

    ads = {"ads": {}, "resource_api_version": "V3"}
    http2 = {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
    }
    return {
        "node": {
            "id": "ingress-1",
            "cluster": "ingress",
            "locality": dict(place),
            "metadata": {"meshwright.ingress": str(ingress)},
        },
        "admin": {"address": socket(admin)},
        "dynamic_resources": {
            "lds_config": ads,
            "cds_config": ads,
            "ads_config": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "control-plane"}}],
            },
        },
        "static_resources": {
            "clusters": [
                {
                    "name": "control-plane",
                    "type": "STATIC",
                    "typed_extension_protocol_options": http2,
                    "load_assignment": {
                        "cluster_name": "control-plane",
                        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket(control_plane)}}]}],
                    },
                }
            ]
        },
    }
