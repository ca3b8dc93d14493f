"""The control plane on a Consul: what changes there reaches clients, and what goes wrong there does not."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import statistics
import time
from typing import TYPE_CHECKING

import pytest
from grpc_health.v1 import health_pb2

from meshwright.consul import Consul
from meshwright.controlplane import serving
from meshwright.controlplane.admin import inspect
from meshwright.controlplane.consul_source.change_tracker import ChangeTracker
from meshwright.errors import UnreachableError, ValidationError
from meshwright.model import Address
from support.controlplane.plane import (
    answered_by,
    backend,
    caller,
    health_of,
    page,
    plane_config,
    plane_process,
    registration,
)
from support.mesh.mesh import failures
from support.processes import promised_port
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from meshwright.controlplane import Bound
    from support.consul.servers import ConsulServer

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
async def consul(any_consul: ConsulServer) -> AsyncIterator[Consul]:
    async with Consul(any_consul.config) as client:
        yield client


@pytest.fixture
async def bound(any_consul: ConsulServer) -> AsyncIterator[Bound]:
    async with serving(plane_config(any_consul.config, recovery_seconds=5.0)) as made:
        await eventually(lambda: ready(made))
        yield made


async def ready(bound: Bound) -> bool:
    return (await page(bound.debug, "/readyz"))[0] == 200


async def endpoints(bound: Bound, service: str) -> set[int]:
    """The ports that clients of a service are told."""
    _, document = await page(bound.debug, f"/debug/snapshot?type=endpoints&service={service}")
    found = set()
    for resource in document["resources"]["endpoints"].values():
        for locality in resource["content"].get("endpoints", ()):
            for item in locality.get("lb_endpoints", ()):
                if item.get("health_status") in (None, "HEALTHY", "UNKNOWN"):
                    found.add(int(item["endpoint"]["address"]["socket_address"]["port_value"]))
    return found


def have(bound: Bound, service: str, *ports: int) -> Callable[[], object]:
    async def holds() -> bool:
        assert await endpoints(bound, service) == set(ports)
        return True

    return holds


async def test_instances_come_and_go(consul: Consul, bound: Bound) -> None:
    async with backend("one") as one, backend("two") as two:
        await consul.register(registration(one))
        await eventually(have(bound, "calc", one.address.port))
        await consul.register(registration(two))
        await eventually(have(bound, "calc", one.address.port, two.address.port))
        await consul.maintenance(two.id, True)
        await eventually(have(bound, "calc", one.address.port))
        await consul.maintenance(two.id, False)
        await eventually(have(bound, "calc", one.address.port, two.address.port))
        await consul.deregister(one.id)
        await consul.deregister(two.id)

        async def gone() -> bool:
            return not (await inspect.dump(bound.xds, "calc")).known

        await eventually(gone)


async def test_spellings_of_a_name_are_one_service_as_in_consul(consul: Consul, bound: Bound) -> None:
    async with backend("one", "billing") as one, backend("two", "Billing") as two:
        for each in (one, two):
            await consul.register(registration(each))
        both = have(bound, "billing", one.address.port, two.address.port)
        await eventually(both)
        for dialled in ("billing", "Billing", "BILLING"):
            dump = await inspect.dump(bound.xds, dialled)
            assert dump.known
            assert all(str(each.address.port) in dump.resources[-1].text for each in (one, two))
        await consul.maintenance(two.id, True)
        await eventually(have(bound, "billing", one.address.port))
        for name in ("BILLING", "invoices"):
            await consul.put_config_entry({"Kind": "service-defaults", "Name": name, "Protocol": "grpc"})
        await consul.put_config_entry(
            {"Kind": "service-resolver", "Name": "Invoices", "Redirect": {"Service": "biLLing"}}
        )

        async def reachable() -> bool:
            dump = await inspect.dump(bound.xds, "invoices")
            return dump.known and str(one.address.port) in dump.resources[-1].text

        await eventually(reachable)


async def test_another_address_or_other_metadata_of_an_instance_is_noticed(consul: Consul, bound: Bound) -> None:
    async with backend("one") as one, backend("one", meta={"version": "2"}) as moved:
        await consul.register(registration(one))
        await eventually(have(bound, "calc", one.address.port))
        await consul.register(registration(moved))
        await eventually(have(bound, "calc", moved.address.port))


async def test_config_entries_and_names_that_only_they_make_take_effect(consul: Consul, bound: Bound) -> None:
    async with backend("one", meta={"version": "1"}) as one, backend("two", meta={"version": "2"}) as two:
        for each in (one, two):
            await consul.register(registration(each))
        await consul.put_config_entry({"Kind": "service-defaults", "Name": "calc", "Protocol": "grpc"})
        subsets = {version: {"Filter": f"Service.Meta.version == {version!r}".replace("'", '"')} for version in "12"}
        subsets = {f"v{version}": subset for version, subset in subsets.items()}
        await consul.put_config_entry(
            {"Kind": "service-resolver", "Name": "calc", "Subsets": subsets, "DefaultSubset": "v1"}
        )
        await eventually(have(bound, "calc", one.address.port))
        splits = [{"Weight": 50, "ServiceSubset": "v1"}, {"Weight": 50, "ServiceSubset": "v2"}]
        await consul.put_config_entry({"Kind": "service-splitter", "Name": "calc", "Splits": splits})
        await eventually(have(bound, "calc", one.address.port, two.address.port))
        await consul.put_config_entry({"Kind": "service-defaults", "Name": "sums", "Protocol": "grpc"})
        await consul.put_config_entry(
            {"Kind": "service-resolver", "Name": "sums", "Redirect": {"Service": "calc", "ServiceSubset": "v2"}}
        )

        async def reachable() -> bool:
            dump = await inspect.dump(bound.xds, "sums")
            return dump.known and str(two.address.port) in dump.resources[-1].text

        await eventually(reachable)


async def test_routes_that_cannot_be_published_leave_the_ones_before_with_live_endpoints(
    consul: Consul, bound: Bound
) -> None:
    async with backend("one", meta={"version": "1"}) as one, backend("two", meta={"version": "2"}) as two:
        for each in (one, two):
            await consul.register(registration(each))
        await consul.put_config_entry({"Kind": "service-defaults", "Name": "calc", "Protocol": "grpc"})
        subsets = {f"v{version}": {"Filter": f'Service.Meta.version == "{version}"'} for version in "12"}
        await consul.put_config_entry({"Kind": "service-resolver", "Name": "calc", "Subsets": subsets})
        splits = [{"Weight": 50, "ServiceSubset": "v1"}, {"Weight": 50, "ServiceSubset": "v2"}]
        await consul.put_config_entry({"Kind": "service-splitter", "Name": "calc", "Splits": splits})
        await eventually(have(bound, "calc", one.address.port, two.address.port))
        match = {"HTTP": {"Header": [{"Name": "x", "Regex": "(?!a)"}]}}
        route = {"Match": match, "Destination": {"ServiceSubset": "v2"}}
        await consul.put_config_entry({"Kind": "service-router", "Name": "calc", "Routes": [route]})

        async def complaint() -> bool:
            _, document = await page(bound.debug, "/debug/problems")
            return any("lookaround" in problem["what"] for problem in document["problems"])

        await eventually(complaint)
        # From here on only the routes in force ask for v1: the chain that Consul compiles names v2 alone.
        splits = [{"Weight": 100, "ServiceSubset": "v2"}]
        await consul.put_config_entry({"Kind": "service-splitter", "Name": "calc", "Splits": splits})
        await consul.deregister(two.id)
        await eventually(have(bound, "calc", one.address.port))


async def test_a_broken_policy_leaves_the_last_good_one_in_force(
    consul: Consul, bound: Bound, caplog: pytest.LogCaptureFixture
) -> None:
    async with backend("one") as one:
        await consul.register(registration(one))
        await consul.kv_put("meshwright/policy/calc", b'{"max_concurrent_requests": 7}')

        async def limit() -> bool:
            dump = await inspect.dump(bound.xds, "calc")
            return '"max_requests": 7' in "".join(shown.text for shown in dump.resources)

        await eventually(limit)
        await consul.kv_put("meshwright/policy/calc", b'{"max_concurrent_requests": "many"}')

        async def complaint() -> bool:
            _, document = await page(bound.debug, "/debug/problems")
            return any("policy/calc" in problem["where"] for problem in document["problems"])

        await eventually(complaint)
        assert await limit()
        await eventually(lambda: "policy/calc" in caplog.text)
        said = [record for record in caplog.records if "policy/calc" in record.getMessage()]
        assert [record.levelno for record in said] == [logging.WARNING]
        _, text = await page(bound.debug, "/metrics")
        assert "meshwright_problems 1.0" in text
        await consul.kv_put("meshwright/policy/calc", b"{}")

        async def mended() -> bool:
            return not (await page(bound.debug, "/debug/problems"))[1]["problems"]

        await eventually(mended)


async def test_consul_killed_and_restarted_empty_fails_no_call(
    any_consul: ConsulServer, consul: Consul, bound: Bound, tmp_path: Path
) -> None:
    async with (
        backend("one") as one,
        backend("two") as two,
        backend("other", "other") as other,
        caller("xds:///calc", tmp_path, bound.xds) as client,
    ):
        for each in (one, two, other):
            await consul.register(registration(each))
        await eventually(have(bound, "calc", one.address.port, two.address.port))
        assert not failures(await client.call(1, wait_for_ready=True))
        await client.start(workers=4)
        await any_consul.kill()
        await client.made(200)
        await any_consul.start()

        async def held() -> bool:
            _, document = await page(bound.debug, "/debug/problems")
            return document["consul"]["connected"] and "calc" in document["held"]["services"]

        await eventually(held)
        await client.made(200)
        await consul.register(registration(one))
        await client.made(200)
        assert await endpoints(bound, "calc") == {one.address.port, two.address.port}
        # The recovery window of 5 s ends: what did not come back is gone, what did is served.
        await eventually(have(bound, "calc", one.address.port), timeout=20)
        await client.made(100)
        outcomes = await client.stop()
        assert not failures(outcomes)
        assert len(outcomes) > 600
        assert not (await inspect.dump(bound.xds, "other")).known


async def test_consul_restarted_empty_and_filled_again_ends_the_recovery(
    any_consul: ConsulServer, consul: Consul, bound: Bound
) -> None:
    async with backend("one") as one, backend("two") as two:
        for each in (one, two):
            await consul.register(registration(each))
        await eventually(have(bound, "calc", one.address.port, two.address.port))
        await any_consul.restart()
        for each in (one, two):
            await consul.register(registration(each))

        async def over() -> bool:
            _, document = await page(bound.debug, "/debug/problems")
            return document["consul"]["connected"] and not document["held"]["reason"]

        await eventually(over)
        await consul.deregister(one.id)
        await eventually(have(bound, "calc", two.address.port))


async def test_without_consul_nothing_is_served_and_it_says_so_and_goes_on_when_consul_comes(
    any_consul: ConsulServer, consul: Consul, caplog: pytest.LogCaptureFixture
) -> None:
    await any_consul.kill()
    async with serving(plane_config(any_consul.config)) as bound, backend("one") as one:
        status, _ = await page(bound.debug, "/readyz")
        assert status == 503
        assert await health_of(bound.xds) == NOT_SERVING
        await eventually(lambda: "cannot be watched" in caplog.text)
        assert str(any_consul.address) in caplog.text

        async def explained() -> bool:
            _, document = await page(bound.debug, "/debug")
            return str(any_consul.address) in str(document["consul"]["errors"])

        await eventually(explained)
        assert (await page(bound.debug, "/debug/snapshot"))[0] == 503
        with pytest.raises(UnreachableError, match="no answer in time"):
            await inspect.dump(bound.xds, "calc", timeout=0.3)
        await any_consul.start()
        await consul.register(registration(one))
        await eventually(lambda: ready(bound))
        await eventually(have(bound, "calc", one.address.port))
        assert await health_of(bound.xds) == SERVING


async def test_the_control_plane_killed_and_restarted_fails_no_call_and_catches_up(
    any_consul: ConsulServer, consul: Consul, tmp_path: Path
) -> None:
    xds, debug = Address("127.0.0.1", promised_port()), Address("127.0.0.1", promised_port())
    async with backend("one") as one, backend("two") as two, contextlib.AsyncExitStack() as stack:
        await consul.register(registration(one))
        plane = await stack.enter_async_context(plane_process(tmp_path, any_consul.config, xds, debug))
        client = await stack.enter_async_context(caller("xds:///calc", tmp_path, xds))

        async def works() -> bool:
            return not failures(await client.call(1))

        await eventually(works, timeout=20)
        await client.start(workers=4)
        await plane.process.kill()
        await client.made(200)
        await consul.register(registration(two))
        await stack.enter_async_context(plane_process(tmp_path, any_consul.config, xds, debug))

        async def both() -> bool:
            return set(answered_by(await client.call(6))) == {"one", "two"}

        await eventually(both, timeout=30)
        assert not failures(await client.stop())


async def test_consul_and_the_control_plane_both_restarted_empty_fail_no_call(
    any_consul: ConsulServer, consul: Consul, tmp_path: Path
) -> None:
    xds, debug = Address("127.0.0.1", promised_port()), Address("127.0.0.1", promised_port())
    async with backend("one") as one, backend("two") as two, contextlib.AsyncExitStack() as stack:
        await consul.register(registration(one))
        plane = await stack.enter_async_context(plane_process(tmp_path, any_consul.config, xds, debug))
        client = await stack.enter_async_context(caller("xds:///calc", tmp_path, xds))

        async def works() -> bool:
            return not failures(await client.call(1))

        await eventually(works, timeout=20)
        await client.start(workers=4)
        await plane.process.kill()
        await any_consul.restart()
        plane = await stack.enter_async_context(plane_process(tmp_path, any_consul.config, xds, debug))

        async def reconnected() -> bool:
            # A stream is listed from its opening on, and has its types by what it asked for so far.
            streams = (await plane.page("/debug/streams"))[1]["streams"]
            return bool(streams) and all(stream["types"].get("listener", {}).get("acked") for stream in streams)

        await eventually(reconnected, timeout=30, ignore=(OSError,))
        await client.made(100)
        await consul.register(registration(two))

        async def moved() -> bool:
            return "two" in answered_by(await client.call(4))

        await eventually(moved)
        assert not failures(await client.stop())


async def test_a_terminated_control_plane_ends_in_order_with_exit_code_0(
    any_consul: ConsulServer, tmp_path: Path
) -> None:
    xds, debug = Address("127.0.0.1", promised_port()), Address("127.0.0.1", promised_port())
    async with plane_process(tmp_path, any_consul.config, xds, debug) as plane:

        async def up() -> bool:
            return (await plane.page("/readyz"))[0] == 200

        await eventually(up, ignore=(OSError,), timeout=20)
        assert await plane.process.terminate() == 0
        assert "Traceback" not in plane.process.log.read_text()


async def test_a_removed_instance_is_last_picked_within_milliseconds(
    consul: Consul, bound: Bound, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    delays = []
    async with backend("stays") as stays, caller("xds:///calc", tmp_path, bound.xds) as client:
        await consul.register(registration(stays))
        for turn in range(8):
            async with backend(f"goes-{turn}") as goes:
                await consul.register(registration(goes))

                async def picked(name: str = goes.id) -> bool:
                    return name in answered_by(await client.call(4))

                await eventually(picked)
                await client.start(workers=2, pause=0.0005)
                await consul.deregister(goes.id)
                answered = time.monotonic()
                await client.made(400)
                outcomes = await client.stop()
                assert not failures(outcomes)
                last = max(outcome.began for outcome in outcomes if outcome.instance == goes.id)
                delays.append(max(0.0, last - answered) * 1000)
    record_property("last pick after deregistration, ms", sorted(delays))
    assert statistics.median(delays) < 50
    assert max(delays) < 250


async def test_a_bug_in_following_consul_ends_the_control_plane_instead_of_freezing_it(
    any_consul: ConsulServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(ChangeTracker, "see_checks", broken)
    with pytest.raises(ZeroDivisionError):
        async with serving(plane_config(any_consul.config)):
            await asyncio.Event().wait()


async def test_a_taken_port_is_named(any_consul: ConsulServer, bound: Bound) -> None:
    for setting, address in (("port", bound.xds), ("debug_port", bound.debug)):
        with pytest.raises(ValidationError, match=f"address 127.0.0.1:{address.port}"):
            async with serving(plane_config(any_consul.config, **{setting: address.port})):
                pass


async def test_an_instance_without_checks_beside_one_with_checks_is_found(consul: Consul, bound: Bound) -> None:
    async with backend("one") as one, backend("two") as two:
        await consul.register(registration(one, check=True))
        await eventually(have(bound, "calc", one.address.port))
        await consul.register(registration(two))
        await eventually(have(bound, "calc", one.address.port, two.address.port))


async def test_a_burst_of_changes_makes_few_snapshots_and_the_last_state_wins(consul: Consul, bound: Bound) -> None:
    async with backend("one") as one:
        many = [
            dataclasses.replace(one, id=f"one-{number}", address=Address("127.0.0.1", 1000 + number))
            for number in range(100)
        ]
        await asyncio.gather(*(consul.register(registration(each)) for each in many))
        await eventually(have(bound, "calc", *(each.address.port for each in many)))
        _, text = await page(bound.debug, "/metrics")
        count = next(
            float(line.split()[1]) for line in text.splitlines() if line.startswith("meshwright_snapshots_total")
        )
        assert count <= 60
