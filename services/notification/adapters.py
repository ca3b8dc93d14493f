"""Notifications in a JetStream stream.

One stream for all users, with a subject for messages to a user, one for notifications of a user's orders, and one for
broadcasts. A subscriber gets the messages of its three subjects in the order of the stream, which is the same on every
replica.

Notifications of orders are stored exactly once, whatever crashes and however many replicas consume, without a stored
offset: the last message under `notifications.order.*` has the sequence of its event, and the next message is stored on
the condition that the stream's last one has not changed (as in `outbox_publisher`). If that message has expired, so
have all earlier ones: events older than the maximum age are skipped.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

from nats.js.errors import BadRequestError

from services.common.messaging.message_spans import now_ns
from services.common.messaging.ordered_consumer import OrderedConsumer
from services.common.messaging.refusals import PROBE
from services.common.messaging.stream_reader import StreamReader
from services.common.runtime.errors import BusUnavailableError
from services.notification.app import StreamLostError, utc_now
from services.notification.domain import ALL_USERS, Draft, Notification, NotificationKind, of_order

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from services.common.messaging.bus import Bus
    from services.common.messaging.events import Event
    from services.common.messaging.fanout import Fanout
    from services.common.messaging.stream_position import StreamPosition
    from services.common.messaging.stream_reader import StoredMessage

log = logging.getLogger(__name__)

STREAM = "NOTIFICATIONS"
ALL = "notifications.all"
ORDERS = "notifications.order.*"
PROBES = f"notifications.{PROBE}"
GROUP = "notification"
_OVERTAKEN = 10071
"""JetStream's error code for a wrong expected last sequence."""


@dataclass(frozen=True, slots=True)
class Retention:
    """Retention of notifications, by age and number."""

    max_age: float
    """Seconds until a notification is removed."""
    per_user: int
    """Maximum notifications of a user, and maximum broadcasts; the oldest are dropped."""
    key_window: float
    """Seconds in which notifications with the same key are deduplicated."""


class StreamArchive:
    """The archive, and the ordered consumer that feeds this replica's subscribers."""

    def __init__(self, bus: Bus, keeping: Retention, fanout: Fanout[Notification]) -> None:
        self.reader = StreamReader(bus, STREAM)
        self.consumer = OrderedConsumer(bus, STREAM, self.prepare, self._take, lambda: fanout.end(StreamLostError()))
        self._bus = bus
        self._keeping = keeping
        self._fanout = fanout

    async def prepare(self) -> None:
        """Creates the stream. Raises BusUnavailableError."""
        await self._bus.ensure_stream(
            STREAM,
            "notifications.>",
            max_age=self._keeping.max_age,
            max_msgs_per_subject=self._keeping.per_user,
            duplicate_window=min(self._keeping.key_window, self._keeping.max_age),
        )

    def position(self) -> int:
        return self.consumer.position

    async def store(self, draft: Draft, key: str) -> None:
        message_id = hashlib.sha256(f"{draft.user_id}\0{key}".encode()).hexdigest() if key else ""
        headers = {"Nats-Msg-Id": message_id} if key else None
        subject = subject_of(draft.user_id)
        try:
            await self._bus.publish(
                STREAM, subject, encode(draft), headers, message_id=message_id, template=template_of(subject)
            )
        except BadRequestError as error:
            raise BusUnavailableError from error

    async def keeps(self, place: StreamPosition, user_id: str, now: datetime) -> bool:
        return await self.reader.keeps(place, subjects_for(user_id), now)

    async def read(self, user_id: str, after: int, until: int) -> AsyncGenerator[Notification]:
        async for message in self.reader.merged(subjects_for(user_id), after, until):
            notification = decode(message)
            if notification is not None:
                yield notification

    def _take(self, message: StoredMessage) -> None:
        began, notification = now_ns(), decode(message)
        if notification is not None and self._fanout.deliver(notification.draft.user_id, notification):
            self._bus.spans.delivered(message, GROUP, began, template_of(message.subject))


