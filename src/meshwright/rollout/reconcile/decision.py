"""What `decide` answers: the status to write, what to do, what to tell, and when to look again."""

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
    """Make a version exist with so many instances."""

    version: str
    replicas: int


@dataclass(frozen=True, slots=True)
class ScaleVersion:
    """Scale a version that exists."""

    version: str
    replicas: int


@dataclass(frozen=True, slots=True)
class DeleteVersion:
    """Remove a version's workload."""

    version: str


@dataclass(frozen=True, slots=True)
class SetTraffic:
    """Spread the calls like this."""

    routing: Routing


@dataclass(frozen=True, slots=True)
class ReleaseTraffic:
    """Take the rollout's part out of the config entries."""


Action = EnsureVersion | ScaleVersion | DeleteVersion | SetTraffic | ReleaseTraffic


@dataclass(frozen=True, slots=True)
class Event:
    """Something that people want to read, once."""

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
    """A span that has ended, as data; times are unix seconds, ids hex. The same span told twice has the same id."""

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
    """The outcome of one pass. The actions are in the order in which they must happen."""

    status: RolloutStatus
    actions: tuple[Action, ...] = ()
    events: tuple[Event, ...] = ()
    spans: tuple[FinishedSpan, ...] = ()
    requeue_after: float | None = None
    """Seconds until it wants to be called again; None: only when something changes."""
