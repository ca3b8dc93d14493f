"""Events between services: CloudEvents 1.0, structured mode, JSON.

An event's `type` includes its version (`demo.order.OrderPlaced.v1`), and its `subject` is the id of the entity. Two
extension attributes: `sequence` is its position in the source's own log (ascending, with gaps), `traceparent` its trace
(CloudEvents' Distributed Tracing extension).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

MEDIA_TYPE = "application/cloudevents+json"
SEQUENCE_HEADER = "Demo-Event-Sequence"


class InvalidEventError(ValueError):
    """The bytes are not a valid event; the message has the reason."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a service."""

    source: str
    """The service, as in `order`."""
    sequence: int
    """The position in the source's log, 1 or more."""
    type: str
    """As in `demo.order.OrderPlaced.v1`."""
    subject: str
    """The id of the entity."""
    time: datetime
    data: Mapping[str, Any] = field(default_factory=dict)
    traceparent: str = ""

    @property
    def id(self) -> str:
        return f"{self.source}/{self.sequence}"

    @property
    def name(self) -> str:
        """The type without package and version: `OrderPlaced`."""
        return self.type.split(".")[-2]


def stream_of(source: str) -> str:
    """The JetStream stream that holds the events of a service."""
    return f"EVENTS_{source.upper()}"


def subject_of(event: Event) -> str:
    """The NATS subject: `events.order.OrderPlaced`."""
    return f"events.{event.source}.{event.name}"


def encode(event: Event) -> bytes:
    document = {
        "specversion": "1.0",
        "id": event.id,
        "source": f"/{event.source}",
        "type": event.type,
        "subject": event.subject,
        "time": event.time.astimezone(UTC).isoformat(),
        "datacontenttype": "application/json",
        "sequence": str(event.sequence),
        "data": dict(event.data),
    }
    if event.traceparent:
        document["traceparent"] = event.traceparent
    return json.dumps(document, separators=(",", ":")).encode()


def decode(body: bytes) -> Event:
    """Decodes an event; raises InvalidEventError."""
    try:
        document = json.loads(body)
        if document["specversion"] != "1.0":
            raise InvalidEventError(f"specversion {document['specversion']!r} is not 1.0")
        event = Event(
            source=document["source"].removeprefix("/"),
            sequence=int(document["sequence"]),
            type=document["type"],
            subject=document["subject"],
            time=datetime.fromisoformat(document["time"]),
            data=document.get("data") or {},
            traceparent=document.get("traceparent", ""),
        )
    except InvalidEventError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidEventError(f"{type(error).__name__}: {error}") from error
    if not all(isinstance(text, str) for text in (event.type, event.subject, event.traceparent)):
        raise InvalidEventError("type, subject and traceparent must be texts")
    if not isinstance(event.data, dict) or event.time.tzinfo is None:
        raise InvalidEventError("data must be an object, and time must have a zone")
    if event.type.count(".") < 2 or event.sequence < 1:  # noqa: PLR2004
        raise InvalidEventError(f"type {event.type!r} with sequence {event.sequence} is none of ours")
    return event
