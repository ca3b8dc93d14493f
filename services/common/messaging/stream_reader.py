"""Reads stored messages of a stream without a consumer: a consumer costs server memory and three calls.

Batches use direct access, which any server with a replica of the stream may answer, also one that lags. A reader that
must not miss messages (`between`) asks the stream's leader to confirm the end of a batch. A lagging replica is never
wrong, only short: all replicas hold the same messages in the same order.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from nats import errors as nats_errors

from services.common.messaging.bus import ANSWER_SECONDS, translate_bus_errors
from services.common.messaging.message_spans import carrier_of
from services.common.messaging.stream_position import StreamPosition
from services.common.runtime.errors import BusUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from nats.aio.msg import Msg

    from services.common.messaging.bus import Bus
    from services.common.messaging.ordered_consumer import OrderedConsumer

BATCH = 100
CLOCKS = timedelta(seconds=0.5)
"""Tolerated clock difference between a replica and the NATS server."""
RENUMBERED = timedelta(seconds=5)
"""A message this much younger than a position with its sequence: the sequence was reused."""
_END_OF_BATCH = "204"
_NOT_FOUND = "404"
_NO_MESSAGE = 10037
"""JetStream's error code for a missing message."""
_SHORT, _TIME = 9, 7
"""$JS.ACK.<stream>.<consumer>.<delivered>.<number>.<number>.<time>.<pending>; the long form has two more in front."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NEVER = datetime(2262, 1, 1, tzinfo=UTC)
"""The server counts nanoseconds since 1970 in 64 bits: for a later time it answers with all messages."""


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message as the stream holds it."""

    subject: str
    sequence: int
    moment: datetime
    """When the server stored it."""
    body: bytes
    later: int = 0
    """Number of later messages of its subject; only if it was read in a batch."""
    carrier: Mapping[str, str] = field(default_factory=dict)
    """Its trace context; only if a consumer delivered it."""

    @property
    def position(self) -> StreamPosition:
        return StreamPosition(self.sequence, self.moment)


