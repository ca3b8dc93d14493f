"""The result of `decide`: the status to write, actions, events, spans, and the time of the next pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshwright.rollout.api.routing import Routing
    from meshwright.rollout.api.status import RolloutStatus
    from meshwright.rollout.api.vocabulary import EventType


@dataclass(frozen=True, slots=True)
class EnsureVersion:
    """Create or update a version with this number of instances."""

    version: str
    replicas: int


@dataclass(frozen=True, slots=True)
class ScaleVersion:
    """Scale an existing version."""

    version: str
    replicas: int


@dataclass(frozen=True, slots=True)
class DeleteVersion:
    """Delete a version's workload."""

    version: str


@dataclass(frozen=True, slots=True)
class SetTraffic:
    """Write this routing."""

    routing: Routing


@dataclass(frozen=True, slots=True)
class ReleaseTraffic:
    """Remove the rollout's part from the config entries."""


Action = EnsureVersion | ScaleVersion | DeleteVersion | SetTraffic | ReleaseTraffic


@dataclass(frozen=True, slots=True)
class Event:
    """An event, recorded once."""

    type: EventType
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """A moment within a span, such as a measurement."""

    name: str
    at: float
    attributes: Mapping[str, str | int | float | bool] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class FinishedSpan:
    """A finished span; times are unix seconds, ids hex. The same span has the same id in each pass."""

    trace_id: str
    span_id: str
    parent_id: str
    """Empty for the rollout's own span."""
    name: str
    started_at: float
    ended_at: float
    ok: bool = True
    message: str = ""
    attributes: Mapping[str, str | int | float | bool] = field(default_factory=dict, hash=False)
    events: tuple[SpanEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """The result of one pass. The actions are in their required order."""

    status: RolloutStatus
    actions: tuple[Action, ...] = ()
    events: tuple[Event, ...] = ()
    spans: tuple[FinishedSpan, ...] = ()
    requeue_after: float | None = None
    """Seconds until the next pass; None: on the next change."""
