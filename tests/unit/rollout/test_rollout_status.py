"""The status as JSON: what people and `kubectl` read, and what a restarted shell goes on from."""

from __future__ import annotations

import re

from meshwright.rollout.api.status import RolloutStatus
from meshwright.rollout.api.status_document import read, time_text, time_value, write
from meshwright.rollout.api.vocabulary import Phase
from support.kubernetes.rollouts import stable_world


def test_a_status_reads_as_kubernetes_does() -> None:
    world = stable_world(steps=[{"setWeight": 20}, {"pause": {}}])
    world.ask("2.0.0")
    world.run(10)
    found = write(world.status)
    assert (found["phase"], found["stable"], found["target"], found["weight"]) == ("Paused", "1.0.0", "2.0.0", 20)
    assert (found["progress"], found["ready"], found["replicas"]) == ("2/3", "5/5", 5)
    assert found["selector"] == "meshwright.dev/rollout=user"
    paused = next(one for one in found["conditions"] if one["type"] == "Paused")
    assert (paused["status"], paused["reason"], paused["observedGeneration"]) == ("True", "PauseStep", 1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", paused["lastTransitionTime"])
    assert found["routing"]["weights"] == {"1.0.0": 80, "2.0.0": 20}
    assert read(found) == world.status


def test_nothing_is_an_empty_status() -> None:
    assert read(None) == read({}) == RolloutStatus()
    assert read(write(RolloutStatus())) == RolloutStatus()


def test_what_another_version_wrote_is_passed_over() -> None:
    found = read({"phase": "Levitating", "stable": "1.0.0", "unheardOf": {"a": 1}})
    assert (found.phase, found.stable) == (Phase.PENDING, "1.0.0")


def test_times_survive_to_the_millisecond() -> None:
    assert time_value(time_text(1_800_000_000.123)) == 1_800_000_000.123


def test_conditions_keep_the_time_of_their_last_change() -> None:
    world = stable_world()
    before = {condition.type: condition.since for condition in world.status.conditions}
    world.run(60)
    assert {condition.type: condition.since for condition in world.status.conditions} == before
