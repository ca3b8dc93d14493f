"""`RolloutStatus` to the JSON object in the resource's `.status`, and back.

Names are camelCase and times RFC 3339 with milliseconds, as in Kubernetes. Empty values are left out,
so that a status reads well; two fields are there for printed columns only (`progress`, `ready`). Reading is lenient:
what is missing has its default, what is unknown is passed over, so that an older status is understood.
"""

from __future__ import annotations

import re
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

from meshwright.rollout.api.routing import HeaderMatch, HeaderRoute, Routing
from meshwright.rollout.api.spec import SetCanaryScale
from meshwright.rollout.api.status import (
    AnalysisRun,
    Condition,
    Correction,
    Interrupted,
    MetricResult,
    Promotion,
    Retiring,
    RolloutStatus,
    TraceState,
    VersionState,
    VersionTrouble,
)
from meshwright.rollout.api.vocabulary import ConditionType, Phase, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

_TIMES = frozenset({"at", "since"})
_NAMES = {"since": "lastTransitionTime", "generation": "observedGeneration"}
_INNER: dict[tuple[type, str], type] = {
    (RolloutStatus, "phase"): Phase,
    (RolloutStatus, "interrupted"): Interrupted,
    (Interrupted, "phase"): Phase,
    (RolloutStatus, "canary_scale"): SetCanaryScale,
    (RolloutStatus, "routing"): Routing,
    (RolloutStatus, "analyses"): AnalysisRun,
    (RolloutStatus, "history"): Promotion,
    (RolloutStatus, "retiring"): Retiring,
    (RolloutStatus, "versions"): VersionState,
    (RolloutStatus, "troubles"): VersionTrouble,
    (RolloutStatus, "corrections"): Correction,
    (RolloutStatus, "conditions"): Condition,
    (RolloutStatus, "trace"): TraceState,
    (Routing, "header_routes"): HeaderRoute,
    (HeaderRoute, "match"): HeaderMatch,
    (AnalysisRun, "verdict"): Verdict,
    (AnalysisRun, "figures"): MetricResult,
    (MetricResult, "verdict"): Verdict,
    (Condition, "type"): ConditionType,
}
"""The types of fields that are not plain; of the items where the field is a tuple."""


def write(status: RolloutStatus) -> dict[str, Any]:
    """The `.status` object."""
    found: dict[str, Any] = _written(status)
    found["observedGeneration"] = status.observed_generation
    found["weight"] = status.weight
    found["replicas"], found["readyReplicas"] = status.replicas, status.ready_replicas
    if status.steps:
        found["progress"] = f"{min(status.step + 1, status.steps)}/{status.steps}"
    wanted = [state for state in status.versions if state.role in ("stable", "canary")]
    found["ready"] = f"{sum(state.healthy for state in wanted)}/{sum(state.desired for state in wanted)}"
    return found


def read(document: Mapping[str, Any] | None) -> RolloutStatus:
    """The status as it was written; an empty one where there is none yet."""
    found = _made(RolloutStatus, document or {})
    assert isinstance(found, RolloutStatus)
    return found


def time_text(at: float) -> str:
    """RFC 3339, UTC, milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def time_value(text: str) -> float:
    """Seconds since 1970 of a time in ISO 8601, rounded to milliseconds."""
    return round(datetime.fromisoformat(text).timestamp(), 3)


def _is_time(name: str) -> bool:
    return name in _TIMES or name.endswith("_at")


def _name(owner: type, name: str) -> str:
    if owner is Condition and name in _NAMES:
        return _NAMES[name]
    return re.sub(r"_([a-z])", lambda match: match.group(1).upper(), name)


def _written(value: Any, name: str = "", owner: type | None = None) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        kind = type(value)
        return {
            _name(kind, one.name): _written(getattr(value, one.name), one.name, kind)
            for one in fields(value)
            if getattr(value, one.name) != _default(one)
        }
    if isinstance(value, tuple):
        return [_written(item) for item in value]
    if owner is Condition and name == "status":
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if _is_time(name) and isinstance(value, int | float):
        return time_text(value)
    return dict(value) if hasattr(value, "items") else value


def _default(one: Field[Any]) -> Any:
    return one.default_factory() if one.default_factory is not MISSING else one.default


def _made(kind: Any, document: Any) -> Any:
    if issubclass(kind, Enum):
        return kind(document)
    changes: dict[str, Any] = {}
    for one in fields(kind):
        key = _name(kind, one.name)
        if key in document and document[key] is not None and _is_known(_INNER.get((kind, one.name)), document[key]):
            changes[one.name] = _value(kind, one.name, document[key])
    return kind(**changes)


def _is_known(inner: type | None, value: Any) -> bool:
    """Whether the enum has this value: another release may write others."""
    return inner is None or not issubclass(inner, Enum) or value in {one.value for one in inner}


def _value(owner: type, name: str, value: Any) -> Any:
    inner = _INNER.get((owner, name))
    if isinstance(value, list):
        # Conditions of other types belong to other controllers.
        known = [item for item in value if inner is not Condition or _is_known(ConditionType, item.get("type"))]
        return tuple(_made(inner, item) if inner else item for item in known)
    if inner is not None:
        return _made(inner, value)
    if owner is Condition and name == "status":
        return value == "True"
    if _is_time(name) and isinstance(value, str):
        return time_value(value)
    return value
