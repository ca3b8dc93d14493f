"""Why pods are not ready, as reported by the scheduler, the kubelet, and the container. Pure.

The causes are spread over a Deployment's conditions (a quota rejects its pods), a pod's conditions (no node fits), the
states of its containers (an image, a ConfigMap, an exit code) and Events (a volume, a failing probe). A crashing
container alternates between states: they count as one reason, so that there is one event for it.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from meshwright.rollout.api.observed import Trouble

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

READY_GRACE = 15.0
"""Seconds for which a running container may be unready without a reported cause."""
REGISTRATION_GRACE = 10.0
"""Seconds after which a ready pod should be registered in Consul."""
MAX_TROUBLES = 3
_LONGEST = 300
_FINE = frozenset({"", "ContainerCreating", "PodInitializing"})
_IMAGE = frozenset({"ErrImagePull", "ImagePullBackOff"})
_CRASH = "CrashLoopBackOff"


def of_deployment(deployment: Mapping[str, Any]) -> tuple[Trouble, ...]:
    """Pods that could not be created: a quota, an admission webhook, a missing service account."""
    return tuple(
        Trouble(f"Deployment {deployment['metadata']['name']}", one.get("reason") or "ReplicaFailure", _short(one))
        for one in (deployment.get("status") or {}).get("conditions") or ()
        if one["type"] == "ReplicaFailure" and one["status"] == "True"
    )


def of_pods(pods: Iterable[Mapping[str, Any]]) -> tuple[Trouble, ...]:
    """One trouble for each reason, of the youngest pod with it."""
    found: dict[str, Trouble] = {}
    for pod in _youngest_first(pods):
        trouble = _of_pod(pod)
        if trouble is not None:
            found.setdefault(trouble.reason, trouble)
    return tuple(found.values())[:MAX_TROUBLES]


def unexplained(pods: Iterable[Mapping[str, Any]], now: float) -> tuple[Mapping[str, Any], ...]:
    """Pods that are not ready after `READY_GRACE` without a cause in their status: Events may have it."""
    return tuple(
        pod
        for pod in _youngest_first(pods)
        if not _is_ready(pod) and now - _time(pod["metadata"].get("creationTimestamp")) > READY_GRACE
    )[:MAX_TROUBLES]


def of_events(pod: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> Trouble | None:
    """The last warning Event of a pod."""
    warnings = sorted((one for one in events if one.get("type") == "Warning"), key=_seen)
    if not warnings:
        return None
    last = warnings[-1]
    return Trouble(_name(pod), last.get("reason") or "Warning", _short(last))


def of_readiness(pod: Mapping[str, Any]) -> Trouble:
    """The trouble of a running, unready pod without Events."""
    return Trouble(_name(pod), "NotReady", _short(_condition(pod, "Ready")) or "its containers are not ready")


def addresses(pods: Iterable[Mapping[str, Any]], now: float) -> tuple[str, ...]:
    """The addresses of pods ready for more than `REGISTRATION_GRACE`: they should be registered in Consul."""
    return tuple(
        pod["status"]["podIP"]
        for pod in pods
        if _is_ready(pod)
        and pod["status"].get("podIP")
        and now - _time(_condition(pod, "Ready").get("lastTransitionTime")) > REGISTRATION_GRACE
    )


def _of_pod(pod: Mapping[str, Any]) -> Trouble | None:
    status = pod.get("status") or {}
    if pod["metadata"].get("deletionTimestamp") or _is_ready(pod):
        return None
    if status.get("phase") == "Failed" and not status.get("containerStatuses"):
        return Trouble(_name(pod), status.get("reason") or "Failed", _short(status))
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return Trouble(_name(pod), scheduled.get("reason") or "Unschedulable", _short(scheduled))
    for container in _containers(status):
        trouble = _of_container(pod, container)
        if trouble is not None:
            return trouble
    return None


def _of_container(pod: Mapping[str, Any], container: Mapping[str, Any]) -> Trouble | None:
    state = container.get("state") or {}
    waiting = state.get("waiting") or {}
    reason = waiting.get("reason") or ""
    where = f"{_name(pod)}, container {container['name']}"
    if reason in _IMAGE:
        return Trouble(where, "ErrImagePull", _image(container, waiting))
    if reason not in _FINE and reason != _CRASH:
        return Trouble(where, reason, _short(waiting))
    ended = state.get("terminated") or (container.get("lastState") or {}).get("terminated")
    if (
        ended
        and not container.get("ready")
        and (ended.get("exitCode") or reason == _CRASH or container.get("restartCount"))
    ):
        return Trouble(where, _CRASH, _end(container, ended))
    return None


def _end(container: Mapping[str, Any], ended: Mapping[str, Any]) -> str:
    """The last end of the container, with its last message."""
    code, why = ended.get("exitCode", 0), ended.get("reason") or ""
    how = f"exited with code {code}" + (f" ({why})" if why and why != "Error" else "")
    if ended.get("signal"):
        how = f"was ended by signal {ended['signal']}"
    lines = [line.strip() for line in (ended.get("message") or "").splitlines() if line.strip()]
    said = f": {lines[-1][:_LONGEST]}" if lines else ""
    count = container.get("restartCount") or 0
    return f"it {how}" + (f", restarted {count} times" if count > 1 else "") + said


def _image(container: Mapping[str, Any], waiting: Mapping[str, Any]) -> str:
    text = _short(waiting)
    image = container.get("image") or ""
    return text if image in text else f"image {image}: {text}"


def _containers(status: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()


def _youngest_first(pods: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(
        (pod for pod in pods if not pod["metadata"].get("deletionTimestamp")),
        key=lambda pod: (pod["metadata"].get("creationTimestamp") or "", pod["metadata"]["name"]),
        reverse=True,
    )


def _name(pod: Mapping[str, Any]) -> str:
    return f"Pod {pod['metadata']['name']}"


def _is_ready(pod: Mapping[str, Any]) -> bool:
    return bool(_condition(pod, "Ready").get("status") == "True")


def _condition(pod: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    conditions: Iterable[Mapping[str, Any]] = (pod.get("status") or {}).get("conditions") or ()
    return next((one for one in conditions if one["type"] == kind), {})


def _short(said: Mapping[str, Any]) -> str:
    text = " ".join((said.get("message") or "").split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _seen(event: Mapping[str, Any]) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp") or "")


def _time(text: str | None) -> float:
    return datetime.fromisoformat(text).timestamp() if text else 0.0
