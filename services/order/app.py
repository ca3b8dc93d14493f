"""The use cases of the order service. The `driver` advances orders."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from services.common.runtime.ids import new_id
from services.order import domain
from services.order.domain import NoAttentionNeededError, OrderDiffersError, OrderNotFoundError, OrderState, StepState
from services.order.events import AttentionResolved, OrderPlaced, Resolution

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Sequence

    from services.common.event_sourcing.event_types import StoredEvent
    from services.order.domain import Order
    from services.order.events import Event, Item

ATTEMPTS = 5
"""Attempts to store an operator's decision while the order changes."""
POLL_SECONDS = 1.0
"""Interval of reading a watched order without a notification: NATS may be unavailable."""


class KeyTakenError(Exception):
    """An order with that key exists."""


class OrderChangedError(Exception):
    """The order has changed since it was read: another replica or an operator was first."""


class Orders(Protocol):
    """The store of orders. Every method may raise StoreUnavailableError."""

    async def add(self, order_id: str, event: OrderPlaced, at: datetime) -> Order:
        """Raises KeyTakenError."""

    async def append(self, order: Order, events: Sequence[Event], at: datetime) -> Order:
        """Raises OrderChangedError."""

    async def get(self, order_id: str) -> Order | None: ...

    async def with_key(self, key: str) -> Order | None: ...

    async def version(self, order_id: str) -> int:
        """0 if the order does not exist."""

    async def history(self, order_id: str, after: int = 0) -> Sequence[StoredEvent[Event]]: ...

    async def page(self, user_id: str, states: Sequence[OrderState], before: str, limit: int) -> Sequence[Order]:
        """Newest first; empty arguments do not filter."""


class ChangeNotifier:
    """Notifies watchers of an order of its changes."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}

    def notify(self, order_id: str) -> None:
        """Wakes the watchers of an order that has changed, or may have."""
        for waiting in self._waiting.get(order_id, ()):
            waiting.set()

    @contextlib.contextmanager
    def subscribe(self, order_id: str) -> Iterator[asyncio.Event]:
        """An asyncio event that each `notify` sets; the watcher clears it."""
        heard = asyncio.Event()
        listeners = self._waiting.setdefault(order_id, set())
        listeners.add(heard)
        try:
            yield heard
        finally:
            listeners.discard(heard)
            if not listeners:
                self._waiting.pop(order_id, None)


def utc_now() -> datetime:
    return datetime.now(UTC)


class OrderBook:
    """The use cases. `on_stored` is called with the id of each order that needs driving."""

    def __init__(
        self,
        orders: Orders,
        notifier: ChangeNotifier,
        on_stored: Callable[[str], None],
        *,
        entropy: Callable[[int], bytes],
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._orders = orders
        self._notifier = notifier
        self._on_stored = on_stored
        self._entropy = entropy
        self._now = now

    async def place(self, key: str, user_id: str, items: Sequence[Item], traceparent: str) -> Order:
        """Places an order, once per key. Raises InvalidOrderError and OrderDiffersError."""
        domain.check_order(key, user_id, items)
        known = await self._orders.with_key(key)
        if known is None:
            now = self._now()
            event = OrderPlaced(key, user_id, tuple(items), traceparent)
            try:
                order = await self._orders.add(new_id(now, self._entropy), event, now)
            except KeyTakenError:
                known = await self._orders.with_key(key)
            else:
                self._on_stored(order.id)
                return order
        if known is None or (known.user_id, known.items) != (user_id, tuple(items)):
            raise OrderDiffersError
        return known

    async def get(self, order_id: str) -> Order:
        """Raises OrderNotFoundError."""
        known = domain.parse_id(order_id)
        order = await self._orders.get(known) if known else None
        if order is None:
            raise OrderNotFoundError
        return order

    async def page(self, user_id: str, states: Sequence[OrderState], before: str, limit: int) -> Sequence[Order]:
        """At most `limit` (0: a default) orders. Raises InvalidOrderError."""
        known = domain.parse_id(before) if before else ""
        domain.refuse(
            {
                "limit": "" if 0 <= limit <= domain.MAX_LIST else f"must be 0 to {domain.MAX_LIST}",
                "before": "must be the id of an order" if known is None else "",
                "user_id": "must be at most 64 characters" if len(user_id) > domain.MAX_USER else "",
            }
        )
        return await self._orders.page(user_id, states, known or "", limit or domain.DEFAULT_LIST)

    async def history(self, order_id: str) -> Sequence[StoredEvent[Event]]:
        """All events of the order. Raises OrderNotFoundError."""
        known = domain.parse_id(order_id)
        found = await self._orders.history(known) if known else []
        if not found:
            raise OrderNotFoundError
        return found

    async def watch(self, order_id: str) -> AsyncGenerator[Order]:
        """Yields the order now and after each event, until it rests. Raises OrderNotFoundError.

        No event is skipped, however late the notification: events between two reads come from the order's history.
        """
        with self._notifier.subscribe((await self.get(order_id)).id) as heard:
            order = await self.get(order_id)
            yield order
            while not order.resting:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await heard.wait()
                heard.clear()
                if await self._orders.version(order.id) == order.version:
                    continue
                for recorded in await self._orders.history(order.id, order.version):
                    order = domain.evolve(order, recorded.event, recorded.at)
                    yield order

    async def resolve(self, order_id: str, resolution: Resolution, actor: str, reason: str) -> Order:
        """Stores an operator's decision for a stuck step. Raises InvalidOrderError, OrderNotFoundError,
        NoAttentionNeededError."""
        domain.check_resolution(actor, reason)
        for attempt in range(1, ATTEMPTS + 1):
            order = await self.get(order_id)
            if order.state is not OrderState.NEEDS_ATTENTION:
                raise NoAttentionNeededError(order.state.value)
            stuck = next(step for step in order.steps if step.state is StepState.STUCK and not step.given_up)
            try:
                decided = AttentionResolved(stuck.name, resolution, actor, reason)
                after = await self._orders.append(order, [decided], self._now())
            except OrderChangedError:
                if attempt == ATTEMPTS:
                    raise
            else:
                self._on_stored(after.id)
                return after
        raise AssertionError("the last attempt returns or raises")
