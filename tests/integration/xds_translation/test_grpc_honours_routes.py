"""What gRPC's own client does with the routes made from real discovery chains."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

from integration.xds_translation.translated import PATH, UNTIMED, answers, backends, client
from meshwright.controlplane.model.catalog import Target, targets
from meshwright.model import ServiceName
from support.consul.chains import ALL, V1, V2, all_newer, names, newer, recorded
from support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from integration.xds_translation.translated import Client, ControlPlane

CALCULATOR = Target(ServiceName("calculator"))


async def test_calls_to_a_plain_service_go_round_its_instances(plane: ControlPlane, caller: Client) -> None:
    async with backends("a", "b") as (a, b):
        plane.publish(recorded("plain"), instances={ALL: [a.instance(), b.instance()]})
        await eventually(lambda: _both_answered(caller))
        found = answers(await caller.call(100))
        assert found == {"a": 50, "b": 50}


async def _both_answered(caller: Client) -> bool:
    return len(answers(await caller.call(10))) == 2


async def test_a_split_gives_each_subset_its_share(plane: ControlPlane, caller: Client) -> None:
    async with backends("v1", "v2") as (v1, v2):
        instances = {V1: [v1.instance()], V2: [v2.instance()]}
        plane.publish(recorded("router_split"), instances=instances)
        found = answers(await caller.call(2000, concurrent=32, path=UNTIMED))
        assert found.keys() == {"v1", "v2"}
        assert 160 <= found["v2"] <= 240


async def test_a_share_of_a_twentieth_of_a_per_cent_gets_calls(plane: ControlPlane, caller: Client) -> None:
    chain = recorded("split")
    async with backends("v1", "v2") as (v1, v2):
        plane.publish(chain, instances={V1: [v1.instance()], V2: [v2.instance()]})
        await eventually(lambda: _reached(caller, "v2"), timeout=60)


async def _reached(caller: Client, name: str) -> bool:
    return name in answers(await caller.call(2000, concurrent=64))


async def test_weights_flip_without_a_failed_call(plane: ControlPlane, caller: Client) -> None:
    chain = recorded("zero_split")
    splits = next(node for node in chain["Nodes"].values() if node["Type"] == "splitter")["Splits"]
    flipped = recorded("zero_split")
    flipped_splits = next(node for node in flipped["Nodes"].values() if node["Type"] == "splitter")["Splits"]
    flipped_splits[0]["NextNode"], flipped_splits[1]["NextNode"] = splits[1]["NextNode"], splits[0]["NextNode"]
    async with backends("v1", "v2") as (v1, v2):
        plane.publish(chain, instances={V1: [v1.instance()], V2: [v2.instance()]})
        assert answers(await caller.call(50)) == {"v1": 50}
        plane.publish(flipped)
        seen = answers([])
        while seen["v2"] < 50:
            seen += answers(await caller.call(10))
            assert seen.keys() <= {"v1", "v2"}
        assert answers(await caller.call(50)) == {"v2": 50}


async def test_routes_match_headers_paths_and_expressions(plane: ControlPlane, caller: Client) -> None:
    async with backends("v1", "v2", "calculator") as (v1, v2, calculator):
        instances = {V1: [v1.instance()], V2: [v2.instance()], CALCULATOR: [calculator.instance("calculator")]}
        plane.publish(recorded("router"), instances=instances)
        expected = [
            ({}, PATH, "v1"),
            ({"x_version": "v2"}, PATH, "v2"),
            ({"x_version": "v3"}, PATH, "v1"),
            ({}, "/demo.calculator.v1.Calculator/Add", "calculator"),
            ({}, "/demo.user.v1.UserService/ListUsers", "v2"),
            ({"a": "x", "b": "pre", "c": "xs", "d": "abc"}, "/demo.user.v1.UserService/DeleteUser", "v2"),
            ({"a": "x", "b": "pre", "c": "xs", "d": "123"}, "/demo.user.v1.UserService/DeleteUser", "v1"),
            ({"a": "x", "b": "no", "c": "xs", "d": "abc"}, "/demo.user.v1.UserService/DeleteUser", "v1"),
            ({"a": "x", "b": "pre", "c": "xs"}, "/demo.user.v1.UserService/DeleteUser", "v1"),
            ({"b": "pre", "c": "xs", "d": "abc"}, "/demo.user.v1.UserService/DeleteUser", "v1"),
        ]
        for metadata, path, name in expected:
            found = answers(await caller.call(3, path=path, **metadata))
            assert found == {name: 3}, (metadata, path)


async def test_a_route_that_grpc_cannot_meet_catches_nothing(plane: ControlPlane, caller: Client) -> None:
    async with backends("v1", "v2") as (v1, v2):
        plane.publish(recorded("router_beyond_grpc"), instances={V1: [v1.instance()], V2: [v2.instance()]})
        assert answers(await caller.call(10)) == {"v1": 10}
        assert answers(await caller.call(10, x="1")) == {"v2": 10}
        assert answers(await caller.call(3, path="/old.UserService/GetUser")) == {"v1": 3}


async def test_a_redirect_leads_to_the_other_service(plane: ControlPlane, caller: Client) -> None:
    async with backends("accounts") as (accounts,):
        accounts_target = Target(ServiceName("accounts"))
        plane.publish(recorded("redirect"), instances={accounts_target: [accounts.instance("accounts")]})
        assert answers(await caller.call(10)) == {"accounts": 10}


async def test_a_timeout_ends_a_call_when_the_route_says(plane: ControlPlane, caller: Client) -> None:
    async with backends("v1", "v2") as (v1, v2):
        instances = {V1: [v1.instance()], V2: [v2.instance()]}
        plane.publish(recorded("router_split"), instances=instances)
        await caller.call(20, path=UNTIMED)
        v1.released.clear()
        v2.released.clear()
        for outcome in await caller.call(5):
            assert outcome.status == "DEADLINE_EXCEEDED"
            assert 0.240 <= outcome.seconds <= 0.750
        v1.released.set()
        v2.released.set()


async def test_a_client_that_does_not_know_its_skew_has_its_timeouts_late_and_never_early(
    plane: ControlPlane, tmp_path: Path
) -> None:
    async with backends("v1", "v2") as (v1, v2), client(plane, tmp_path, plain=True) as caller:
        instances = {V1: [v1.instance()], V2: [v2.instance()]}
        plane.publish(recorded("router_split"), instances=instances)
        await caller.call(20, path=UNTIMED)
        assert {outcome.status for outcome in await caller.call(20)} == {"OK"}
        v1.released.clear()
        v2.released.clear()
        for outcome in await caller.call(5):
            assert outcome.status == "DEADLINE_EXCEEDED"
            assert 0.240 <= outcome.seconds <= 1.750
        v1.released.set()
        v2.released.set()
        assert plane.nacks() == []


async def test_an_unknown_service_fails_at_once(plane: ControlPlane, caller: Client) -> None:
    plane.publish(recorded("plain"), instances={})
    (outcome,) = await caller.call(1, target="nobody")
    assert outcome.status == "UNAVAILABLE"
    assert outcome.seconds < 1.0


async def test_a_service_without_a_healthy_instance_fails_at_once(plane: ControlPlane, caller: Client) -> None:
    plane.publish(recorded("plain"), instances={ALL: []})
    (outcome,) = await caller.call(1)
    assert outcome.status == "UNAVAILABLE"
    assert outcome.seconds < 1.0


async def test_grpc_accepts_every_recorded_chain_under_the_richest_policy(plane: ControlPlane, caller: Client) -> None:
    policy = {
        "load_balancing": {"policy": "ring_hash", "hash_on_header": "x-user", "maximum_ring_size": 2048},
        "outlier_detection": {"request_volume": 1000},
        "max_concurrent_requests": 100,
        "faults": [
            {"headers": [{"name": "never", "regex": "[0-9]+", "invert": False}], "abort": {"status": 13}},
            {"headers": [{"name": "never", "present": True}], "delay": {"duration": "1s", "percentage": 0.0001}},
        ],
        "retry": {"on": ["unavailable", "internal", "cancelled"], "attempts": 5, "maximum_backoff": "1s"},
        "timeout": "30s",
    }
    chains = []
    for name in names():
        text = json.dumps(recorded(name)).replace('"user', f'"{name}').replace(".user.", f".{name}.")
        chains.append(json.loads(text))
    async with backends("a", "b") as servers:
        wanted = {target for chain in chains for target in targets(chain)}
        members = [servers[0].instance(region="r", zone="z"), dataclasses.replace(servers[1].instance(), weight=7)]
        plane.publish(
            *chains,
            instances=dict.fromkeys(wanted, members),
            policies={str(target.service): policy for target in wanted},
        )
        for chain in chains:
            found = answers(await caller.call(3, target=chain["ServiceName"]))
            assert found.keys() <= {"a", "b"}, chain["ServiceName"]
        assert plane.nacks() == []


async def test_grpc_accepts_what_newer_consuls_compile_and_honours_what_it_can(
    plane: ControlPlane, caller: Client
) -> None:
    chains = all_newer()
    async with backends("a", "b") as servers:
        wanted = {target for chain in chains for target in targets(chain)}
        plane.publish(*chains, instances={key: [server.instance() for server in servers] for key in wanted})
        for chain in chains:
            outcomes = await caller.call(2, target=chain["ServiceName"], path=UNTIMED)
            empty = chain["ServiceName"] == "redirect-peer"
            assert {outcome.status for outcome in outcomes} == {"UNAVAILABLE" if empty else "OK"}, chain["ServiceName"]
        for target, header in (("split", "x_user_id"), ("maglev", "x_user_id")):
            homes = set()
            for number in range(12):
                found = answers(await caller.call(4, target=target, path=UNTIMED, **{header: f"user-{number}"}))
                homes |= found.keys()
                if target == "maglev":  # a split is drawn anew for each call, and each branch has its ring
                    assert len(found) == 1
            assert homes == {"a", "b"}
        assert plane.nacks() == []


async def test_a_path_is_found_whatever_its_case_where_the_route_says_so(plane: ControlPlane, caller: Client) -> None:
    async with backends("v1", "v2") as (v1, v2):
        plane.publish(newer("router"), instances={V1: [v1.instance()], V2: [v2.instance()]})
        assert answers(await caller.call(3, path="/demo.USER.x/Y")) == {"v2": 3}
        assert answers(await caller.call(3, path="/other.v1.X/Y")) == {"v1": 3}
