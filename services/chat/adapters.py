"""The archive of messages in a JetStream stream: one stream for all rooms, with a subject for each.

The stream's order is the order of messages in a room, on every replica; the server's time is the time of a message, so
that no clocks of replicas are compared.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nats.js.errors import BadRequestError

from services.chat.app import StreamLostError
from services.chat.domain import Member, Message, NewMessage
from services.common.messaging.message_spans import now_ns
from services.common.messaging.ordered_consumer import OrderedConsumer
from services.common.messaging.refusals import PROBE
from services.common.messaging.stream_reader import StreamReader
from services.common.runtime.errors import BusUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence
    from datetime import datetime

    from services.common.messaging.bus import Bus
    from services.common.messaging.fanout import Fanout
    from services.common.messaging.stream_position import StreamPosition
    from services.common.messaging.stream_reader import StoredMessage

log = logging.getLogger(__name__)

STREAM = "CHAT"
PROBES = f"chat.{PROBE}"
_PREFIX = "chat.room."
_TEMPLATE = f"{_PREFIX}{{room}}"


@dataclass(frozen=True, slots=True)
class Retention:
    """Retention of messages, by age and number."""

    max_age: float
    """Seconds until a message is removed."""
    per_room: int
    """Maximum messages of a room; the oldest are dropped."""
    in_all: int
    """Maximum messages of all rooms: the number of rooms is unlimited."""
    key_window: float
    """Seconds in which messages with the same client_id are deduplicated."""


class StreamArchive:
    """The archive, and the ordered consumer that feeds this replica's callers."""

    def __init__(self, bus: Bus, keeping: Retention, fanout: Fanout[Message]) -> None:
        self.consumer = OrderedConsumer(bus, STREAM, self.prepare, self._take, lambda: fanout.end(StreamLostError()))
        self._reader = StreamReader(bus, STREAM)
        self._bus = bus
        self._keeping = keeping
        self._fanout = fanout

    async def prepare(self) -> None:
        """Creates the stream. Raises BusUnavailableError."""
        await self._bus.ensure_stream(
            STREAM,
            f"{_PREFIX}*",
            PROBES,
            max_age=self._keeping.max_age,
            max_msgs_per_subject=self._keeping.per_room,
            max_msgs=self._keeping.in_all,
            duplicate_window=min(self._keeping.key_window, self._keeping.max_age),
        )

    def position(self) -> int:
        return self.consumer.position

    async def store(self, remark: NewMessage) -> int:
        headers = {"Nats-Msg-Id": _key(remark)} if remark.client_id else None
        subject, message_id = _subject(remark.member.room), headers["Nats-Msg-Id"] if headers else ""
        try:
            told = await self._bus.publish(
                STREAM, subject, _encode(remark), headers, message_id=message_id, template=_TEMPLATE
            )
        except BadRequestError as error:
            raise BusUnavailableError from error
        return int(told.seq)

    async def get(self, sequence: int) -> Message | None:
        found = await self._reader.get(sequence)
        return _decode(found) if found else None

    async def knows(self, place: StreamPosition) -> bool:
        return await self._reader.knows(place, self.consumer)

    async def keeps(self, place: StreamPosition, room: str, now: datetime) -> bool:
        return await self._reader.keeps(place, [_subject(room)], now)

    async def read(self, room: str, after: int, until: int) -> AsyncGenerator[Message]:
        async for message in self._reader.between(_subject(room), after, until):
            if decoded := _decode(message):
                yield decoded

    async def page(self, room: str, after: int, since: datetime | None, limit: int) -> Sequence[Message]:
        subject, start = _subject(room), after + 1
        if since is not None:
            first = await self._reader.batch(subject, since, 1)
            if not first:
                return ()
            start = max(start, first[0].sequence)
        return _decoded(await self._reader.batch(subject, start, limit))

    async def latest(self, room: str, limit: int) -> Sequence[Message]:
        return _decoded(await self._reader.latest(_subject(room), limit))

    async def counts(self) -> Mapping[str, int]:
        found = await self._reader.counts(_subject("*"))
        return {subject.removeprefix(_PREFIX): count for subject, count in found.items()}

    def _take(self, message: StoredMessage) -> None:
        began = now_ns()
        if (decoded := _decode(message)) and self._fanout.deliver(decoded.content.member.room, decoded):
            self._bus.spans.delivered(message, "chat", began, _TEMPLATE)


def _subject(room: str) -> str:
    return f"{_PREFIX}{room}"


def _key(remark: NewMessage) -> str:
    who = remark.member
    return hashlib.sha256(f"{who.room}\0{who.user_id}\0{remark.client_id}".encode()).hexdigest()


def _encode(remark: NewMessage) -> bytes:
    who = remark.member
    document = {"user_id": who.user_id, "name": who.name, "text": remark.text, "client_id": remark.client_id}
    return json.dumps(document, separators=(",", ":")).encode()


def _decode(message: StoredMessage) -> Message | None:
    """Decodes a message; None for a foreign one, which is skipped."""
    try:
        document = json.loads(message.body)
        room = message.subject.removeprefix(_PREFIX)
        who = Member(room, str(document["user_id"]), str(document["name"]))
        remark = NewMessage(who, str(document["text"]), str(document["client_id"]))
    except (ValueError, KeyError, TypeError) as error:
        log.error("message %d of %s is skipped: %r", message.sequence, STREAM, error)
        return None
    return Message(str(message.position), message.sequence, remark, message.moment)


def _decoded(messages: Sequence[StoredMessage]) -> Sequence[Message]:
    return [decoded for message in messages if (decoded := _decode(message))]
