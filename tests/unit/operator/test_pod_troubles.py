"""What Kubernetes says of pods that are not ready, as one reason each."""

from __future__ import annotations

from typing import Any

import pytest

from meshwright_operator.kubernetes import pod_troubles


def pod(state: dict[str, Any], *, last: dict[str, Any] | None = None, restarts: int = 0) -> dict[str, Any]:
    container = {"name": "user", "image": "user:1", "ready": False, "restartCount": restarts, "state": state}
    return {
        "metadata": {"name": "user-x", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "status": {"conditions": [], "containerStatuses": [container | ({"lastState": last} if last else {})]},
    }


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


ENDED = {"terminated": {"exitCode": 3, "reason": "Error", "message": "starting\nno such table\n"}}
OOM = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}


@pytest.mark.parametrize(
    ("found", "reason", "words"),
    [
        (pod(waiting("ErrImagePull", "user:1: not found")), "ErrImagePull", "user:1: not found"),
        (pod(waiting("ImagePullBackOff", "Back-off")), "ErrImagePull", "image user:1: Back-off"),
        (pod(waiting("CreateContainerConfigError", 'secret "a" not found')), "CreateContainerConfigError", '"a"'),
        (
            pod(waiting("CrashLoopBackOff"), last=ENDED, restarts=4),
            "CrashLoopBackOff",
            "restarted 4 times: no such table",
        ),
        (pod({"running": {}}, last=ENDED, restarts=1), "CrashLoopBackOff", "exited with code 3: no such table"),
        (pod(OOM), "CrashLoopBackOff", "exited with code 137 (OOMKilled)"),
    ],
)
def test_a_container_says_why_it_is_not_ready(found: dict[str, Any], reason: str, words: str) -> None:
    (trouble,) = pod_troubles.of_pods([found])
    assert (trouble.object, trouble.reason) == ("Pod user-x, container user", reason)
    assert words in trouble.message


@pytest.mark.parametrize("state", [waiting("ContainerCreating"), waiting("PodInitializing"), {"running": {}}, {}])
def test_a_pod_that_is_about_to_start_is_no_trouble(state: dict[str, Any]) -> None:
    assert pod_troubles.of_pods([pod(state)]) == ()


def test_a_pod_that_no_node_takes_and_one_that_a_quota_refuses() -> None:
    lonely = pod({})
    lonely["status"]["conditions"] = [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "Insufficient cpu"}
    ]
    assert [str(one) for one in pod_troubles.of_pods([lonely])] == ["Pod user-x: Unschedulable: Insufficient cpu"]
    condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota: q"}
    refused = {"metadata": {"name": "user-1-0-0"}, "status": {"conditions": [condition]}}
    assert [str(one) for one in pod_troubles.of_deployment(refused)] == [
        "Deployment user-1-0-0: FailedCreate: exceeded quota: q"
    ]
