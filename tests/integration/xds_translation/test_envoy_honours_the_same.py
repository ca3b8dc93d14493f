"""A real Envoy as ingress: the same control plane, the same policies, for callers that do not speak xDS."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from integration.xds_translation.translated import PATH, UNTIMED, backends
from meshwright.controlplane.model.catalog import Target, targets
from meshwright.model import Address, Health, ServiceName
from support.consul.chains import ALL, V1, V2, all_newer, chain_of, recorded
from support.servers.envoy import NO_ENVOY, Envoy, envoy, find_envoy
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from integration.xds_translation.translated import ControlPlane

OTHER = Target(ServiceName("other"))
RESERVE = Target(ServiceName("user-reserve"))

pytestmark = pytest.mark.skipif(find_envoy() is None, reason=NO_ENVOY)


@contextlib.asynccontextmanager
async def ingress(plane: ControlPlane, folder: Path) -> AsyncIterator[Envoy]:
    async with envoy(Address.parse(plane.address), folder) as running:
        yield running
        assert plane.nacks() == [], running.process.tail()


@contextlib.asynccontextmanager
async def dialled(running: Envoy, authority: str) -> AsyncIterator[Any]:
    options = [("grpc.default_authority", authority), ("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(str(running.ingress), options=options) as channel:
        yield channel


async def call(channel: Any, path: str = PATH, *, timeout: float = 10, **metadata: str) -> str:
    """Who answered, or the status."""
    pairs = [(key.replace("_", "-"), value) for key, value in metadata.items()]
    try:
        answer = await channel.unary_unary(path)(b"", timeout=timeout, metadata=pairs, wait_for_ready=True)
    except grpc.aio.AioRpcError as error:
        return str(error.code().name)
    return str(answer.decode())


async def test_callers_find_a_service_by_authority_and_by_path(plane: ControlPlane, tmp_path: Path) -> None:
    async with backends("a", "b") as (a, b):
        instances = {ALL: [a.instance(api="demo.user.v1")], OTHER: [b.instance("other")]}
        plane.publish(recorded("grpc"), chain_of("other"), instances=instances)
        async with ingress(plane, tmp_path) as running:
            async with dialled(running, "user") as channel:
                await eventually(lambda: _is(call(channel), "a"))
            async with dialled(running, "other:8080") as channel:
                assert await call(channel) == "b"
            async with dialled(running, "gateway.example.org") as channel:
                assert await call(channel) == "a"
                assert await call(channel, "/nobody.v1.Service/Do") == "UNIMPLEMENTED"


async def _is(outcome: Any, expected: str) -> bool:
    return bool(await outcome == expected)


async def test_splits_headers_timeouts_and_endpoint_changes_are_honoured(plane: ControlPlane, tmp_path: Path) -> None:
    async with backends("v1", "v2", "v3") as (v1, v2, v3):
        plane.publish(recorded("router_split"), instances={V1: [v1.instance()], V2: [v2.instance()]})
        async with ingress(plane, tmp_path) as running, dialled(running, "user") as channel:
            await eventually(lambda: _is(call(channel, x_version="v2"), "v2"))
            found = Counter([await call(channel, UNTIMED) for _ in range(500)])
            assert found.keys() == {"v1", "v2"}
            assert 20 <= found["v2"] <= 90
            v2.released.clear()
            began = time.monotonic()
            assert await call(channel, x_version="v2") == "DEADLINE_EXCEEDED"
            assert 1.95 <= time.monotonic() - began <= 2.95  # the correction that gRPC needs would be a second at least
            v2.released.set()
            plane.publish(instances={V1: [v1.instance()], V2: [v3.instance()]})
            await eventually(lambda: _is(call(channel, x_version="v2"), "v3"))


async def test_policies_mean_to_envoy_what_they_mean_to_grpc(plane: ControlPlane, tmp_path: Path) -> None:
    policy = {
        "load_balancing": {"policy": "ring_hash", "hash_on_header": "x-user"},
        "outlier_detection": {},
        "max_concurrent_requests": 10,
        "faults": [{"headers": [{"name": "x-chaos", "exact": "on"}], "abort": {"status": "NOT_FOUND"}}],
    }
    async with backends("a", "b") as (a, b):
        plane.publish(recorded("grpc"), instances={ALL: [a.instance(), b.instance()]}, policies={"user": policy})
        async with ingress(plane, tmp_path) as running, dialled(running, "user") as channel:
            await eventually(lambda: _is(call(channel, x_chaos="on"), "NOT_FOUND"))
            homes = set()
            for number in range(10):
                answers = {await call(channel, x_user=f"user-{number}") for _ in range(5)}
                assert len(answers) == 1
                homes |= answers
            assert homes == {"a", "b"}
            a.fail_next = b.fail_next = 1
            assert await call(channel, x_user="user-1") in homes


async def test_what_grpc_cannot_match_an_envoy_can(plane: ControlPlane, tmp_path: Path) -> None:
    async with backends("v1", "v2") as (v1, v2):
        plane.publish(recorded("router_beyond_grpc"), instances={V1: [v1.instance()], V2: [v2.instance()]})
        async with ingress(plane, tmp_path) as running, dialled(running, "user") as channel:
            await eventually(lambda: _is(call(channel), "v1"))
            assert await call(channel, f"{PATH}?debug=1") == "v2"
            assert await call(channel, "/old.UserService/GetUser") == "v1"
            assert v1.paths[-1] == PATH


async def test_envoy_fails_over_and_comes_back(plane: ControlPlane, tmp_path: Path) -> None:
    async with backends("first", "reserve") as (first, reserve):
        behind = {RESERVE: [reserve.instance("user-reserve")]}
        plane.publish(recorded("failover"), instances={V1: [first.instance()], **behind})
        async with ingress(plane, tmp_path) as running, dialled(running, "user") as channel:
            await eventually(lambda: _is(call(channel), "first"))
            assert {await call(channel) for _ in range(30)} == {"first"}
            plane.publish(instances={V1: [first.instance(health=Health.CRITICAL)], **behind})
            await eventually(lambda: _is(call(channel), "reserve"))
            plane.publish(instances={V1: [first.instance()], **behind})
            await eventually(lambda: _is(call(channel), "first"))


async def test_an_envoy_takes_everything_that_newer_consuls_compile(plane: ControlPlane, tmp_path: Path) -> None:
    chains = all_newer()
    async with backends("a") as (a,):
        wanted = {target for chain in chains for target in targets(chain)}
        plane.publish(*chains, instances={key: [a.instance()] for key in wanted})
        async with ingress(plane, tmp_path) as running:
            async with dialled(running, "router") as channel:
                await eventually(lambda: _is(call(channel), "a"))
            async with dialled(running, "split") as channel:
                assert await call(channel, x_user_id="1") == "a"
