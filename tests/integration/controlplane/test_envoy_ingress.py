"""A real Envoy as ingress into the mesh, over the same ADS that feeds gRPC clients."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from demo.calculator.v1 import calculator_pb2 as pb
from demo.calculator.v1 import calculator_pb2_grpc as rpc
from meshwright.controlplane.model.snapshot import NodeKind
from meshwright.controlplane.translation.translator import Translator
from meshwright.model import Address
from support.controlplane.plane import FedAds, Services, backend, fed_ads
from support.processes import promised_port, running
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.processes import Process

ENVOY = Path(__file__).resolve().parents[3] / ".tools" / "envoy" / "bin" / "envoy"

pytestmark = pytest.mark.skipif(not ENVOY.exists(), reason="no Envoy here: scripts/tools.d/envoy.sh fetches one")


def bootstrap(xds: Address, ingress: Address) -> str:
    http2 = {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
    }
    socket = {"socket_address": {"address": xds.host, "port_value": xds.port}}
    load = {
        "cluster_name": "control-plane",
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket}}]}],
    }
    cluster = {"name": "control-plane", "type": "STATIC", "typed_extension_protocol_options": http2}
    ads = {"ads": {}, "resource_api_version": "V3"}
    return json.dumps(
        {
            "node": {"id": "ingress-1", "cluster": "ingress", "metadata": {"meshwright.ingress": str(ingress)}},
            "dynamic_resources": {
                "lds_config": ads,
                "cds_config": ads,
                "ads_config": {
                    "api_type": "GRPC",
                    "transport_api_version": "V3",
                    "grpc_services": [{"envoy_grpc": {"cluster_name": "control-plane"}}],
                },
            },
            "static_resources": {"clusters": [{**cluster, "load_assignment": load}]},
        }
    )


@contextlib.asynccontextmanager
async def envoy(folder: Path, xds: Address, ingress: Address) -> AsyncIterator[Process]:
    config = folder / "envoy.json"
    config.write_text(bootstrap(xds, ingress))
    command = [str(ENVOY), "-c", str(config), "--concurrency", "1", "--use-dynamic-base-id", "-l", "warn"]
    async with running(command, folder / "envoy.log") as process:
        yield process


async def add(address: Address, authority: str) -> tuple[str, str]:
    """Status, and the instance that answered, of a call through the ingress."""
    options = [("grpc.default_authority", authority)]
    async with grpc.aio.insecure_channel(str(address), options=options) as channel:
        call = rpc.CalculatorStub(channel).Add(pb.Numbers(a=1, b=2), timeout=5)
        try:
            await call
        except grpc.aio.AioRpcError as error:
            return error.code().name, ""
        return "OK", dict(await call.trailing_metadata())["meshwright-instance"]


@pytest.fixture
async def fed() -> AsyncIterator[FedAds]:
    async with fed_ads() as made:
        yield made


async def test_an_envoy_routes_grpc_calls_and_follows_changes(fed: FedAds, tmp_path: Path) -> None:
    ingress = Address("127.0.0.1", promised_port())
    async with backend("one") as one, backend("two") as two, backend("other", "other") as other:
        fed.ads.publish(Translator().translate(Services().add(one).catalog()))
        async with envoy(tmp_path, fed.address, ingress) as process:

            async def answers(authority: str, *instances: str) -> bool:
                assert process.running, process.tail()
                found = {await add(ingress, authority) for _ in range(4)}
                assert found == {("OK", instance) for instance in instances}, process.tail()
                return True

            await eventually(lambda: answers("calc", "one"), timeout=20)
            (stream,) = fed.ads.cache.streams
            assert stream.node.node_profile.kind is NodeKind.ENVOY
            assert all(not state.nack for state in stream.types.values())
            # Endpoints alone, then a new service: listener, routes, clusters and endpoints in one.
            fed.ads.publish(Translator().translate(Services().add(one, two).catalog()))
            await eventually(lambda: answers("calc", "one", "two"))
            fed.ads.publish(Translator().translate(Services().add(two, other).catalog()))
            await eventually(lambda: answers("other", "other"))
            await eventually(lambda: answers("calc", "two"))
            # A service that goes takes its cluster with it, after the routes.
            fed.ads.publish(Translator().translate(Services().add(other).catalog()))

            async def gone() -> bool:
                return (await add(ingress, "calc"))[0] == "UNIMPLEMENTED"

            await eventually(gone)
            await eventually(lambda: answers("other", "other"))
            assert all(not state.nack for state in stream.types.values())
            assert all(not state.leaving for state in stream.types.values())