def stored_message(message: Msg) -> StoredMessage:
    """Converts a message that a consumer delivered.

    The time comes from the reply subject, as exact as the server's other answers: nats-py rounds its own.
    """
    parts = message.reply.split(".")
    nanoseconds = int(parts[_TIME if len(parts) == _SHORT else _TIME + 2])
    moment = _EPOCH + timedelta(microseconds=nanoseconds // 1000)
    number, carrier = message.metadata.sequence.stream, carrier_of(message.headers)
    return StoredMessage(message.subject, number, moment, message.data, carrier=carrier)


class StreamReader:
    """Reads one stream. Subjects have no wildcards. Every method may raise BusUnavailableError."""

    def __init__(self, bus: Bus, stream: str) -> None:
        self._bus = bus
        self._stream = stream

    async def batch(self, subject: str, start: int | datetime, limit: int) -> Sequence[StoredMessage]:
        """At most `limit` messages, ascending, from the sequence or time `start` on. May lag."""
        wanted: dict[str, Any] = {"next_by_subj": subject, "batch": limit}
        if isinstance(start, datetime):
            if start >= _NEVER:
                return ()
            wanted["start_time"] = max(start, _EPOCH).astimezone(UTC).isoformat().replace("+00:00", "Z")
        else:
            wanted["seq"] = max(start, 1)
        connection = self._bus.connection
        inbox = connection.new_inbox()
        found: list[StoredMessage] = []
        with translate_bus_errors():
            answers = await connection.subscribe(inbox)
            try:
                await connection.publish(f"$JS.API.DIRECT.GET.{self._stream}", json.dumps(wanted).encode(), inbox)
                while (answer := _direct(await answers.next_msg(ANSWER_SECONDS))) is not None:
                    found.append(answer)
            finally:
                with contextlib.suppress(nats_errors.Error):
                    await answers.unsubscribe()
        return found

    async def next(self, subject: str, start: int) -> StoredMessage | None:
        """The first message from the sequence `start` on, read from the leader."""
        return await self._ask({"next_by_subj": subject, "seq": max(start, 1)})

    async def last(self, subject: str) -> StoredMessage | None:
        """The last message of the subject, which may have wildcards, read from the leader."""
        return await self._ask({"last_by_subj": subject})

    async def get(self, sequence: int) -> StoredMessage | None:
        """The message with that sequence, read from the leader."""
        return await self._ask({"seq": sequence})

    async def between(self, subject: str, after: int, until: int) -> AsyncGenerator[StoredMessage]:
        """All messages with sequences above `after`, up to and including `until`, ascending."""
        place = after
        while place < until:
            found = await self.batch(subject, place + 1, BATCH)
            if len(found) < BATCH:
                confirmed = await self.next(subject, (found[-1].sequence if found else place) + 1)
                found = [*found, confirmed] if confirmed else found
                if not found:
                    return
            for message in found:
                if message.sequence > until:
                    return
                yield message
            place = found[-1].sequence

    async def merged(self, subjects: Sequence[str], after: int, until: int) -> AsyncGenerator[StoredMessage]:
        """Like `between`, for several subjects, merged in ascending order."""
        async with contextlib.AsyncExitStack() as stack:
            readings = [
                await stack.enter_async_context(contextlib.aclosing(self.between(subject, after, until)))
                for subject in subjects
            ]
            heads = [(head, reading) for reading in readings if (head := await anext(reading, None))]
            while heads:
                heads.sort(key=lambda pair: pair[0].sequence)
                message, reading = heads.pop(0)
                yield message
                if head := await anext(reading, None):
                    heads.append((head, reading))

    async def latest(self, subject: str, limit: int) -> Sequence[StoredMessage]:
        """The last `limit` messages, ascending. Bisects: the server returns how many messages follow a sequence."""
        last = await self.last(subject)
        if last and limit == 1:
            return (last,)
        first = (await self.batch(subject, 1, 1)) if last else ()
        if not last or not first:
            return ()
        low, high = first[0].sequence, last.sequence
        # Throughout, `low` has `limit` or more messages from it on, or is the first of all.
        while low < high:
            middle = (low + high + 1) // 2
            found = await self.batch(subject, middle, 1)
            if found and found[0].later + 1 >= limit:
                low = max(middle, found[0].sequence)
            else:
                high = middle - 1
        return (await self.batch(subject, low, limit + 1))[-limit:]

    async def keeps(self, place: StreamPosition, subjects: Sequence[str], now: datetime) -> bool:
        """Whether all messages of those subjects after `place` are still stored.

        False also if unknown: subject or stream is at its limit, and all its messages are newer.
        """
        with translate_bus_errors():
            info = await self._bus.streams.stream_info(self._stream)
        created = info.created or _EPOCH
        # The stream was created after the position: it is another stream.
        if place.sequence > info.state.last_seq or place.moment < created - CLOCKS:
            return False
        there = await self.get(place.sequence) if place.sequence else None
        if there and there.moment > place.moment + RENUMBERED:
            return False
        age, most, in_all = (info.config.max_age or 0, info.config.max_msgs_per_subject or 0, info.config.max_msgs or 0)
        if age and place.moment <= now - timedelta(seconds=age):
            return False
        if 0 < in_all <= info.state.messages and info.state.first_seq > place.sequence + 1:
            return False
        for subject in subjects if most > 0 else ():
            first = await self.next(subject, 1)
            if first and first.sequence > place.sequence and (await self.counts(subject))[subject] >= most:
                return False
        return True

    async def knows(self, place: StreamPosition, consumer: OrderedConsumer) -> bool:
        """Whether the position belongs to the present stream; cheaper than `keeps`."""
        if consumer.created and place.moment < consumer.created - CLOCKS:
            return False
        return place.sequence <= consumer.position or place.sequence <= await self.end()

    async def end(self) -> int:
        """The sequence of the last message, read from the leader."""
        with translate_bus_errors():
            return int((await self._bus.streams.stream_info(self._stream)).state.last_seq)

    async def counts(self, subject: str) -> Mapping[str, int]:
        """The number of messages of each matching subject."""
        with translate_bus_errors():
            info = await self._bus.streams.stream_info(self._stream, subjects_filter=subject)
        return Counter(info.state.subjects or {})

    async def _ask(self, wanted: dict[str, Any]) -> StoredMessage | None:
        with translate_bus_errors():
            message = await self._bus.connection.request(
                f"$JS.API.STREAM.MSG.GET.{self._stream}", json.dumps(wanted).encode(), ANSWER_SECONDS
            )
        answer = json.loads(message.data)
        if "error" in answer:
            if answer["error"].get("err_code") == _NO_MESSAGE:
                return None
            raise BusUnavailableError(str(answer["error"].get("description")))
        found = answer["message"]
        body = base64.b64decode(found.get("data", ""))
        return StoredMessage(found["subject"], found["seq"], datetime.fromisoformat(found["time"]), body)


def _direct(message: Msg) -> StoredMessage | None:
    """Converts one answer of a batch; None at the end."""
    headers = message.headers or {}
    status = headers.get("Status")
    if status in {_END_OF_BATCH, _NOT_FOUND}:
        return None
    if status is not None:
        raise BusUnavailableError(headers.get("Description", status))
    return StoredMessage(
        headers["Nats-Subject"],
        int(headers["Nats-Sequence"]),
        datetime.fromisoformat(headers["Nats-Time-Stamp"]),
        message.data,
        int(headers["Nats-Num-Pending"]),
    )
