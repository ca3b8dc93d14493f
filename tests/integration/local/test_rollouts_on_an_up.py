"""Rollouts on a running `up`: real processes for versions, real calls, the commands as they are typed."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from typing import TYPE_CHECKING

import httpx

from support.mesh.mesh import failures
from support.mesh.up import TOPOLOGY, Laptop, a_laptop, an_up, canary, own_ports
from support.processes import promised_port
from support.waiting import crowd, eventually

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from support.mesh.mesh import Outcome

TO_A_TENTH = canary({"setWeight": 10}, {"pause": {}})
TO_A_FIFTH = canary({"setWeight": 20}, {"pause": {}})
NONE = {"background": False}
GOOD = {"version": "2.0.0", "strategy": TO_A_TENTH}


def share(outcomes: Iterable[Outcome], version: str, window: tuple[float, float]) -> tuple[float, int]:
    """The version's share, in per cent, of the calls begun within the window, and how many those were."""
    counted = Counter(one.version for one in outcomes if window[0] <= one.began <= window[1])
    return 100 * counted[version] / counted.total(), counted.total()


async def test_a_canary_under_load_fails_no_call_and_keeps_its_weights(tmp_path: Path) -> None:
    weights = (10, 50)
    steps = [step for weight in weights for step in ({"setWeight": weight}, {"pause": {}})]
    async with a_laptop(tmp_path) as laptop, laptop.calling() as caller:
        await caller.start(workers=10)
        await laptop.apply(version="2.0.0", strategy=canary(*steps))
        windows = {}
        for weight in weights:
            await laptop.until_phase("Paused", weight=weight)
            # The last clients hear of a weight within milliseconds; a call of before takes no longer than this.
            await caller.made(100)
            began = time.monotonic()
            await caller.made(3000)
            windows[weight] = (began, time.monotonic())
            await laptop.do("promote", "target")
        await laptop.until_phase("Healthy", stable="2.0.0")

        async def only_the_new() -> bool:
            return await laptop.versions() == Counter({"2.0.0": 2})

        await eventually(only_the_new, timeout=30)
        await caller.made(200)
        outcomes = await caller.stop()
        assert not failures(outcomes)
        for weight, window in windows.items():
            found, calls = share(outcomes, "2.0.0", window)
            assert abs(found - weight) <= 2, f"{found:.1f} % of {calls} calls at weight {weight}"
        assert {one.version for one in outcomes[-100:]} == {"2.0.0"}
        assert "promoted over 1.0.0" in laptop.up.shown
        assert await laptop.do("status", "target", "--timeout", "10") == "target: Healthy: 2.0.0 serves all calls\n"
        await one_trace(
            laptop, "rollout target 2.0.0", ["setWeight 10", "pause", "setWeight 50", "pause", "setWeight 100"]
        )


async def one_trace(laptop: Laptop, root: str, steps: list[str]) -> None:
    """The rollout is one trace, its steps the children of its root, in order."""
    address = f"http://{laptop.up.record.addresses['traces']}/api/traces?service=meshwright-rollouts"

    async def told() -> bool:
        async with httpx.AsyncClient(trust_env=False) as client:
            (trace,) = (await client.get(address)).json()["data"]
        spans = sorted(trace["spans"], key=lambda span: span["startTime"])
        (top,) = [span for span in spans if not span["references"]]
        assert top["operationName"] == root
        children = [span for span in spans if span is not top]
        assert [span["operationName"] for span in children] == steps
        assert {span["references"][0]["spanID"] for span in children} == {top["spanID"]}
        return True

    await eventually(told, timeout=20, ignore=(ValueError,))


async def linked_versions(laptop: Laptop, root: str) -> bool:
    """The rollout's own span links to traces, and each of those has a failed span of version 3.0.0."""
    address = f"http://{laptop.up.record.addresses['traces']}/api/traces"
    async with httpx.AsyncClient(trust_env=False) as client:
        (found,) = (await client.get(address, params={"service": "meshwright-rollouts"})).json()["data"]
        (top,) = [span for span in found["spans"] if span["operationName"] == root]
        links = [one["traceID"] for one in top["references"] if one["refType"] == "FOLLOWS_FROM"]
        assert links
        for trace_id in links:
            (trace,) = (await client.get(f"{address}/{trace_id}")).json()["data"]
            assert "3.0.0" in json.dumps(trace["processes"])
    return True


async def test_a_version_that_fails_is_at_weight_0_within_ten_seconds(tmp_path: Path) -> None:
    async with a_laptop(tmp_path) as laptop, laptop.calling() as caller:
        await caller.start(workers=10)
        await laptop.apply(
            version="3.0.0", env={"TARGET_FAIL": "INTERNAL"}, strategy=canary({"setWeight": 10}, {"pause": {}})
        )
        status = await laptop.until_phase("Aborted", stable="1.0.0", refused="3.0.0")
        await caller.made(500)
        outcomes = await caller.stop()
        bad = [one.began for one in outcomes if one.code == "INTERNAL"]
        assert bad
        assert max(bad) - min(bad) < 10 * crowd()
        assert {one.code for one in outcomes[-200:]} == {"OK"}
        assert {one.version for one in outcomes[-200:]} == {"1.0.0"}
        assert "success-rate" in status["message"]
        code, said = await laptop.up.do("rollout", "status", "target", "--timeout", "5")
        assert (code, said.startswith("target: Aborted: ")) == (1, True)
        await eventually(lambda: linked_versions(laptop, "rollout target 3.0.0"), timeout=30, ignore=(ValueError,))

        async def stable_alone() -> bool:
            return await laptop.versions() == Counter({"1.0.0": 2})

        await eventually(stable_alone, timeout=40)


