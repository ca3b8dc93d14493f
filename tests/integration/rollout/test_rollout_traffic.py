"""Routings written to a Consul, the real one and the dev Consul: what it compiles of them, and what it keeps."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from meshwright.consul import Consul, Registration
from meshwright.errors import UnreachableError
from meshwright.model import Address, Health, InstanceId, ServiceName
from meshwright.rollout.adapters import ConsulTraffic
from meshwright.rollout.api.routing import HeaderMatch, HeaderRoute, Routing
from meshwright.rollout.reconcile.config_entries import ForeignTrafficError
from support.kubernetes.rollouts import rollout

if TYPE_CHECKING:
    from support.consul.servers import ConsulServer

SPLIT = Routing({"1.0.0": 90, "2.0.0": 10})
TESTERS = HeaderRoute("testers", "2.0.0", (HeaderMatch("x-tester", exact="yes"), HeaderMatch("x-team", prefix="a")))
REGEX = HeaderRoute("regex", "2.0.0", (HeaderMatch("x-user", regex="t.*"),))
ROUTED = Routing({"1.0.0": 100}, (TESTERS, REGEX))
THEIRS: dict[str, Any] = {
    "Match": {"HTTP": {"PathPrefix": "/demo.user.v1.UserService/"}},
    "Destination": {"RequestTimeout": "2s", "NumRetries": 3},
}


def entry(found: dict[str, Any] | None) -> dict[str, Any]:
    assert found is not None
    return {key: value for key, value in found.items() if not key.endswith("Index")}


def splits(chain: dict[str, Any]) -> dict[str, float]:
    nodes = [node for node in chain["Nodes"].values() if node["Type"] == "splitter"]
    assert len(nodes) == 1
    return {split["NextNode"]: split["Weight"] for split in nodes[0]["Splits"]}


async def test_the_compiled_chain_shows_the_split(any_consul: ConsulServer) -> None:
    async with Consul(any_consul.config) as consul:
        traffic = ConsulTraffic(consul)
        await traffic.route(rollout(), SPLIT)
        chain = (await consul.discovery_chain("user")).value
        assert splits(chain) == {
            "resolver:v1-0-0.user.default.dc1": 90,
            "resolver:v2-0-0.user.default.dc1": 10,
        }
        filters = {name: target["Subset"].get("Filter") for name, target in chain["Targets"].items()}
        assert filters["v2-0-0.user.default.dc1"] == 'Service.Meta.version == "2.0.0"'
        assert chain["Protocol"] == "grpc"
        assert (await traffic.observe(rollout())).routing == SPLIT


async def test_every_routing_is_read_back_as_it_was_written(any_consul: ConsulServer) -> None:
    async with Consul(any_consul.config) as consul:
        traffic = ConsulTraffic(consul)
        assert (await traffic.observe(rollout())).routing is None
        for routing in (Routing.all_to("1.0.0"), SPLIT, ROUTED, Routing({"2.0.0": 100}, (REGEX,)), SPLIT, ROUTED):
            await traffic.route(rollout(), routing)
            assert (await traffic.observe(rollout())).routing == routing


async def test_header_routes_stand_above_handwritten_routes_and_leave_them_alone(any_consul: ConsulServer) -> None:
    async with Consul(any_consul.config) as consul:
        traffic = ConsulTraffic(consul)
        await consul.put_config_entry({"Kind": "service-defaults", "Name": "user", "Protocol": "http2"})
        await consul.put_config_entry({"Kind": "service-router", "Name": "user", "Routes": [THEIRS]})
        theirs = entry(await consul.config_entry("service-router", "user"))["Routes"]
        await traffic.route(rollout(), ROUTED)
        routes = entry(await consul.config_entry("service-router", "user"))["Routes"]
        assert [route.get("Destination", {}).get("ServiceSubset") for route in routes] == ["v2-0-0", "v2-0-0", None]
        assert routes[2:] == theirs
        assert entry(await consul.config_entry("service-defaults", "user"))["Protocol"] == "http2"
        await traffic.route(rollout(), Routing.all_to("2.0.0"))
        assert entry(await consul.config_entry("service-router", "user"))["Routes"] == theirs


async def test_handwritten_subsets_stay_and_those_of_the_rollout_are_removed(any_consul: ConsulServer) -> None:
    async with Consul(any_consul.config) as consul:
        traffic = ConsulTraffic(consul)
        theirs = {"eu": {"Filter": 'Service.Meta.zone == "eu"'}}
        await consul.put_config_entry(
            {"Kind": "service-resolver", "Name": "user", "ConnectTimeout": "3s", "Subsets": theirs}
        )
        await traffic.route(rollout(), SPLIT)
        await traffic.route(rollout(), Routing.all_to("2.0.0"))
        found = entry(await consul.config_entry("service-resolver", "user"))
        assert set(found["Subsets"]) == {"eu", "v2-0-0"}
        assert found["ConnectTimeout"] == "3s"


async def test_release_takes_out_what_is_ours_and_nothing_else(any_consul: ConsulServer) -> None:
    async with Consul(any_consul.config) as consul:
        traffic = ConsulTraffic(consul)
        await consul.put_config_entry({"Kind": "service-defaults", "Name": "user", "Protocol": "grpc"})
        await consul.put_config_entry({"Kind": "service-router", "Name": "user", "Routes": [THEIRS]})
        before = entry(await consul.config_entry("service-router", "user"))
        await traffic.route(rollout(), ROUTED)
        await traffic.release(rollout())
        assert entry(await consul.config_entry("service-router", "user")) == before
        assert await consul.config_entry("service-splitter", "user") is None
        assert await consul.config_entry("service-resolver", "user") is None
        await traffic.release(rollout())


@pytest.mark.parametrize("kind", ["service-splitter", "service-router", "service-resolver"])
async def test_tampering_is_seen_and_put_right(any_consul: ConsulServer, kind: str) -> None:
    async with Consul(any_consul.config) as consul:
        traffic = ConsulTraffic(consul)
        await traffic.route(rollout(), ROUTED)
        found = entry(await consul.config_entry(kind, "user"))
        if kind == "service-splitter":
            found["Splits"] = [{"Weight": 50, "ServiceSubset": "v1-0-0"}, {"Weight": 50, "ServiceSubset": "v2-0-0"}]
        elif kind == "service-router":
            found["Routes"] = found["Routes"][1:]
        else:
            found["Subsets"]["v2-0-0"] = {"Filter": "Service.Meta.version == other"}
        await consul.put_config_entry(found)
        assert (await traffic.observe(rollout())).routing != ROUTED
        await traffic.route(rollout(), ROUTED)
        assert (await traffic.observe(rollout())).routing == ROUTED


async def test_writing_the_same_again_writes_nothing(any_consul: ConsulServer) -> None:
    async with Consul(any_consul.config) as consul:
        traffic = ConsulTraffic(consul)
        await traffic.route(rollout(), ROUTED)
        kinds = ("service-defaults", "service-resolver", "service-splitter", "service-router")
        before = [await consul.config_entry(kind, "user") for kind in kinds]
        await traffic.route(rollout(), ROUTED)
        assert [await consul.config_entry(kind, "user") for kind in kinds] == before


async def test_two_rollouts_do_not_share_a_service(any_consul: ConsulServer) -> None:
    async with Consul(any_consul.config) as consul:
        traffic = ConsulTraffic(consul)
        await traffic.route(rollout(), SPLIT)
        other = replace(rollout(), name="other")
        with pytest.raises(ForeignTrafficError, match="shop/user"):
            await traffic.observe(other)
        with pytest.raises(ForeignTrafficError):
            await traffic.route(other, SPLIT)


async def test_a_write_in_between_is_read_anew(any_consul: ConsulServer) -> None:
    """Another hand writes the splitter after it was read: check-and-set refuses ours, and the next round sees it."""
    async with Consul(any_consul.config) as consul:
        traffic = ConsulTraffic(consul)
        await traffic.route(rollout(), SPLIT)
        put = consul.put_config_entry
        interfered = []

        async def meddle(changed: Any, *, cas: int | None = None) -> bool:
            if not interfered:
                interfered.append(changed)
                theirs = entry(await consul.config_entry("service-splitter", "user"))
                theirs["Meta"]["note"] = "by hand"
                await put(theirs)
            return await put(changed, cas=cas)

        consul.put_config_entry = meddle  # type: ignore[method-assign]
        await traffic.route(rollout(), Routing({"1.0.0": 40, "2.0.0": 60}))
        found = entry(await consul.config_entry("service-splitter", "user"))
        assert found["Meta"]["note"] == "by hand"
        assert (await traffic.observe(rollout())).routing == Routing({"1.0.0": 40, "2.0.0": 60})


async def test_healthy_instances_are_counted_by_version(any_consul: ConsulServer) -> None:
    async with Consul(any_consul.config) as consul:
        for number, (version, health) in enumerate(
            [
                ("1.0.0", Health.PASSING),
                ("1.0.0", Health.PASSING),
                ("2.0.0", Health.PASSING),
                ("2.0.0", Health.CRITICAL),
            ]
        ):
            await consul.register(
                Registration(
                    InstanceId(f"user-{number}"),
                    ServiceName("user"),
                    Address("127.0.0.1", 40000 + number),
                    meta={"version": version},
                    check_interval=600.0,
                ),
                status=health,
            )
        seen = await ConsulTraffic(consul).observe(rollout())
        assert seen.healthy == {"1.0.0": 2, "2.0.0": 1}


async def test_a_consul_that_is_away_is_unreachable(any_consul: ConsulServer) -> None:
    async with Consul(any_consul.config) as consul:
        await any_consul.kill()
        with pytest.raises(UnreachableError):
            await ConsulTraffic(consul).observe(rollout())
