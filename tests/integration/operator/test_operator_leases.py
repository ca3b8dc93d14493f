"""Two operators on one API server: of one installation, of two, frozen, refused, and a namespace that is deleted."""

from __future__ import annotations

import contextlib
import json
import signal
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from meshwright.rollout.api import commands
from meshwright_operator.kubernetes import reference
from meshwright_operator.kubernetes.finalizer import FINALIZER
from meshwright_operator.lease.election import LEASE
from support.kubernetes.emulator import LEASES, NAMESPACE, ROLLOUTS
from support.kubernetes.operator import World, first, operating
from support.processes import Process, promised_port, python, running
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

CANARY = {"canary": {"steps": [{"setWeight": 50}]}}
SECONDS = "6"
"""Of a Lease, so that the tests need not wait for 30."""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with operating(tmp_path, MESHWRIGHT_OPERATOR_LEASE_SECONDS=SECONDS) as made:
        yield made


class Second:
    """Another operator beside the world's own."""

    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self.port = port

    async def page(self, path: str) -> tuple[int, dict[str, Any]]:
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"http://127.0.0.1:{self.port}{path}")
            return answer.status_code, answer.json()

    async def until_state(self, state: str) -> None:
        async def reached() -> bool:
            _, page = await self.page("/readyz")
            assert page["namespaces"].get(NAMESPACE, {}).get("state") == state, page
            return True

        await eventually(reached, 30, ignore=(httpx.TransportError,))


@contextlib.asynccontextmanager
async def second(world: World, installation: str, pod: str, **more: str) -> AsyncIterator[Second]:
    port = promised_port()
    kubeconfig = world.folder / f"kubeconfig-{pod}"
    kubeconfig.write_text(world.cluster.kubeconfig.read_text().replace("token: test", f"token: {pod}"))
    environ = {
        "KUBECONFIG": str(kubeconfig),
        "CONSUL_HTTP_ADDR": world.proxy.config.address,
        "MESHWRIGHT_OPERATOR_PORT": str(port),
        "MESHWRIGHT_OPERATOR_LEASE_SECONDS": SECONDS,
        "MESHWRIGHT_OPERATOR_INSTALLATION": installation,
        "POD_NAME": pod,
        **more,
    }
    argv = python("-m", "meshwright_operator")
    async with running(argv, world.folder / f"{pod}.log", environ) as process:
        yield Second(process, port)


def holder(world: World) -> str:
    lease = world.cluster.emulator.objects[LEASES, NAMESPACE, LEASE].raw
    return str(lease["spec"]["holderIdentity"])


def writes(world: World) -> list[str]:
    """What the world's own operator has written."""
    return [
        f"{one.method.value} {one.url}"
        for one in world.cluster.emulator.seen
        if one.method.value.upper() in {"PATCH", "POST", "DELETE"} and one.headers.get("Authorization") == "Bearer test"
    ]


async def test_a_second_installation_refuses_says_so_and_touches_nothing(world: World) -> None:
    await first(world)
    async with second(world, "other/mw", "stranger", MESHWRIGHT_OPERATOR_NAMESPACES=NAMESPACE) as other:
        await other.until_state("Refused")
        code, page = await other.page("/readyz")
        assert (code, page["installation"]) == (503, "other/mw")
        assert page["namespaces"][NAMESPACE]["holder"] == f"{NAMESPACE}/meshwright-operator/operator-0"
        assert (await other.page("/healthz"))[0] == 200
        await eventually(lambda: "refusing to act in namespace demo" in other.process.tail(50))

        def condition() -> dict[str, Any]:
            found = {one["type"]: one for one in world.cluster.status("user")["conditions"]}
            return found["OperatorConflict"]

        said = await eventually(condition, 20, ignore=(KeyError,))
        assert f"held by installation {NAMESPACE}/meshwright-operator" in said["message"]
        await eventually(lambda: "SecondOperatorRefused" in {reason for reason, _ in world.cluster.events()})
        # The holder goes on as if nothing was, and keeps what was said.
        await world.cluster.patch("user", commands.set_version("2.0.0"))
        await world.until_phase("Paused", weight=20)
        assert condition()["message"] == said["message"]
        assert world.replicas() == {"user-1-0-0": 2, "user-2-0-0": 1}
        assert "Traceback" not in other.process.tail(200)
        # Its end takes the condition back.
        await other.process.terminate()
    types = {one["type"] for one in world.cluster.status("user")["conditions"]}
    assert "OperatorConflict" not in types


