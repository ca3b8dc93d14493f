"""Verbs are changes of the resource; one that makes no sense where the rollout stands is refused, and says why."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwright.rollout.api import commands
from meshwright.rollout.api.commands import CommandRejectedError
from meshwright.rollout.api.vocabulary import COMMAND_ANNOTATION
from meshwright_operator.kubernetes.cluster import merge_patch
from support.kubernetes.rollouts import document

JSON = st.recursive(
    st.integers() | st.text(max_size=3) | st.booleans() | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
OBJECT = st.dictionaries(st.text(max_size=3), JSON, max_size=4)


def at(phase: str, *promoted: str, version: str = "2.0.0", **spec: Any) -> dict[str, Any]:
    history = [{"version": one, "at": "2026-01-01T00:00:00Z"} for one in promoted]
    return document(version, **spec) | {"status": {"phase": phase, "stable": "1.0.0", "history": history}}


def test_promoting_what_is_paused_by_its_spec_takes_the_pause_away() -> None:
    patch = commands.promote(at("Paused", paused=True), "t1", full=True)
    assert patch == {
        "metadata": {"annotations": {COMMAND_ANNOTATION: "promote-full@t1"}},
        "spec": {"paused": False},
    }
    assert "spec" not in commands.promote(at("Paused"), "t1", full=False)


@pytest.mark.parametrize(
    ("verb", "phase", "why"),
    [
        (lambda it: commands.promote(it, "t", full=False), "Healthy", "nothing to promote: it is Healthy"),
        (lambda it: commands.promote(it, "t", full=True), "Aborted", "`retry` executes its steps again"),
        (lambda it: commands.abort(it, "t"), "Healthy", "nothing to abort: it is Healthy"),
        (lambda it: commands.retry(it, "t"), "Progressing", "nothing to retry: it is Progressing"),
        (commands.undo, "Healthy", "no version before 2.0.0 to go back to"),
        (lambda it: commands.undo(it, "9.9.9"), "Healthy", "9.9.9 was never promoted here; known are none"),
    ],
)
def test_a_verb_that_makes_no_sense_now_says_why(verb: Any, phase: str, why: str) -> None:
    with pytest.raises(CommandRejectedError, match="user") as refused:
        verb(at(phase))
    assert why in str(refused.value)


def test_undo_goes_to_the_version_before_or_to_the_one_that_is_named() -> None:
    rollout = at("Healthy", "1.0.0", "1.5.0", "2.0.0")
    assert commands.undo(rollout) == {"spec": {"version": "1.5.0"}}
    assert commands.undo(rollout, "1.0.0") == {"spec": {"version": "1.0.0"}}
    with pytest.raises(CommandRejectedError, match=r"known are 1\.0\.0, 1\.5\.0, 2\.0\.0"):
        commands.undo(rollout, "3.0.0")


@given(OBJECT, OBJECT)
def test_a_merge_patch_turns_one_object_into_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert commands.merged(before, merge_patch(before, after)) == after


@given(OBJECT)
def test_the_patch_between_equal_objects_is_empty(one: dict[str, Any]) -> None:
    assert merge_patch(one, one) == {}
