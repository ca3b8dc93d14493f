"""The JSON frames that the gateway sends on a socket, as docs/reference/realtime.md specifies them.

Frames of chat messages are cached: a message to a room of a thousand is encoded once.
"""

from __future__ import annotations

import json
from datetime import UTC
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from services.gateway.realtime.commands import KINDS

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from demo.chat.v1 import chat_pb2 as chat_pb
    from demo.notification.v1 import notification_pb2 as note_pb
    from services.gateway.errors import ApiError


def frame(kind: str, /, **fields: Any) -> str:
    """A frame; fields that are None or empty strings are left out."""
    document = {"type": kind} | {name: value for name, value in fields.items() if value is not None and value != ""}
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def error(failure: ApiError, **about: str) -> str:
    return frame(
        "error",
        code=failure.code,
        reason=failure.reason or failure.code,
        detail=failure.detail,
        fields=failure.fields or None,
        **about,
    )


def joined(event: chat_pb.Presence, *, resumed: bool, ref: str) -> str:
    people = [_person(person) for person in event.people]
    return frame("joined", room=event.room, people=people, total=event.total, resumed=resumed, ref=ref)


def message(event: chat_pb.ChatMessage) -> str:
    return _message(event.room, event.id, event.SerializeToString())


@lru_cache(maxsize=1024)
def _message(room: str, number: str, body: bytes) -> str:
    from demo.chat.v1 import chat_pb2  # noqa: PLC0415 - the module is typed by it alone

    event = chat_pb2.ChatMessage.FromString(body)
    return frame(
        "message",
        room=room,
        id=number,
        user_id=event.user_id,
        name=event.name,
        text=event.text,
        client_id=event.client_id,
        sent_at=_time(event.sent_at),
    )


def document(event: chat_pb.ChatMessage) -> dict[str, Any]:
    """A message as polling returns it."""
    found: dict[str, Any] = json.loads(message(event))
    del found["type"]
    return found


def presence(event: chat_pb.PresenceChange) -> str:
    return frame("presence", room=event.room, **_person(event.person), present=event.present)


def missed(room: str, event: chat_pb.Missed) -> str:
    return frame("missed", room=room, count=event.count, first=event.first, last=event.last)


def notification(event: note_pb.Notification) -> str:
    return frame(
        "notification",
        id=event.id,
        kind=KINDS[event.type] if event.type < len(KINDS) else "INFO",
        title=event.title,
        message=event.message,
        data=dict(event.data),
        created_at=_time(event.created_at),
        missed=event.missed or None,
    )


def _person(person: chat_pb.Person) -> dict[str, Any]:
    return {"user_id": person.user_id, "name": person.name, "connections": person.connections}


def _time(stamp: Timestamp) -> str:
    return stamp.ToDatetime(tzinfo=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
