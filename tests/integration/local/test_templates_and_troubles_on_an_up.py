"""On an `up`: variables that change at one version, a strategy that changes under way, versions that do not come up."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from support.mesh.mesh import failures
from support.mesh.up import a_laptop, canary
from support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

NONE = {"background": False}
HALF = canary({"setWeight": 50}, {"pause": {}})
BY_HAND = {"blueGreen": {"autoPromotion": False, "scaleDownDelay": "1s"}}


def condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in status["conditions"] if one["type"] == kind)
    return found


async def test_variables_that_change_at_one_version_replace_its_instances_without_a_failed_call(tmp_path: Path) -> None:
    async with a_laptop(tmp_path) as laptop, laptop.calling() as caller:
        await laptop.apply(version="1.0.0", env={"TARGET_DELAY": "0.001"}, analysis=NONE, strategy=HALF)
        await laptop.until_phase("Healthy", revision=2)  # the first one is the topology's
        before = {life.pid for life in laptop.up.record.lives if life.instance.startswith("target-")}
        await caller.start(workers=4)
        await laptop.apply(version="1.0.0", env={"TARGET_DELAY": "0.002"}, analysis=NONE, strategy=HALF)
        updating = await laptop.until_phase("Updating")
        assert condition(updating, "Current")["status"] == "False"
        done = await laptop.until_phase("Healthy", stable="1.0.0", revision=3)
        assert condition(done, "Current")["status"] == "True"
        (version,) = done["versions"]
        assert (version["version"], version["healthy"], version.get("old", 0)) == ("1.0.0", 2, 0)
        await caller.made(200)
        outcomes = await caller.stop()
        assert not failures(outcomes)
        assert {one.version for one in outcomes} == {"1.0.0"}

        def replaced() -> bool:  # what Consul does not list any more may still be ending
            after = {life.pid for life in laptop.up.record.lives if life.instance.startswith("target-")}
            return len(after) == 2 and not before & after

        await eventually(replaced)


async def test_a_strategy_changed_to_one_without_weights_gives_the_calls_back_at_once(tmp_path: Path) -> None:
    async with a_laptop(tmp_path) as laptop, laptop.calling() as caller:
        await laptop.apply(version="2.0.0", analysis=NONE, strategy=HALF)
        await laptop.until_phase("Paused", weight=50)
        await caller.start(workers=4)
        await caller.made(200)
        await laptop.apply(version="2.0.0", analysis=NONE, strategy=BY_HAND)
        await laptop.until(lambda status: status["weight"] == 0)

        async def old_alone() -> bool:
            return {one.version for one in await caller.call(50)} == {"1.0.0"}

        await eventually(old_alone, timeout=10)
        await laptop.until_phase("Paused", weight=0, stable="1.0.0")
        assert {one.version for one in await caller.call(200)} == {"1.0.0"}
        outcomes = await caller.stop()
        assert not failures(outcomes)
        assert Counter(one.version for one in outcomes)["2.0.0"]
        await laptop.do("promote", "target")
        await laptop.until_phase("Healthy", stable="2.0.0")


@pytest.mark.parametrize(
    ("variables", "reason", "words"),
    [
        ({"TARGET_END": "no such table: users"}, "Exited", r"it exited with code 3.*: no such table: users"),
        ({"TARGET_VERSION": "1.9.0"}, "OtherVersion", r"registered as version 1\.9\.0 .*, not as 2\.0\.0"),
        ({"TARGET_SERVICE": "targets"}, "OtherServiceName", r"registered as service targets, not target"),
    ],
    ids=["exits", "version", "service"],
)
async def test_a_version_that_does_not_come_up_says_why(
    tmp_path: Path, variables: dict[str, str], reason: str, words: str
) -> None:
    async with a_laptop(tmp_path) as laptop:
        await laptop.apply(version="2.0.0", env=variables, analysis=NONE, strategy=HALF)

        def is_told(status: dict[str, Any]) -> bool:
            told = [one for one in status.get("troubles", ()) if one["reason"] == reason]
            return bool(told and re.search(words, told[0]["message"]))

        status = await laptop.until(is_told)
        found = condition(status, "InstancesReady")
        assert (found["status"], found["reason"]) == ("False", reason)
        assert re.search(words, found["message"])
        assert re.search(words, status["message"])
        assert status["stable"] == "1.0.0"
        assert status["weight"] == 0
        await laptop.up.until_shown(f"{reason}: version 2.0.0: .*{words}")
