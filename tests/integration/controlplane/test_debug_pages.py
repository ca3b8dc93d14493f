"""What the control plane shows of itself over HTTP and gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from meshwright.consul import Consul
from meshwright.controlplane import serving
from meshwright.controlplane.admin import inspect
from meshwright.controlplane.model.localities import Place
from meshwright.controlplane.xds.server import METHOD, SERVICE
from meshwright.messages.xds import DiscoveryRequest
from support.controlplane.ads import CLUSTER, LISTENER, ROUTE, raw
from support.controlplane.plane import backend, health_of, in_consul, page, plane_config
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from meshwright.controlplane import Bound
    from support.consul.servers import ConsulServer


@pytest.fixture
async def bound(any_consul: ConsulServer) -> AsyncIterator[Bound]:
    async with (
        Consul(any_consul.config) as consul,
        backend("one") as one,
        backend("two", "other") as two,
        in_consul(consul, one, two),
        serving(plane_config(any_consul.config)) as made,
    ):

        async def known() -> bool:
            status, document = await page(made.debug, "/debug/snapshot")
            return status == 200 and set(document["resources"]["listener"]) == {"calc", "other"}

        await eventually(known)
        yield made


async def test_the_snapshot_can_be_read_and_narrowed_to_a_service_and_a_type(bound: Bound) -> None:
    _, document = await page(bound.debug, "/debug/snapshot?service=calc")
    assert {kind: list(found) for kind, found in document["resources"].items()} == {
        "listener": ["calc"],
        "route": ["calc"],
        "cluster": ["calc.default.dc1"],
        "endpoints": ["calc.default.dc1"],
    }
    cluster = document["resources"]["cluster"]["calc.default.dc1"]
    assert len(cluster["version"]) == 16
    assert cluster["content"]["type"] == "EDS"
    _, document = await page(bound.debug, "/debug/snapshot?type=route")
    assert list(document["resources"]) == ["route"]
    _, document = await page(bound.debug, "/debug/snapshot?node=envoy")
    assert list(document["resources"]["listener"]) == ["ingress"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("type=routes", "type: expected one of listener, route, cluster, endpoints, not 'routes'"),
        ("node=nginx", "node: expected one of grpc, envoy, not 'nginx'"),
        ("skew=soon", "skew: expected milliseconds from 0 to 5000, not 'soon'"),
        ("skew=99999999999999999999", "skew: expected milliseconds from 0 to 5000, not '99999999999999999999'"),
        ("skew=%C2%B2", "skew: expected milliseconds from 0 to 5000, not '²'"),
    ],
)
async def test_a_wrong_query_is_refused_with_the_reason(bound: Bound, query: str, message: str) -> None:
    status, document = await page(bound.debug, f"/debug/snapshot?{query}")
    assert status == 400
    assert message in document["error"]


async def test_what_is_told_depends_on_the_place_of_the_caller(any_consul: ConsulServer, bound: Bound) -> None:
    async with (
        Consul(any_consul.config) as consul,
        backend("in-a", "near", {"region": "eu", "zone": "a"}) as one,
        backend("in-b", "near", {"region": "eu", "zone": "b"}) as two,
        in_consul(consul, one, two),
    ):
        await consul.kv_put("meshwright/policy/near", b'{"prioritize_by_locality": "failover"}')

        async def told(query: str) -> list[tuple[str, int]]:
            _, document = await page(bound.debug, f"/debug/snapshot?service=near&type=endpoints&{query}")
            found = document["resources"]["endpoints"].get("near.default.dc1", {"content": {}})["content"]
            return [(each["locality"]["zone"], each.get("priority", 0)) for each in found.get("endpoints", ())]

        async def nearest_first() -> bool:
            return await told("region=eu&zone=b") == [("b", 0), ("a", 1)]

        await eventually(nearest_first)
        assert await told("region=eu&zone=a") == [("a", 0), ("b", 1)]
        assert await told("") == await told("zone=a") == [("a", 0), ("b", 0)]
        dump = await inspect.dump(bound.xds, "near", place=Place("eu", "b"))
        (assignment,) = [each.content for each in dump.resources if each.type == "endpoints"]
        assert [each["locality"]["zone"] for each in assignment["endpoints"]] == ["b", "a"]
        await consul.kv_delete("meshwright/policy/near")


async def test_streams_show_who_asked_for_what_and_what_was_refused(bound: Bound) -> None:
    async with grpc.aio.insecure_channel(str(bound.xds)) as channel:
        call = channel.stream_stream(METHOD)()
        await call.write(raw(LISTENER.value, ["calc"], node="me", **{"meshwright.timeout_skew_ms": 1234}))
        await call.read()
        refusal = (
            raw(LISTENER.value, ["calc"])
            + bytes([5 << 3 | 2, 1])
            + b"1"
            + bytes([6 << 3 | 2, 4, 2 << 3 | 2, 2])
            + b"no"
        )
        await call.write(refusal)

        async def refused() -> bool:
            (stream,) = (await page(bound.debug, "/debug/streams"))[1]["streams"]
            return bool(stream["types"]["listener"]["nack"])

        await eventually(refused)
        (stream,) = (await page(bound.debug, "/debug/streams"))[1]["streams"]
        assert stream["node"] == {"id": "me", "cluster": "", "agent": "test", "kind": "grpc"}
        assert stream["locality"] == {"region": "", "zone": ""}
        assert stream["timeout_skew_ms"] == 1234
        listener = stream["types"]["listener"]
        assert listener["names"] == ["calc"]
        assert listener["nack"]["message"] == "no"
        assert listener["nack"]["version"] == listener["sent"] != ""
        assert listener["acked"] == ""
        _, document = await page(bound.debug, "/debug/problems")
        assert document["refused"] == [{"node": "me", "type": "listener", "message": "no"}]
        call.cancel()


async def test_clients_whose_timeouts_are_not_exact_are_named(any_consul: ConsulServer, bound: Bound) -> None:
    node = DiscoveryRequest(type_url=ROUTE.value, resource_names=["calc", "other"])
    node.node.id, node.node.user_agent_name = "plain", "gRPC C-core linux PHP"
    async with grpc.aio.insecure_channel(str(bound.xds)) as channel, Consul(any_consul.config) as consul:
        call = channel.stream_stream(METHOD)()
        await call.write(node.SerializeToString())
        await call.read()
        (stream,) = (await page(bound.debug, "/debug/streams"))[1]["streams"]
        assert (stream["timeout_skew_ms"], stream["timeout_skew_assumed"]) == (2000, True)
        assert (await page(bound.debug, "/debug/problems"))[1]["clients"] == []
        await consul.kv_put("meshwright/policy/calc", b'{"timeout": "1s"}')

        async def named() -> list[dict[str, Any]]:
            return list((await page(bound.debug, "/debug/problems"))[1]["clients"])

        (client,) = await eventually(named)
        assert (client["node"], client["agent"], client["services"]) == ("plain", "gRPC C-core linux PHP", ["calc"])
        assert "timeout_skew_ms" in client["what"]
        assert "meshwright_ads_assumed_skews 1.0" in (await page(bound.debug, "/metrics"))[1]
        call.cancel()


async def test_metrics_tell_of_streams_pushes_and_the_sync(bound: Bound) -> None:
    async with grpc.aio.insecure_channel(str(bound.xds)) as channel:
        call = channel.stream_stream(METHOD)()
        await call.write(raw(CLUSTER.value, ["calc.default.dc1"], node="me"))
        await call.read()

        async def counted() -> str:
            # A response is counted after it was written, which the reader may see first.
            _, text = await page(bound.debug, "/metrics")
            return text if 'meshwright_ads_responses_total{type="cluster"} 1.0' in text else ""

        text = await eventually(counted)
        call.cancel()
    for line in (
        'meshwright_ads_streams{kind="grpc"} 1.0',
        'meshwright_ads_responses_total{type="cluster"} 1.0',
        'meshwright_ads_requests_total{receipt="subscribed"} 1.0',
        "meshwright_consul_up 1.0",
        "meshwright_synced 1.0",
        "meshwright_problems 0.0",
        "meshwright_translate_seconds_count",
        'meshwright_snapshot_info{version="',
    ):
        assert line in text


async def test_health_reflection_and_channelz_are_served(bound: Bound) -> None:
    assert await health_of(bound.xds) == await health_of(bound.xds, SERVICE) == 1
    assert (await page(bound.debug, "/healthz"))[0] == (await page(bound.debug, "/readyz"))[0] == 200
    async with grpc.aio.insecure_channel(str(bound.xds)) as channel:
        servers = await channelz_pb2_grpc.ChannelzStub(channel).GetServers(channelz_pb2.GetServersRequest())
        assert len(servers.server) >= 1
        info = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
        await info.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        listed = {service.name for service in (await info.read()).list_services_response.service}
        assert SERVICE in listed
        info.cancel()


async def test_two_replicas_that_read_apart_say_the_same(any_consul: ConsulServer, bound: Bound) -> None:
    async with serving(plane_config(any_consul.config)) as other:

        async def ready() -> bool:
            return (await page(other.debug, "/readyz"))[0] == 200

        await eventually(ready)
        for query in ("", "?node=envoy", "?skew=1500"):
            pages = [(await page(each.debug, f"/debug/snapshot{query}"))[1] for each in (bound, other)]
            assert pages[0] == pages[1]
        assert await inspect.dump(bound.xds, "calc") == await inspect.dump(other.xds, "calc")
