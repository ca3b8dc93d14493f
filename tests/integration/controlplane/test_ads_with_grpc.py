"""The ADS server with real gRPC clients: no Consul, the test publishes."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from typing import TYPE_CHECKING

import grpc
import pytest

from meshwright.controlplane.admin import inspect
from meshwright.controlplane.model.resource_table import ResourceTable
from meshwright.controlplane.model.snapshot import NodeKind, NodeProfile, ResourceType, Snapshot, pack
from meshwright.controlplane.translation.translator import Translator
from meshwright.controlplane.xds.server import METHOD
from meshwright.controlplane.xds.unserved import MAX_TYPES
from meshwright.errors import UnreachableError
from meshwright.messages.xds import Cluster, DiscoveryRequest, DiscoveryResponse
from meshwright.model import Address
from support.controlplane.ads import CLUSTER, ENDPOINTS, ROUTE, raw
from support.controlplane.plane import FedAds, Services, answered_by, backend, caller, fed_ads
from support.mesh.mesh import failures
from support.processes import promised_port
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def fed() -> AsyncIterator[FedAds]:
    async with fed_ads() as made:
        yield made


@pytest.fixture
async def channel(fed: FedAds) -> AsyncIterator[grpc.aio.Channel]:
    # A window of fixed size: gRPC widens it by what it measures, and how much a reader that takes nothing is sent
    # would depend on how busy the machine is.
    options = [("grpc.http2.bdp_probe", 0)]
    async with grpc.aio.insecure_channel(str(fed.address), options=options) as made:
        yield made


async def test_a_client_finds_instances_and_follows_their_coming_and_going(fed: FedAds, tmp_path: Path) -> None:
    async with backend("one") as one, backend("two") as two, caller("xds:///calc", tmp_path, fed.address) as client:
        fed.ads.publish(Translator().translate(Services().add(one).catalog()))
        assert set(answered_by(await client.call(4))) == {"one"}
        fed.ads.publish(Translator().translate(Services().add(one, two).catalog()))

        async def both() -> bool:
            return set(answered_by(await client.call(4))) == {"one", "two"}

        await eventually(both)
        fed.ads.publish(Translator().translate(Services().add(two).catalog()))

        async def only_two() -> bool:
            return set(answered_by(await client.call(4))) == {"two"}

        await eventually(only_two)


async def test_an_unknown_service_fails_in_under_100_ms_and_works_when_it_comes(fed: FedAds, tmp_path: Path) -> None:
    fed.ads.publish(Translator().translate(Services().catalog()))
    async with backend("one") as one, caller("xds:///calc", tmp_path, fed.address) as client:
        (first, second) = await client.call(2)
        assert {first.code, second.code} == {"UNAVAILABLE"}
        assert first.seconds < 0.1
        assert second.seconds < 0.1
        fed.ads.publish(Translator().translate(Services().add(one).catalog()))

        async def works() -> bool:
            return not failures(await client.call(1))

        await eventually(works)


@pytest.mark.parametrize("wait", [True, False])
async def test_a_client_that_comes_before_the_first_snapshot_waits_for_it(
    fed: FedAds, tmp_path: Path, wait: bool
) -> None:
    async with backend("one") as one, caller("xds:///calc", tmp_path, fed.address) as client:
        pending = asyncio.create_task(client.call(1, wait_for_ready=wait))
        await eventually(lambda: len(fed.ads.cache.streams) == 1)
        assert not pending.done()
        fed.ads.publish(Translator().translate(Services().add(one).catalog()))
        assert not failures(await pending)


async def test_a_service_that_goes_and_comes_again_on_the_same_stream_is_answered_again(
    fed: FedAds, tmp_path: Path
) -> None:
    async with backend("one") as one, caller("xds:///calc", tmp_path, fed.address) as client:
        catalogs = Services().add(one).catalog(), Services().catalog()
        there, gone = (Translator().translate(each) for each in catalogs)

        async def works() -> bool:
            return not failures(await client.call(1))

        async def fails() -> bool:
            return bool(failures(await client.call(1)))

        fed.ads.publish(there)
        await eventually(works)
        (stream,) = fed.ads.cache.streams
        for _ in range(3):
            fed.ads.publish(gone)
            await eventually(fails)
            await eventually(lambda: not stream.types[ROUTE].names)
            fed.ads.publish(there)
            await eventually(works, timeout=3)
        assert fed.ads.cache.streams == (stream,)


def with_bad_cluster(snapshot: Snapshot, name: str) -> Snapshot:
    """The same snapshot, but for one cluster with a policy that gRPC refuses."""
    node_profile = NodeProfile(NodeKind.GRPC, timeout_skew_ms=1500)
    view = {kind: dict(resources) for kind, resources in snapshot.view(node_profile).items()}
    good = view[CLUSTER][name]
    message = Cluster(name=name, type=Cluster.EDS, lb_policy=Cluster.MAGLEV)
    message.eds_cluster_config.eds_config.ads.SetInParent()
    view[CLUSTER][name] = dataclasses.replace(pack(CLUSTER, name, message), name=good.name)
    tables = {kind: ResourceTable(resources) for kind, resources in view.items()}
    return Snapshot("doctored", (), lambda _: tables)


async def test_a_refused_resource_harms_no_other_and_is_visible(fed: FedAds, tmp_path: Path, caplog: object) -> None:
    async with (
        backend("one") as one,
        backend("two", "other") as two,
        caller("xds:///calc", tmp_path, fed.address) as bad,
        caller("xds:///other", tmp_path, fed.address) as good,
    ):
        services = Services().add(one, two)
        sound = Translator().translate(services.catalog())
        fed.ads.publish(with_bad_cluster(sound, "calc.default.dc1"))
        assert not failures(await good.call(1, wait_for_ready=True))
        assert set(failures(await bad.call(1))) != set()
        nacks = [stream.types[CLUSTER].nack for stream in fed.ads.cache.streams if CLUSTER in stream.types]
        assert [nack.message for nack in nacks if nack and "calc.default.dc1" in nack.message] != []
        assert fed.metrics.registry.get_sample_value("meshwright_ads_nacks_total", {"type": "cluster"}) == 1
        assert fed.metrics.registry.get_sample_value("meshwright_ads_nacks_total", {"type": "route"}) == 0
        assert fed.metrics.registry.get_sample_value("meshwright_ads_refusing_streams", {"type": "cluster"}) == 1
        fed.ads.publish(sound)

        async def mended() -> bool:
            return not failures(await bad.call(1))

        await eventually(mended)
        assert all(not state.nack for stream in fed.ads.cache.streams for state in stream.types.values())
        assert fed.metrics.registry.get_sample_value("meshwright_ads_refusing_streams", {"type": "cluster"}) == 0


async def test_when_a_good_resource_turns_bad_clients_keep_the_good_one(fed: FedAds, tmp_path: Path) -> None:
    async with backend("one") as one, caller("xds:///calc", tmp_path, fed.address) as client:
        sound = Translator().translate(Services().add(one).catalog())
        fed.ads.publish(sound)
        assert not failures(await client.call(10, wait_for_ready=True))
        fed.ads.publish(with_bad_cluster(sound, "calc.default.dc1"))
        await eventually(lambda: any(s.types[CLUSTER].nack for s in fed.ads.cache.streams if CLUSTER in s.types))
        assert not failures(await client.call(50))


async def test_two_control_planes_say_the_same_versions_and_a_client_moves_to_the_other(tmp_path: Path) -> None:
    async with fed_ads() as second, backend("one") as one, backend("two") as two, contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(fed_ads())
        for each in (first, second):
            each.ads.publish(Translator().translate(Services().add(one).catalog()))
        dumps = [await inspect.dump(each.address, "calc") for each in (first, second)]
        assert dumps[0] == dumps[1]
        async with caller("xds:///calc", tmp_path, first.address, second.address) as client:
            assert not failures(await client.call(5, wait_for_ready=True))
            assert second.ads.cache.streams == ()
            await client.start(workers=4)
            await stack.aclose()
            await eventually(lambda: second.ads.cache.streams != (), timeout=20)
            second.ads.publish(Translator().translate(Services().add(one, two).catalog()))

            async def both() -> bool:
                await client.made(10)
                return second.ads.cache.streams[0].types[ENDPOINTS].acked != dumps[0].versions["endpoints"]

            await eventually(both)
            outcomes = await client.stop()
            assert not failures(outcomes)
            assert set(answered_by(await client.call(10))) == {"one", "two"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff\xff garbage", "is not a DiscoveryRequest"),
        (raw(CLUSTER.value, ["a"]), "node: is required in the first request"),
        (raw("", node="n"), "type_url: is required"),
        (raw(CLUSTER.value, node="n", **{"meshwright.timeout_skew_ms": 1e9}), "expected a number from 0 to 5000"),
    ],
)
async def test_garbage_is_refused_with_the_reason_and_harms_no_other_stream(
    fed: FedAds, channel: grpc.aio.Channel, data: bytes, message: str
) -> None:
    fed.ads.publish(Translator().translate(Services().catalog()))
    other = channel.stream_stream(METHOD)()
    await other.write(raw(CLUSTER.value, ["a"], node="other"))
    await other.read()
    call = channel.stream_stream(METHOD)()
    await call.write(data)
    assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert message in (await call.details() or "")
    await other.write(raw(ENDPOINTS.value, ["b"]))
    assert DiscoveryResponse.FromString(await other.read()).type_url == ENDPOINTS.value
    await eventually(lambda: len(fed.ads.cache.streams) == 1)
    other.cancel()


RUNTIME = "type.googleapis.com/envoy.service.runtime.v3.Runtime"


async def test_a_type_that_is_not_served_is_answered_empty_and_the_stream_goes_on(
    fed: FedAds, channel: grpc.aio.Channel, caplog: pytest.LogCaptureFixture
) -> None:
    call = channel.stream_stream(METHOD)()
    await call.write(raw(RUNTIME, ["one"], node="n"))
    answer = DiscoveryResponse.FromString(await call.read())
    assert (answer.type_url, list(answer.resources)) == (RUNTIME, [])
    assert answer.nonce
    assert answer.version_info
    acknowledgement = DiscoveryRequest(type_url=RUNTIME, resource_names=["one"], response_nonce=answer.nonce)
    await call.write(acknowledgement.SerializeToString())
    fed.ads.publish(Translator().translate(Services().catalog()))
    await call.write(raw(CLUSTER.value, ["a"]))
    assert DiscoveryResponse.FromString(await call.read()).type_url == CLUSTER.value
    acknowledgement.resource_names.append("two")
    await call.write(acknowledgement.SerializeToString())
    assert DiscoveryResponse.FromString(await call.read()).type_url == RUNTIME
    assert caplog.text.count("type that is not served") == 1
    call.cancel()


async def test_types_without_end_are_refused(channel: grpc.aio.Channel) -> None:
    call = channel.stream_stream(METHOD)()
    for number in range(MAX_TYPES + 1):
        await call.write(raw(f"type.googleapis.com/x.T{number}", node="n"))
        if number < MAX_TYPES:
            await call.read()
    assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "one type too many" in await call.details()


@pytest.mark.parametrize(
    "method",
    [
        "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
        "/envoy.service.discovery.v2.AggregatedDiscoveryService/StreamAggregatedResources",
        "/envoy.service.cluster.v3.ClusterDiscoveryService/StreamClusters",
        "/envoy.service.endpoint.v3.EndpointDiscoveryService/FetchEndpoints",
        "/envoy.service.load_stats.v3.LoadReportingService/StreamLoadStats",
        "/envoy.api.v2.ClusterDiscoveryService/DeltaClusters",
    ],
)
async def test_other_variants_of_the_protocol_end_with_what_to_use_instead(
    channel: grpc.aio.Channel, method: str
) -> None:
    call = channel.stream_stream(method)()
    assert await call.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "state of the world only" in await call.details()
    assert "not DELTA_GRPC" in await call.details()


async def test_a_method_outside_of_xds_is_not_found(channel: grpc.aio.Channel) -> None:
    call = channel.stream_stream("/other.Service/Method")()
    assert await call.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "state of the world" not in await call.details()


async def test_what_a_client_writes_is_one_short_line_in_the_log(
    fed: FedAds, channel: grpc.aio.Channel, caplog: pytest.LogCaptureFixture
) -> None:
    fed.ads.publish(Translator().translate(Services().catalog()))
    call = channel.stream_stream(METHOD)()
    await call.write(raw(CLUSTER.value, ["a"], node="n\nforged"))
    answer = DiscoveryResponse.FromString(await call.read())
    refusal = DiscoveryRequest(type_url=CLUSTER.value, response_nonce=answer.nonce)
    refusal.error_detail.message = "first\nsecond " + "x" * 100_000
    await call.write(refusal.SerializeToString())
    await eventually(lambda: "refused a cluster response" in caplog.text)
    (record,) = [record for record in caplog.records if "refused a cluster" in record.getMessage()]
    assert "node n forged refused a cluster response: first second xx" in record.getMessage()
    assert len(record.getMessage()) < 500
    (stream,) = fed.ads.cache.streams
    nack = stream.types[CLUSTER].nack
    assert nack
    assert 10_000 < len(nack.message) < 20_000
    call.cancel()


async def test_a_node_is_known_by_its_first_request_even_for_an_unserved_type(
    fed: FedAds, channel: grpc.aio.Channel
) -> None:
    fed.ads.publish(Translator().translate(Services().catalog()))
    call = channel.stream_stream(METHOD)()
    await call.write(raw(RUNTIME, node="n"))
    await call.write(raw(CLUSTER.value, ["a"]))
    assert DiscoveryResponse.FromString(await call.read()).type_url == RUNTIME
    assert DiscoveryResponse.FromString(await call.read()).type_url == CLUSTER.value
    assert [stream.node.id for stream in fed.ads.cache.streams] == ["n"]
    call.cancel()


async def test_an_oversized_request_ends_its_own_stream_only(fed: FedAds, channel: grpc.aio.Channel) -> None:
    call = channel.stream_stream(METHOD)()
    await call.write(raw(CLUSTER.value, ["x" * 5_000_000], node="n"))
    assert await call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert fed.ads.cache.streams == ()


async def test_a_reader_that_takes_nothing_holds_up_no_other_and_gets_the_newest_at_last(
    fed: FedAds, channel: grpc.aio.Channel
) -> None:
    async with backend("one") as one, backend("two") as two:
        services = [Services().add(one), Services().add(one, two)]
        for each in services:
            for number in range(2000):
                each.add(dataclasses.replace(one, service=f"service-{number:04}"))
        # Two sizes of everything, so that each publication changes 2,001 clusters' endpoints: some 300 kB.
        for number in range(2000):
            services[1].add(dataclasses.replace(two, service=f"service-{number:04}"))
        snapshots = [Translator().translate(each.catalog()) for each in services]
        names = [f"service-{number:04}.default.dc1" for number in range(2000)]
        fed.ads.publish(snapshots[0])
        slow, quick = (channel.stream_stream(METHOD)() for _ in range(2))
        for call in (slow, quick):
            await call.write(raw(ENDPOINTS.value, names, node="n"))
        await eventually(lambda: len(fed.ads.cache.streams) == 2)
        began = time.monotonic()
        for turn in range(1, 60):
            fed.ads.publish(snapshots[turn % 2])
            answer = DiscoveryResponse.FromString(await quick.read())
            assert len(answer.resources) == 2000
        assert time.monotonic() - began < 30
        # Which of the two came first is not known; the quick one was sent all sixty.
        sent = min(int(stream.types[ENDPOINTS].nonce) for stream in fed.ads.cache.streams)
        assert sent < 50
        services[1].add(dataclasses.replace(two, service="service-0000", id="three"))
        final = Translator().translate(services[1].catalog())
        fed.ads.publish(final)
        versions = []
        async for data in slow:
            versions.append(DiscoveryResponse.FromString(data).version_info)
            if len(versions) > 1 and versions[-1] == _version_of(fed):
                break
        assert len(versions) <= sent + 2
        for call in (slow, quick):
            call.cancel()


def _version_of(fed: FedAds) -> str:
    assert fed.ads.cache.snapshot is not None
    profile = fed.ads.cache.streams[0].node.node_profile
    return fed.ads.cache.snapshot.view(profile)[ENDPOINTS].version


async def test_a_stop_tells_clients_to_go_elsewhere(tmp_path: Path) -> None:
    async with fed_ads() as fed:
        fed.ads.publish(Translator().translate(Services().catalog()))
        channel = grpc.aio.insecure_channel(str(fed.address))
        call = channel.stream_stream(METHOD)()
        await call.write(raw(CLUSTER.value, ["a"], node="n"))
        await call.read()
        await fed.ads.stop()
        assert await call.code() is grpc.StatusCode.UNAVAILABLE
        assert "stopping" in (await call.details() or "")
        assert fed.ads.cache.streams == ()
        await channel.close()


async def test_what_a_client_is_told_can_be_dumped(fed: FedAds) -> None:
    async with backend("one") as one:
        fed.ads.publish(Translator().translate(Services().add(one).catalog()))
        dump = await inspect.dump(fed.address, "calc")
        assert dump.known
        assert [shown.type for shown in dump.resources] == ["listener", "route", "cluster", "endpoints"]
        assert str(one.address.port) in dump.resources[-1].text
        assert not (await inspect.dump(fed.address, "nobody")).known
    await eventually(lambda: fed.ads.cache.streams == ())


async def test_a_service_that_vanishes_is_watched_to_its_end_and_back(fed: FedAds) -> None:
    async with backend("one") as one:
        translator = Translator()
        known = translator.translate(Services().add(one).catalog())
        gone = translator.translate(Services().catalog())
        fed.ads.publish(known)
        changes = inspect.watch(fed.address, "calc")
        every = {"listener", "route", "cluster", "endpoints"}
        assert {(await anext(changes)).type for _ in every} == every
        for state, words in ((gone, {"removed", "changed"}), (known, {"added", "changed"})):
            fed.ads.publish(state)
            seen = set()
            while not {"cluster", "endpoints"} <= seen:
                change = await asyncio.wait_for(anext(changes), 10)
                assert change.what in words
                seen.add(change.type)
        await changes.aclose()


async def test_what_a_client_is_told_can_be_watched(fed: FedAds) -> None:
    async with backend("one") as one, backend("two") as two:
        fed.ads.publish(Translator().translate(Services().add(one).catalog()))
        changes = inspect.watch(fed.address, "calc")
        first = [await anext(changes) for _ in range(4)]
        assert [(change.what, change.type) for change in first] == [
            ("added", "listener"),
            ("added", "route"),
            ("added", "cluster"),
            ("added", "endpoints"),
        ]
        fed.ads.publish(Translator().translate(Services().add(one, two).catalog()))
        change = await anext(changes)
        assert (change.what, change.type) == ("changed", "endpoints")
        assert any(line.startswith("+") and str(two.address.port) in line for line in change.diff)
        await changes.aclose()


async def test_a_watch_goes_on_when_the_control_plane_comes_back(tmp_path: Path) -> None:
    port = promised_port()
    async with backend("one") as one, backend("two") as two:
        async with fed_ads(port) as fed:
            fed.ads.publish(Translator().translate(Services().add(one).catalog()))
            changes = inspect.watch(fed.address, "calc")
            for _ in range(4):
                assert (await anext(changes)).what == "added"
        pending = asyncio.ensure_future(anext(changes))
        async with fed_ads(port) as fed:
            fed.ads.publish(Translator().translate(Services().add(two).catalog()))
            change = await pending
            assert (change.what, change.type) == ("changed", "endpoints")
            await changes.aclose()


async def test_a_dump_of_a_control_plane_that_is_not_there_says_so() -> None:
    with pytest.raises(UnreachableError, match=r"control plane at 127\.0\.0\.1:1"):
        await inspect.dump(Address("127.0.0.1", 1), "calc", timeout=2)


async def test_a_dump_of_a_control_plane_that_knows_nothing_yet_says_so(fed: FedAds) -> None:
    with pytest.raises(UnreachableError, match="no answer in time"):
        await inspect.dump(fed.address, "calc", timeout=0.2)


async def test_requests_in_a_burst_are_each_understood(fed: FedAds, channel: grpc.aio.Channel) -> None:
    fed.ads.publish(Translator().translate(Services().catalog()))
    call = channel.stream_stream(METHOD)()
    for kind in ResourceType:
        await call.write(raw(kind.value, ["a"], node="n"))
    kinds = {DiscoveryResponse.FromString(await call.read()).type_url for _ in ResourceType}
    assert kinds == {kind.value for kind in ResourceType}
    await call.write(DiscoveryRequest(type_url=CLUSTER.value).SerializeToString())
    call.cancel()
