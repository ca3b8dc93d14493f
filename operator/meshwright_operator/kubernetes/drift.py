"""What others have changed of a Deployment that the operator made.

An API server fills in defaults, and admission webhooks add what they like, so that what is read never equals what was
written. Rather than to know all of that, the operator asks: the same write once more, as a dry run, comes out as the
object that the write would make. Where that is what is there, nothing was changed, whatever defaults and webhooks put
in; where it is not, the difference is what others did, and the write takes it back. A webhook can never be fought so:
what it adds is in both.

Not the operator's, and left alone: annotations and labels of the pod template that were not applied (`kubectl rollout
restart` works by one), and the number of pods, which is compared elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshwright_operator.kubernetes.cluster import merge_patch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_KEYS = ("name", "containerPort", "mountPath", "topologyKey", "key")
"""What tells the items of a list apart, in Kubernetes' lists."""
_EMPTY: tuple[Any, ...] = (None, {}, [])
_NOT_OURS = frozenset({"replicas"})


def patch(live: Mapping[str, Any], asked: Mapping[str, Any], before: Mapping[str, Any] | None) -> dict[str, Any]:
    """The merge patch (RFC 7396) of a Deployment's spec that makes it what is asked for, and what was so `before`."""
    spec = live["spec"]
    found: dict[str, Any] = {key: merge_patch(spec.get(key), value) for key, value in asked.items()}
    found["template"] = {
        "spec": merge_patch(spec["template"].get("spec"), asked["template"].get("spec")),
        "metadata": _metadata(asked, before or {}),
    }
    if spec.get("paused"):
        found["paused"] = None
    return found


def _metadata(asked: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """The labels and annotations that are asked for; without those that were, and without a word on others."""
    found = {}
    for kind in ("labels", "annotations"):
        mine = (asked["template"].get("metadata") or {}).get(kind) or {}
        earlier = ((before.get("template") or {}).get("metadata") or {}).get(kind) or {}
        changes = {key: None for key in earlier if key not in mine} | mine
        if changes:
            found[kind] = changes
    return found


def differences(live: Mapping[str, Any], outcome: Mapping[str, Any]) -> tuple[str, ...]:
    """Where two Deployments' specs differ, as paths that people know from `kubectl explain`."""
    mine, theirs = (
        {key: value for key, value in one["spec"].items() if key not in _NOT_OURS} for one in (live, outcome)
    )
    return tuple(_paths(mine, theirs, "spec"))


def missing(live: Mapping[str, Any], asked: Mapping[str, Any]) -> tuple[str, ...]:
    """What of the fields asked for is not there: the lesser check, where the API server refuses dry runs."""
    return tuple(_lacks(live["spec"], asked, "spec"))


def _paths(left: Any, right: Any, path: str) -> Iterator[str]:
    if left == right or (left in _EMPTY and right in _EMPTY):
        return
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted(left.keys() | right.keys()):
            yield from _paths(left.get(key), right.get(key), f"{path}.{key}")
        return
    first, second = _named(left), _named(right)
    if first is None or second is None:
        yield path
        return
    found = [
        one
        for key in sorted(first.keys() | second.keys())
        for one in _paths(first.get(key), second.get(key), f"{path}[{key}]")
    ]
    yield from found or [path]


def _lacks(live: Any, asked: Any, path: str) -> Iterator[str]:
    if isinstance(asked, dict) and isinstance(live, dict):
        for key, value in asked.items():
            yield from _lacks(live.get(key), value, f"{path}.{key}")
        return
    present, wanted = _named(live), _named(asked)
    if present is not None and wanted is not None:
        for key, value in wanted.items():
            yield from _lacks(present.get(key), value, f"{path}[{key}]")
    elif live != asked:
        yield path


def _named(items: Any) -> dict[str, Any] | None:
    """A list by what tells its items apart; None where nothing does."""
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        return None
    for key in _KEYS:
        found = {str(item[key]): item for item in items if key in item}
        if len(found) == len(items):
            return found
    return None