async def test_a_replica_stands_by_and_takes_over_at_once(world: World) -> None:
    await first(world)
    async with second(world, f"{NAMESPACE}/meshwright-operator", "operator-1") as replica:
        await replica.until_state("StandingBy")
        assert (await replica.page("/readyz"))[0] == 200
        assert world.operator
        await world.operator.terminate()
        await replica.until_state("Holding")
        assert holder(world).endswith("/operator-1")
        await world.cluster.patch("user", commands.set_version("2.0.0"))
        await world.until_phase("Paused", weight=20)


async def test_an_operator_that_was_frozen_writes_nothing_when_it_wakes_up(world: World) -> None:
    await first(world)
    assert world.operator
    async with second(world, f"{NAMESPACE}/meshwright-operator", "operator-1") as replica:
        await replica.until_state("StandingBy")
        world.operator.child.send_signal(signal.SIGSTOP)
        await replica.until_state("Holding")
        await world.cluster.patch("user", commands.set_version("2.0.0"))
        await world.until_phase("Paused", weight=20)
        before = writes(world)
        world.operator.child.send_signal(signal.SIGCONT)
        await Second(world.operator, world.port).until_state("StandingBy")
        assert "all work has stopped" in world.operator.tail(50)
        assert len(before) > 10
        # All that it may have asked for is its Lease, which the API server refused.
        assert [each for each in writes(world)[len(before) :] if "/leases/" not in each] == []
        assert holder(world).endswith("/operator-1")


@pytest.mark.parametrize("trouble", [{"away": True}, {"delay": 9.0}], ids=["away", "slow"])
async def test_an_outage_of_the_api_server_is_outlived_and_nothing_is_written_before_the_lease_is_held_again(
    world: World, trouble: dict[str, Any]
) -> None:
    await first(world)
    assert world.operator
    own = Second(world.operator, world.port)
    for name, value in trouble.items():
        setattr(world.cluster.emulator, name, value)

    async def stopped() -> bool:
        assert (await own.page("/readyz"))[0] == 503
        assert (await own.page("/healthz"))[1]["rollouts"] == 0
        assert "could not be renewed within" in own.process.tail(50)
        return True

    await eventually(stopped, 30, ignore=(httpx.TransportError,))
    before = len(writes(world))
    world.cluster.emulator.away, world.cluster.emulator.delay = False, 0.0
    await world.cluster.patch("user", commands.set_version("2.0.0"))
    await world.until_phase("Paused", weight=20)
    assert (await own.page("/readyz"))[0] == 200
    assert world.operator.child.returncode is None
    # The Lease comes first of all that is written after the loss.
    after = writes(world)[before:]
    taken = next(number for number, each in enumerate(after) if each.startswith("PATCH") and LEASE in each)
    assert [each for each in after[:taken] if "/leases" not in each] == []
    assert len(after) > taken + 3
    assert "Traceback" not in own.process.tail(500)


async def test_the_second_rollout_of_a_service_names_the_first_and_can_be_deleted(world: World) -> None:
    await first(world)
    template = {"spec": {"containers": [{"name": "user", "image": "user:9"}]}}
    document = {
        "apiVersion": "meshwright.dev/v1alpha1",
        "kind": "VersionedRollout",
        "metadata": {"name": "again", "namespace": NAMESPACE},
        "spec": {"service": "user", "version": "9.0.0", "replicas": 1, "template": template, "strategy": CANARY},
    }
    await world.cluster.create(document)
    status = await eventually(lambda: world.cluster.status("again").get("phase") and world.cluster.status("again"), 20)
    assert status["phase"] == "Invalid"
    (progressing,) = [one for one in status["conditions"] if one["type"] == "Progressing"]
    assert (progressing["status"], progressing["reason"]) == ("False", "ServiceConflict"), status["message"]
    assert f"already rolled out by {NAMESPACE}/user" in progressing["message"]

    def told() -> list[str]:
        return [said for reason, said in world.cluster.events() if reason == "ServiceConflict"]

    await eventually(told)
    assert set(world.replicas()) == {"user-1-0-0"}
    await world.cluster.delete("again")
    await eventually(lambda: not world.cluster.exists(ROLLOUTS, "again"), 20)
    assert len(told()) == 1
    assert await world.weights() == {"v1-0-0": 100}
    # And it begins when the first is gone.
    document["metadata"] = {"name": "next", "namespace": NAMESPACE}
    await world.cluster.create(document)
    await eventually(lambda: world.cluster.status("next").get("phase") == "Invalid", 20)
    await world.cluster.delete("user")
    await eventually(lambda: "next-9-0-0" in world.replicas(), 30)


