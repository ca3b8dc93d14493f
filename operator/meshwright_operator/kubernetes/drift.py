"""Detects changes by other clients of a Deployment that the operator made.

The API server fills in defaults, and admission webhooks add fields, so that a Deployment that is read never equals the
one that was written. So the operator repeats the same write as a dry run, which returns the object that the write would
result in. If that equals the live object, nothing was changed; if not, the difference is drift, and the write corrects
it. This never fights a webhook: its additions are in both.

Not compared: annotations and labels of the pod template that were not applied (`kubectl rollout restart` sets one), and
the number of replicas, which is compared elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshwright_operator.kubernetes.cluster import merge_patch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_KEYS = ("name", "containerPort", "mountPath", "topologyKey", "key")
"""The merge keys of Kubernetes' lists."""
_EMPTY: tuple[Any, ...] = (None, {}, [])
_NOT_OURS = frozenset({"replicas"})


def patch(live: Mapping[str, Any], asked: Mapping[str, Any], before: Mapping[str, Any] | None) -> dict[str, Any]:
    """The merge patch (RFC 7396) from the live Deployment to the spec `asked`; `before` was applied last."""
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
    """The desired labels and annotations; those applied before are removed, others are left unchanged."""
    found = {}
    for kind in ("labels", "annotations"):
        mine = (asked["template"].get("metadata") or {}).get(kind) or {}
        earlier = ((before.get("template") or {}).get("metadata") or {}).get(kind) or {}
        changes = {key: None for key in earlier if key not in mine} | mine
        if changes:
            found[kind] = changes
    return found


def differences(live: Mapping[str, Any], outcome: Mapping[str, Any]) -> tuple[str, ...]:
    """The differences of two Deployments' specs, as paths in the notation of `kubectl explain`."""
    mine, theirs = (
        {key: value for key, value in one["spec"].items() if key not in _NOT_OURS} for one in (live, outcome)
    )
    return tuple(_paths(mine, theirs, "spec"))


def missing(live: Mapping[str, Any], asked: Mapping[str, Any]) -> tuple[str, ...]:
    """The desired fields that are missing: the weaker check, where the API server rejects dry runs."""
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
    """The items of a list by their merge key; None without one."""
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        return None
    for key in _KEYS:
        found = {str(item[key]): item for item in items if key in item}
        if len(found) == len(items):
            return found
    return None
