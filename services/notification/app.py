"""The use cases of the notification service: storing notifications, and delivering them to subscribers."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from services.common.messaging.fanout import Inbox, read_backlog
from services.common.messaging.stream_position import InvalidPositionError, StreamPosition, parse_position
from services.notification import domain
from services.notification.domain import ALL_USERS, Draft, InvalidNotificationError, Notification

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Collection

    from services.common.messaging.fanout import Fanout


class Archive(Protocol):
    """The store of notifications. Every method may raise BusUnavailableError."""

    def position(self) -> int:
        """Sequence of the last notification that this replica has delivered."""

    async def store(self, draft: Draft, key: str) -> None:
        """Stores a notification. Deduplicates by user and key, if the key is not empty."""

    async def keeps(self, place: StreamPosition, user_id: str, now: datetime) -> bool:
        """Whether all notifications of that user after that position are still stored."""

    def read(self, user_id: str, after: int, until: int) -> AsyncGenerator[Notification]:
        """The notifications of that user in order: sequences above `after`, up to and including `until`."""


class StoppingError(Exception):
    """This replica stops; clients subscribe to another one."""

    def __init__(self) -> None:
        super().__init__("this instance is stopping; subscribe again, after the last id seen")


class StreamLostError(Exception):
    """The stream was lost; sequences are reused."""

    def __init__(self) -> None:
        super().__init__("the notifications that were kept are gone; subscribe again")


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivered notification; `missed`: number of dropped ones before it."""

    notification: Notification
    missed: int = 0


def utc_now() -> datetime:
    return datetime.now(UTC)


class Notifications:
    """The use cases. `buffer`: size of a subscriber's inbox, in notifications."""

    def __init__(
        self,
        archive: Archive,
        fanout: Fanout[Notification],
        *,
        buffer: int,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._archive = archive
        self._fanout = fanout
        self._buffer = buffer
        self._now = now

    async def send(self, draft: Draft, key: str) -> None:
        """Sends a notification; returns when it is stored. Raises InvalidNotificationError, BusUnavailableError."""
        await self._archive.store(domain.checked(draft, key, for_everybody=False), key)

    async def broadcast(self, draft: Draft, key: str) -> None:
        """Sends a notification to all users."""
        await self._archive.store(domain.checked(draft, key, for_everybody=True), key)

    async def subscribe(self, user_id: str, kinds: Collection[int], resume_after: str) -> AsyncGenerator[Delivery]:
        """Yields a welcome, then the user's notifications of these kinds (none: all), without end.

        Raises InvalidNotificationError, NotificationTooOldError, BusUnavailableError, StoppingError, StreamLostError.
        """
        domain.check_user(user_id)
        chosen = domain.kinds_of(kinds)
        era = self._fanout.era
        place = await self._place(user_id, resume_after)
        wants = domain.wanted(chosen, place.sequence)
        yield Delivery(Notification(str(place), place.sequence, domain.welcome(user_id), self._now()))
        inbox = Inbox[Notification](self._buffer, wants)
        async with contextlib.aclosing(self._since(user_id, place.sequence, inbox, era)) as deliveries:
            async for delivery in deliveries:
                # Stored notifications are unfiltered; the inbox is filtered.
                if wants(delivery.notification):
                    yield delivery

    async def _since(self, user_id: str, after: int, inbox: Inbox[Notification], era: int) -> AsyncGenerator[Delivery]:
        def read(first: int, last: int) -> AsyncGenerator[Notification]:
            return self._archive.read(user_id, first, last)

        async with contextlib.aclosing(read_backlog(read, after, self._archive.position)) as older:
            async for notification in older:
                after = notification.sequence
                yield Delivery(notification)
        with self._fanout.open((user_id, ALL_USERS), inbox, era):
            async with contextlib.aclosing(read(after, self._archive.position())) as rest:
                async for notification in rest:
                    yield Delivery(notification)
            while True:
                await inbox.wait()
                while taken := inbox.take():
                    gap, notification = taken
                    yield Delivery(notification, gap.count if gap else 0)

    async def _place(self, user_id: str, resume_after: str) -> StreamPosition:
        """The position to begin after: the subscriber's last notification, or the stream's end."""
        now = self._now()
        if not resume_after:
            return StreamPosition(self._archive.position(), now)
        try:
            place = parse_position(resume_after)
        except InvalidPositionError:
            what = "must be the id of a notification, as it came"
            raise InvalidNotificationError({"resume_after": what}) from None
        if not await self._archive.keeps(place, user_id, now):
            raise domain.NotificationTooOldError
        return place
