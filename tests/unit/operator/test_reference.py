"""How many pods the Deployment of a workloadRef has, and who says so."""

from __future__ import annotations

from typing import Any

import pytest

from meshwright_operator.kubernetes import reference

Deployment = dict[str, Any]


def deployment(count: int, **annotations: str) -> Deployment:
    found = {f"meshwright.dev/{name.replace('_', '-')}": value for name, value in annotations.items()}
    return {"metadata": {"name": "mw-user", "annotations": found}, "spec": {"replicas": count}, "status": {}}


def patched(given: Deployment, patch: dict[str, Any] | None) -> Deployment:
    assert patch is not None
    annotations = {**given["metadata"]["annotations"], **patch["metadata"]["annotations"]}
    kept = {name: value for name, value in annotations.items() if value is not None}
    return {"metadata": {**given["metadata"], "annotations": kept}, "spec": dict(patch["spec"]), "status": {}}


def test_a_wish_is_obeyed_once_for_each_change() -> None:
    one = deployment(1, replicas="3")
    after = patched(one, reference.replicas_patch(one))
    assert after["spec"]["replicas"] == 3
    assert reference.replicas_patch(after) is None
    after["spec"]["replicas"] = 7  # kubectl scale
    assert reference.replicas_patch(after) is None
    after["metadata"]["annotations"][reference.REPLICAS_ANNOTATION] = "4"
    assert patched(after, reference.replicas_patch(after))["spec"]["replicas"] == 4
    assert reference.replicas_patch(deployment(2)) is None
    assert reference.replicas_patch(deployment(2, replicas="many")) is None


@pytest.mark.parametrize(
    ("before", "after"),
    [(deployment(2), 2), (deployment(2, replicas="3"), 3), (deployment(5, replicas="0"), 0)],
)
def test_pods_come_back_when_the_rollout_goes(before: Deployment, after: int) -> None:
    idled = patched(before, reference.idle_patch(before, "user"))
    assert (idled["spec"]["replicas"], reference.idled_by(idled)) == (0, "user")
    assert reference.idle_patch(idled, "user") is None
    assert reference.replicas_patch(idled) is None
    restored = patched(idled, reference.restore_patch(idled))
    assert (restored["spec"]["replicas"], reference.idled_by(restored)) == (after, "")
    assert reference.replicas_patch(restored) is None


def test_it_serves_when_all_of_its_pods_are_ready() -> None:
    one = deployment(2)
    assert not reference.is_serving(one)
    assert reference.is_serving({**one, "status": {"readyReplicas": 2}})
    assert reference.is_serving(deployment(0))