async def test_a_rollout_is_gone_though_consul_is_away_for_good(tmp_path: Path) -> None:
    async with operating(tmp_path, MESHWRIGHT_OPERATOR_FINALIZER_DEADLINE="3") as world:
        await first(world)
        world.proxy.leaderless = True
        await world.cluster.delete("user")
        await eventually(lambda: not world.cluster.exists(ROLLOUTS, "user"), 40)
        (message,) = [message for reason, message in world.cluster.events() if reason == "FinalizerGaveUp"]
        assert "the traffic rules are still in Consul" in message
        assert "consul config delete -kind service-splitter -name user" in message
        # It goes on trying, and a Consul that is back has none of it left.
        world.proxy.leaderless = False

        async def tidy() -> bool:
            return await world.consul.config_entry("service-splitter", "user") is None

        await eventually(tidy, 40)


async def test_a_namespace_that_is_deleted_with_its_operator_does_not_wait(world: World) -> None:
    await first(world)
    assert world.cluster.rollout("user")["metadata"]["finalizers"] == [FINALIZER]
    world.cluster.emulator.terminating.add(NAMESPACE)
    await eventually(lambda: not world.cluster.rollout("user")["metadata"].get("finalizers"), 5)
    # kopf does not put it back, whatever happens to the resource.
    await world.cluster.patch("user", {"metadata": {"labels": {"a": "b"}}})

    async def released() -> bool:
        return await world.consul.config_entry("service-splitter", "user") is None

    await eventually(released, 10)
    await world.cluster.delete("user")
    assert not world.cluster.exists(ROLLOUTS, "user")


async def reference_deployment(world: World, **annotations: str) -> None:
    document = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "mw-user", "namespace": NAMESPACE, "annotations": annotations},
        "spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "user", "image": "user:1"}]}}},
    }
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
    assert (await world.cluster.emulator.post(path, json=document)).status < 300


async def test_what_a_rollout_took_over_has_its_pods_back_before_the_rollout_goes(world: World) -> None:
    await reference_deployment(world, **{reference.REPLICAS_ANNOTATION: "3"})
    await world.until_replicas(mw_user=3)
    await first(world, template=None, workloadRef={"name": "mw-user"})
    await world.until_replicas(mw_user=0, user_1_0_0=2)
    await world.cluster.delete("user")
    await world.until_replicas(mw_user=3, user_1_0_0=2)
    assert world.cluster.exists(ROLLOUTS, "user")
    assert await world.weights() == {"v1-0-0": 100}
    await world.cluster.patch_deployment("mw-user", {"status": {"readyReplicas": 3}}, "/status")
    await world.until_gone()
    assert await world.weights() == {}


async def test_a_version_that_was_tried_is_out_of_consul_before_the_rules_that_keep_calls_from_it(world: World) -> None:
    await first(world)
    await world.cluster.patch("user", commands.set_version("2.0.0"))
    await world.until_phase("Paused", weight=20)
    world.pods.lingering.add("2.0.0")
    await world.cluster.delete("user")
    await world.until_replicas(user_1_0_0=2, user_2_0_0=0)
    assert await world.weights() == {"v1-0-0": 100}
    assert world.cluster.exists(ROLLOUTS, "user"), "Consul has instances of 2.0.0 still"
    world.pods.lingering.clear()
    await world.until_gone()
    assert await world.weights() == {}


async def test_every_write_names_its_field_manager(world: World) -> None:
    await first(world)
    await world.cluster.patch("user", commands.set_version("2.0.0"))
    await world.until_phase("Paused", weight=20)
    seen = []
    for one in world.cluster.emulator.seen:
        agent = one.headers.get("User-Agent", "")
        if one.method.value.upper() in {"PATCH", "POST", "PUT"} and "aiohttp" not in agent:
            manager = one.params.get("fieldManager") or agent.partition("/")[0]
            seen.append(manager)
    assert len(seen) > 10
    assert set(seen) == {"meshwright-operator"}, json.dumps(seen)
