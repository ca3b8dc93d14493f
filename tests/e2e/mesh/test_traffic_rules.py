"""What Consul's config entries and the policy document say is what callers see."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from support.mesh.mesh import failures
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.mesh.mesh import Caller, Mesh, Outcome


async def declare(a_mesh: Mesh, *entries: dict[str, Any]) -> None:
    """Write config entries, in order: Consul checks each against those before it."""
    for entry in entries:
        assert await a_mesh.consul.put_config_entry(entry)


async def policy(a_mesh: Mesh, service: str, document: dict[str, Any]) -> None:
    assert await a_mesh.consul.kv_put(f"meshwright/policy/{service}", json.dumps(document).encode())


def subsets(service: str, *versions: str) -> list[dict[str, Any]]:
    filters = {f"v{version[0]}": {"Filter": f'Service.Meta.version == "{version}"'} for version in versions}
    return [
        {"Kind": "service-defaults", "Name": service, "Protocol": "grpc"},
        {"Kind": "service-resolver", "Name": service, "DefaultSubset": "v1", "Subsets": filters},
    ]


def split(service: str, v1: float, v2: float) -> dict[str, Any]:
    splits = [{"Weight": v1, "ServiceSubset": "v1"}, {"Weight": v2, "ServiceSubset": "v2"}]
    return {"Kind": "service-splitter", "Name": service, "Splits": splits}


def share(outcomes: list[Outcome], version: str) -> float:
    """In percent."""
    return 100 * Counter(outcome.version for outcome in outcomes)[version] / len(outcomes)


async def until_calls(caller: Caller, condition: Callable[[list[Outcome]], bool], times: int = 10, **call: Any) -> None:
    async def holds() -> bool:
        return condition(await caller.call(times, **call))

    await eventually(holds, timeout=20)


async def two_versions(a_mesh: Mesh, *, v1: float, v2: float) -> tuple[str, Caller]:
    service = a_mesh.new_name()
    await declare(a_mesh, *subsets(service, "1.0.0", "2.0.0"), split(service, v1, v2))
    await a_mesh.instance(service, "1.0.0")
    await a_mesh.instance(service, "2.0.0")
    return service, await a_mesh.callable(service)


async def test_a_split_is_kept_within_two_points(a_mesh: Mesh) -> None:
    service, caller = await two_versions(a_mesh, v1=0, v2=100)
    await until_calls(caller, lambda outcomes: share(outcomes, "2.0.0") == 100)
    await declare(a_mesh, split(service, 90, 10))
    await until_calls(caller, lambda outcomes: share(outcomes, "1.0.0") > 50, times=50)
    outcomes = await caller.call(2000, workers=8)
    assert not failures(outcomes)
    assert abs(share(outcomes, "2.0.0") - 10) <= 2


async def test_weights_that_flip_under_load_fail_no_call(a_mesh: Mesh) -> None:
    service, caller = await two_versions(a_mesh, v1=100, v2=0)
    await caller.start(workers=10)
    for v2 in (100, 0, 50, 100, 0, 100):
        await declare(a_mesh, split(service, 100 - v2, v2))
        await caller.made(100)
    await until_calls(caller, lambda outcomes: share(outcomes, "2.0.0") == 100)
    assert not failures(await caller.stop())


async def test_a_header_chooses_the_version(a_mesh: Mesh) -> None:
    service = a_mesh.new_name()
    match = {"HTTP": {"Header": [{"Name": "x-version", "Exact": "2"}]}}
    route = {"Match": match, "Destination": {"ServiceSubset": "v2"}}
    await declare(
        a_mesh,
        *subsets(service, "1.0.0", "2.0.0"),
        {"Kind": "service-router", "Name": service, "Routes": [route]},
    )
    await a_mesh.instance(service, "1.0.0")
    await a_mesh.instance(service, "2.0.0")
    caller = await a_mesh.callable(service)
    await until_calls(caller, lambda outcomes: share(outcomes, "2.0.0") == 100, metadata={"x-version": "2"})
    assert share(await caller.call(50, metadata={"x-version": "2"}), "2.0.0") == 100
    assert share(await caller.call(50), "1.0.0") == 100
    assert share(await caller.call(50, metadata={"x-version": "3"}), "1.0.0") == 100


async def test_a_path_chooses_the_version(a_mesh: Mesh) -> None:
    service = a_mesh.new_name()
    match = {"HTTP": {"PathExact": "/demo.calculator.v1.Calculator/Multiply"}}
    route = {"Match": match, "Destination": {"ServiceSubset": "v2"}}
    await declare(
        a_mesh,
        *subsets(service, "1.0.0", "2.0.0"),
        {"Kind": "service-router", "Name": service, "Routes": [route]},
    )
    await a_mesh.instance(service, "1.0.0")
    await a_mesh.instance(service, "2.0.0")
    caller = await a_mesh.callable(service)
    await until_calls(caller, lambda outcomes: share(outcomes, "2.0.0") == 100, method="Multiply")
    assert share(await caller.call(50, method="Multiply"), "2.0.0") == 100
    assert share(await caller.call(50), "1.0.0") == 100


async def test_failover_takes_over_when_a_service_has_no_healthy_instance(a_mesh: Mesh) -> None:
    service, other = a_mesh.new_name(), a_mesh.new_name("other")
    await declare(
        a_mesh,
        {"Kind": "service-defaults", "Name": service, "Protocol": "grpc"},
        {"Kind": "service-defaults", "Name": other, "Protocol": "grpc"},
        {"Kind": "service-resolver", "Name": service, "Failover": {"*": {"Service": other}}},
    )
    first, process = await a_mesh.instance(service)
    spare, _ = await a_mesh.instance(other)
    caller = await a_mesh.callable(service)
    await until_calls(caller, lambda outcomes: {outcome.instance for outcome in outcomes} == {first})

    await process.terminate()
    await until_calls(caller, lambda outcomes: {outcome.instance for outcome in outcomes} == {spare})


async def test_ring_hash_keeps_a_key_on_one_instance(a_mesh: Mesh) -> None:
    service = a_mesh.new_name()
    await policy(a_mesh, service, {"load_balancing": {"policy": "ring_hash", "hash_on_header": "x-user"}})
    names = {(await a_mesh.instance(service))[0] for _ in range(3)}
    caller = await a_mesh.callable(service)

    chosen = {}
    for key in range(20):
        metadata = {"x-user": f"user-{key}"}
        await until_calls(
            caller, lambda outcomes: len({outcome.instance for outcome in outcomes}) == 1, metadata=metadata
        )
        outcomes = await caller.call(20, metadata=metadata)
        chosen[key] = {outcome.instance for outcome in outcomes}
        assert len(chosen[key]) == 1
    assert set().union(*chosen.values()) <= names
    assert len(set().union(*chosen.values())) > 1, "twenty keys must not all fall on one of three instances"


async def test_an_instance_that_fails_is_ejected(a_mesh: Mesh) -> None:
    service = a_mesh.new_name()
    await policy(
        a_mesh,
        service,
        {
            "outlier_detection": {
                "failure_percentage": 50,
                "minimum_hosts": 2,
                "request_volume": 5,
                "interval": "500ms",
                "base_ejection_time": "60s",
                "maximum_ejection_percent": 60,
            }
        },
    )
    good = {(await a_mesh.instance(service))[0] for _ in range(2)}
    await a_mesh.instance(service, TARGET_FAIL="INTERNAL")
    caller = await a_mesh.callable(service)
    await until_calls(caller, lambda outcomes: not failures(outcomes), times=60, workers=4)
    outcomes = await caller.call(100)
    assert not failures(outcomes)
    assert {outcome.instance for outcome in outcomes} == good


async def test_a_fault_is_injected_for_the_share_asked_and_ends_when_cleared(a_mesh: Mesh) -> None:
    service = a_mesh.new_name()
    await a_mesh.instance(service)
    caller = await a_mesh.callable(service)
    await policy(a_mesh, service, {"faults": [{"abort": {"status": "RESOURCE_EXHAUSTED", "percentage": 50}}]})
    await until_calls(caller, lambda outcomes: bool(failures(outcomes)), times=20)
    outcomes = await caller.call(1000, workers=8)
    failed = Counter(outcome.code for outcome in outcomes)
    assert abs(failed["RESOURCE_EXHAUSTED"] - 500) < 80
    assert failed["OK"] + failed["RESOURCE_EXHAUSTED"] == 1000

    await a_mesh.consul.kv_delete(f"meshwright/policy/{service}")
    await until_calls(caller, lambda outcomes: not failures(outcomes), times=100)


async def test_a_delay_is_injected(a_mesh: Mesh) -> None:
    service = a_mesh.new_name()
    await a_mesh.instance(service)
    caller = await a_mesh.callable(service)
    await policy(a_mesh, service, {"faults": [{"delay": {"duration": "200ms", "percentage": 100}}]})
    await until_calls(caller, lambda outcomes: outcomes[0].seconds >= 0.2, times=1)
    outcomes = await caller.call(5)
    assert all(outcome.seconds >= 0.2 for outcome in outcomes)
    assert min(outcome.seconds for outcome in outcomes) < 0.3


async def test_a_routes_timeout_is_kept_despite_grpcs_skew(a_mesh: Mesh) -> None:
    service = a_mesh.new_name()
    route = {
        "Match": {"HTTP": {"PathPrefix": "/"}},
        "Destination": {"RequestTimeout": "300ms"},
    }
    await declare(
        a_mesh,
        {"Kind": "service-defaults", "Name": service, "Protocol": "grpc"},
        {"Kind": "service-router", "Name": service, "Routes": [route]},
    )
    await a_mesh.instance(service, TARGET_DELAY="5")
    caller = await a_mesh.caller(service)
    await until_calls(caller, lambda outcomes: outcomes[0].code == "DEADLINE_EXCEEDED", times=1)
    outcomes = await caller.call(10)
    assert {outcome.code for outcome in outcomes} == {"DEADLINE_EXCEEDED"}
    # Never early by more than the clock's grain; the best of ten is not late either, whatever else this machine does.
    assert min(outcome.seconds for outcome in outcomes) >= 0.298
    assert min(outcome.seconds for outcome in outcomes) < 0.315


async def test_a_policy_that_is_refused_leaves_the_last_good_one_in_force(a_mesh: Mesh) -> None:
    service = a_mesh.new_name()
    await a_mesh.instance(service)
    caller = await a_mesh.callable(service)
    await policy(a_mesh, service, {"faults": [{"abort": {"status": "ABORTED", "percentage": 100}}]})
    await until_calls(caller, lambda outcomes: outcomes[0].code == "ABORTED", times=1)

    await a_mesh.consul.kv_put(f"meshwright/policy/{service}", b'{"faults": [{"abort": {"percentage": 1e9}}]}')
    second, _ = await a_mesh.instance(service)
    # The new instance shows that the control plane has moved on since; the fault is still there.
    assert {outcome.code for outcome in await caller.call(20)} == {"ABORTED"}

    await policy(a_mesh, service, {})
    await until_calls(caller, lambda outcomes: second in {outcome.instance for outcome in outcomes})