async def test_commands_pause_abort_retry_and_undo(tmp_path: Path) -> None:
    async with a_laptop(tmp_path) as laptop:
        await laptop.apply(
            version="2.0.0", analysis={"background": False}, strategy=canary({"setWeight": 20}, {"pause": {}})
        )
        await laptop.until_phase("Paused", weight=20)
        async with laptop.watching() as watched:
            await watched.line_with("Paused, step 2 of 3; ")
            await laptop.do("abort", "target")
            await watched.line_with("Aborted; ")
        assert all(before != after for before, after in itertools.pairwise(watched.without_times))
        await laptop.until_phase("Aborted", stable="1.0.0")
        code, said = await laptop.up.do("rollout", "promote", "target")
        assert (code, said) == (
            1,
            "error: rollout target: there is nothing to promote: it is Aborted; `retry` executes its steps again\n",
        )
        await laptop.do("retry", "target")
        await laptop.until_phase("Paused", weight=20)
        await laptop.do("promote", "target", "--full")
        await laptop.until_phase("Healthy", stable="2.0.0")
        code, said = await laptop.up.do("scale", "target", "3")
        assert (code, "target: the rollout target says how many instances it has" in said) == (1, True)
        assert await laptop.do("undo", "target") == "target: back to version 1.0.0\n"
        await laptop.until_phase("Paused", weight=20)
        await laptop.do("set-version", "target", "2.0.0")
        await laptop.until_phase("Healthy", stable="2.0.0")
        shown = await laptop.do("get", "target")
        assert "2.0.0      stable    ████████████████████ 100 %   2 of 2 healthy" in shown
        assert "Healthy" in await laptop.do("get")
        await laptop.do("delete", "target")
        code, said = await laptop.up.do("rollout", "get", "target")
        assert (code, said) == (1, "error: no rollout is called target; there are none\n")


async def test_deleting_a_rollout_ends_the_version_that_was_tried_without_a_failed_call(
    tmp_path: Path,
) -> None:
    async with a_laptop(tmp_path) as laptop, laptop.calling() as caller:
        broken = {"TARGET_FAIL": "INTERNAL"}
        kept = {"canary": {"steps": [{"setWeight": 10}], "scaleDownDelay": "5m"}}
        await laptop.apply(version="2.0.0", env=broken, analysis={"interval": "1s", "window": "5s"}, strategy=kept)
        await caller.start(workers=4)
        await laptop.until_phase("Aborted", stable="1.0.0", weight=0)
        await caller.stop()
        assert (await laptop.versions())["2.0.0"], "its grace is not over"
        await caller.start(workers=4)
        await laptop.do("delete", "target")
        await caller.made(200)
        outcomes = await caller.stop()
        assert not failures(outcomes)
        assert {one.version for one in outcomes} == {"1.0.0"}

        async def alone() -> bool:  # a process that Consul does not list any more may still be ending
            return await laptop.versions() == {"1.0.0": 2}

        await eventually(alone)


async def test_an_up_that_was_killed_goes_on_with_its_rollout(tmp_path: Path) -> None:
    chosen = own_ports()
    topology = TOPOLOGY.replace("FIXED", str(promised_port()))
    async with an_up(tmp_path, topology, *chosen, mesh=True) as up:
        await up.until_up()
        laptop = Laptop(up)
        await laptop.apply(
            version="2.0.0", analysis={"background": False}, strategy=canary({"setWeight": 20}, {"pause": {}})
        )
        await laptop.until_phase("Paused", weight=20)
        await up.process.kill()
    async with an_up(tmp_path, topology, *chosen, mesh=True) as up:
        await up.until_up()
        laptop = Laptop(up)

        async def canary_is_back() -> bool:
            return await laptop.versions() == Counter({"1.0.0": 2, "2.0.0": 1})

        await eventually(canary_is_back, timeout=40)
        await laptop.until_phase("Paused", weight=20, stable="1.0.0")
        await laptop.do("promote", "target")
        await laptop.until_phase("Healthy", stable="2.0.0")


async def test_what_cannot_be_rolled_out_is_refused_with_the_field(tmp_path: Path) -> None:
    async with a_laptop(tmp_path) as laptop:
        cases = {
            "spec.service: no service is called targit; did you mean target?": {"service": "targit"},
            "spec.service: fixed has the fixed port": {"service": "fixed"},
            "spec.strategy.canary.steps[0].setWeight": {"strategy": canary({"setWeight": 101})},
        }
        for message, spec in cases.items():
            code, said = await laptop.up.do("rollout", "apply", str(laptop.write(**{**GOOD, **spec})))
            assert code in {1, 2}
            assert message in said
        assert "2.0.0" not in await laptop.versions()
        (tmp_path / "none.yaml").write_text("a: [")
        code, said = await laptop.up.do("rollout", "lint", str(tmp_path / "none.yaml"))
        assert (code, "line 1, column 5: " in said) == (2, True)