class OrderNotifier:
    """Converts events of orders to notifications; `place` and `take` are the arguments of `consume_events`."""

    def __init__(self, bus: Bus, archive: StreamArchive, max_age: float, now: Callable[[], datetime] = utc_now) -> None:
        self._bus = bus
        self._archive = archive
        self._max_age = timedelta(seconds=max_age)
        self._now = now
        self._last = 0
        self._place = 0
        self._void = 0
        """The last message with a sequence of the previous event stream."""
        self._processed_until = datetime.min.replace(tzinfo=UTC)
        """Earlier events have been processed."""

    async def place(self) -> int:
        """Sequence of the last processed event."""
        await self._archive.prepare()
        await self._look()
        return self._place

    async def take(self, at: int, event: Event) -> bool:
        draft = of_order(event.name, event.subject, event.data)
        if draft is None or event.time <= max(self._processed_until, self._now() - self._max_age):
            return False
        while at > self._place:
            if await self._store(draft, at):
                return True
            await self._look()
        return False

    async def on_reset(self, place: int, _: int) -> None:
        """The event stream was recreated: continues with events after the last notification's time."""
        last = await self._archive.reader.last(ORDERS)
        if last and _place_in(last) == place:
            self._void, self._processed_until = last.sequence, last.moment

    async def _store(self, draft: Draft, at: int) -> bool:
        """Stores the notification; False if another replica was first."""
        headers = {
            "Nats-Expected-Last-Subject-Sequence": str(self._last),
            "Nats-Expected-Last-Subject-Sequence-Subject": ORDERS,
        }
        subject = f"notifications.order.{token(draft.user_id)}"
        body = encode(draft, place=at)
        try:
            told = await self._bus.publish(STREAM, subject, body, headers, template=template_of(subject), again=True)
        except BadRequestError as error:
            if error.err_code != _OVERTAKEN:
                raise BusUnavailableError from error
            return False
        self._last, self._place = int(told.seq), at
        return True

    async def _look(self) -> None:
        last = await self._archive.reader.last(ORDERS)
        self._last = last.sequence if last else 0
        self._place = _place_in(last) if last and last.sequence > self._void else 0


def _place_in(told: StoredMessage) -> int:
    return int(json.loads(told.body)["place"])


def token(user_id: str) -> str:
    """Encodes the user id as one token of a NATS subject."""
    return quote(user_id, safe="").replace(".", "%2E")


def subject_of(user_id: str) -> str:
    return ALL if user_id == ALL_USERS else f"notifications.user.{token(user_id)}"


def template_of(subject: str) -> str:
    """The subject with a placeholder for the user; empty for broadcasts."""
    return "" if subject == ALL else f"{subject.rpartition('.')[0]}.{{user}}"


def subjects_for(user_id: str) -> tuple[str, ...]:
    return (subject_of(user_id), f"notifications.order.{token(user_id)}", ALL)


def encode(draft: Draft, **more: int) -> bytes:
    document = {
        "user_id": draft.user_id,
        "type": int(draft.kind),
        "title": draft.title,
        "message": draft.message,
        "data": dict(draft.data),
        **more,
    }
    return json.dumps(document, separators=(",", ":")).encode()


def decode(message: StoredMessage) -> Notification | None:
    """Decodes a notification; None for a foreign message, which is skipped."""
    try:
        document = json.loads(message.body)
        draft = Draft(
            str(document["user_id"]),
            NotificationKind(document["type"]),
            str(document["title"]),
            str(document["message"]),
            {str(key): str(value) for key, value in dict(document["data"]).items()},
        )
    except (ValueError, KeyError, TypeError) as error:
        log.error("message %d of %s is skipped: %r", message.sequence, STREAM, error)
        return None
    return Notification(str(message.position), message.sequence, draft, message.moment)
