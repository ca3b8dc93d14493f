"""Notifications in a JetStream stream.

One stream for all users. What is sent to a user has a subject of the user's own, what an order's events lead to has
another, what is for everybody a third; a subscriber's notifications are those of its three subjects, in the order of
the stream, which is the same for every replica.

Orders are told exactly once, whatever crashes and however many replicas tell, without a record beside the stream: the
last message under `notifications.order.*` says which event it came from, and the next is stored on the condition that
that one still is the last (as `outbox_publisher` does it). Where it is gone by age, so is whatever came before it:
events that are older than a notification may become are passed over.
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
from services.notification.domain import EVERYBODY, Draft, Notification, NotificationKind, of_order

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
"""JetStream's error code for an expected last message that is not the last."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long, and how many."""

    max_age: float
    """Seconds until a notification is removed."""
    per_user: int
    """Notifications kept for each user (and as many broadcasts, for all together); the oldest goes first."""
    key_window: float
    """Seconds in which a second notification with the same key counts as the first."""


class StreamArchive:
    """The archive of a replica, and the tail that feeds its subscribers."""

    def __init__(self, bus: Bus, keeping: Retention, fanout: Fanout[Notification]) -> None:
        self.reader = StreamReader(bus, STREAM)
        self.tail = OrderedConsumer(bus, STREAM, self.prepare, self._take, lambda: fanout.end(StreamLostError()))
        self._bus = bus
        self._keeping = keeping
        self._fanout = fanout

    async def prepare(self) -> None:
        """Make the stream. Raises BusUnavailableError."""
        await self._bus.ensure_stream(
            STREAM,
            "notifications.>",
            max_age=self._keeping.max_age,
            max_msgs_per_subject=self._keeping.per_user,
            duplicate_window=min(self._keeping.key_window, self._keeping.max_age),
        )

    def position(self) -> int:
        return self.tail.position

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
    """Turns the events of orders into notifications; `place` and `take` are the arguments of `consume_events`."""

    def __init__(self, bus: Bus, archive: StreamArchive, max_age: float, now: Callable[[], datetime] = utc_now) -> None:
        self._bus = bus
        self._archive = archive
        self._max_age = timedelta(seconds=max_age)
        self._now = now
        self._last = 0
        self._place = 0
        self._void = 0
        """The last message whose place is one of a stream that is gone."""
        self._told_until = datetime.min.replace(tzinfo=UTC)
        """What happened before that is told already."""

    async def place(self) -> int:
        """The last event that was told, as its number among the order's events."""
        await self._archive.prepare()
        await self._look()
        return self._place

    async def take(self, at: int, event: Event) -> bool:
        draft = of_order(event.name, event.subject, event.data)
        if draft is None or event.time <= max(self._told_until, self._now() - self._max_age):
            return False
        while at > self._place:
            if await self._store(draft, at):
                return True
            await self._look()
        return False

    async def anew(self, place: int, _: int) -> None:
        """The events are others than those that were followed up to `place`: tell what has happened since the last."""
        last = await self._archive.reader.last(ORDERS)
        if last and _place_in(last) == place:
            self._void, self._told_until = last.sequence, last.moment

    async def _store(self, draft: Draft, at: int) -> bool:
        """Whether it was stored; else another replica was quicker."""
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
    """The user id as one token of a NATS subject."""
    return quote(user_id, safe="").replace(".", "%2E")


def subject_of(user_id: str) -> str:
    return ALL if user_id == EVERYBODY else f"notifications.user.{token(user_id)}"


def template_of(subject: str) -> str:
    """The subject without whom it is for; empty where it is for everybody."""
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
    """The notification, or None for what is none: somebody else has written it, and the rest must go on."""
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
