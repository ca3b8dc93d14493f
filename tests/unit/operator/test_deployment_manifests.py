"""A version's Deployment: the person's pod template with what the mesh needs, and nothing of it lost."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwright_operator.kubernetes.manifests import applied, digest, manifest, pod_template
from support.kubernetes.rollouts import rollout

TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"team": "a"}, "creationTimestamp": None},
    "spec": {
        "containers": [
            {"name": "user", "env": [{"name": "A", "value": "$(MESHWRIGHT_VERSION)"}]},
            {"name": "side", "env": [{"name": "MESHWRIGHT_VERSION", "value": "typed by hand"}]},
        ],
        "volumes": [{"name": "tmp"}],
    },
}


def test_every_container_learns_its_version_first_and_the_template_is_left_alone() -> None:
    made = pod_template(rollout(), "2.0.0", TEMPLATE)
    version = {"name": "MESHWRIGHT_VERSION", "value": "2.0.0"}
    first, second = made["spec"]["containers"]
    assert first["env"] == [version, {"name": "A", "value": "$(MESHWRIGHT_VERSION)"}]
    assert second["env"] == [version]
    assert made["spec"]["volumes"] == [{"name": "tmp"}]
    assert made["metadata"] == {
        "labels": {"team": "a", "meshwright.dev/rollout": "user", "meshwright.dev/version": "2-0-0"}
    }
    assert TEMPLATE["spec"]["containers"][1]["env"][0]["value"] == "typed by hand"


def test_a_version_is_selected_by_labels_that_its_pods_carry_and_owned_by_its_rollout() -> None:
    template = pod_template(rollout(), "2.0.0", TEMPLATE)
    made = manifest(rollout(), "2.0.0", 3, template)
    assert made["metadata"]["name"] == "user-2-0-0"
    assert made["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"], owner["controller"]) == (
        "VersionedRollout",
        "user",
        "u-1",
        True,
    )


@given(st.permutations(list(TEMPLATE["spec"].items())))
def test_the_hash_of_a_template_does_not_depend_on_the_order_of_its_keys(items: list[tuple[str, Any]]) -> None:
    assert digest({"spec": dict(items)}) == digest({"spec": TEMPLATE["spec"]})


def test_the_hash_of_a_template_changes_with_it() -> None:
    assert digest(pod_template(rollout(), "1", TEMPLATE)) != digest(pod_template(rollout(), "2", TEMPLATE))


POLICY = "terminationMessagePolicy"


@pytest.mark.parametrize("kind", ["containers", "initContainers"])
@pytest.mark.parametrize("asked", [{}, {POLICY: "File"}, {POLICY: "File", "terminationMessagePath": "/run/said"}])
def test_every_container_that_ends_badly_leaves_its_last_lines(kind: str, asked: dict[str, str]) -> None:
    given = [{"name": "user", **asked}, {"name": "side", POLICY: "FallbackToLogsOnError"}]
    made = applied({"spec": {"containers": [{"name": "main"}], kind: given}})["template"]["spec"]
    assert made[kind] == [{**one, POLICY: "FallbackToLogsOnError"} for one in given]
    assert given[0] == {"name": "user", **asked}, "the template that was given is left alone"


def test_the_policy_of_last_words_is_no_change_of_the_template() -> None:
    """A template that was read back from the API server says `File` where the manifest says nothing."""
    silent, filled = pod_template(rollout(), "1", TEMPLATE), pod_template(rollout(), "1", TEMPLATE)
    filled["spec"]["containers"][0][POLICY] = "File"
    assert applied(silent) == applied(filled)
