"""What the order service does for its callers. What moves orders on is the `driver`."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from services.common.runtime.ids import new_id
from services.order import domain
from services.order.domain import NoAttentionNeededError, OrderDiffersError, OrderNotFoundError, State, StepState
from services.order.facts import AttentionResolved, OrderPlaced, Resolution

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Sequence

    from services.order.domain import Order
    from services.order.facts import Fact, Item

ATTEMPTS = 5
"""Times that a person's decision is stored where the order changes meanwhile."""
LOOK_SECONDS = 1.0
"""How often a watched order is looked at where nobody tells of its change: NATS may be away."""


class KeyTakenError(Exception):
    """There is an order with that key."""


class OrderChangedError(Exception):
    """The order is not what the caller has seen: another replica, or a person, was first."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A fact as it was stored."""

    version: int
    fact: Fact
    at: datetime


class Orders(Protocol):
    """Where orders are kept. Every method may raise StoreUnavailableError."""

    async def add(self, order_id: str, fact: OrderPlaced, at: datetime) -> Order:
        """Raises KeyTakenError."""

    async def append(self, order: Order, facts: Sequence[Fact], at: datetime) -> Order:
        """Raises OrderChangedError."""

    async def get(self, order_id: str) -> Order | None: ...

    async def with_key(self, key: str) -> Order | None: ...

    async def version(self, order_id: str) -> int:
        """0 where there is no such order."""

    async def history(self, order_id: str, after: int = 0) -> Sequence[Recorded]: ...

    async def page(self, user_id: str, states: Sequence[State], before: str, limit: int) -> Sequence[Order]:
        """The newest first; empty arguments are no conditions."""


class Bell:
    """Wakes those who wait for an order to change."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}

    def ring(self, order_id: str) -> None:
        """It has changed, or may have."""
        for waiting in self._waiting.get(order_id, ()):
            waiting.set()

    @contextlib.contextmanager
    def listening(self, order_id: str) -> Iterator[asyncio.Event]:
        """An event that is set at each ring; whoever waits clears it."""
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
    """The use cases. `stored` is told the id of an order that there is something to do for."""

    def __init__(
        self,
        orders: Orders,
        bell: Bell,
        stored: Callable[[str], None],
        *,
        entropy: Callable[[int], bytes],
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._orders = orders
        self._bell = bell
        self._stored = stored
        self._entropy = entropy
        self._now = now

    async def place(self, key: str, user_id: str, items: Sequence[Item], traceparent: str) -> Order:
        """One key makes one order. Raises InvalidOrderError and OrderDiffersError."""
        domain.check_order(key, user_id, items)
        known = await self._orders.with_key(key)
        if known is None:
            now = self._now()
            fact = OrderPlaced(key, user_id, tuple(items), traceparent)
            try:
                order = await self._orders.add(new_id(now, self._entropy), fact, now)
            except KeyTakenError:
                known = await self._orders.with_key(key)
            else:
                self._stored(order.id)
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

    async def page(self, user_id: str, states: Sequence[State], before: str, limit: int) -> Sequence[Order]:
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

    async def history(self, order_id: str) -> Sequence[Recorded]:
        """Every fact of the order. Raises OrderNotFoundError."""
        known = domain.parse_id(order_id)
        found = await self._orders.history(known) if known else []
        if not found:
            raise OrderNotFoundError
        return found

    async def watch(self, order_id: str) -> AsyncGenerator[Order]:
        """The order now and after each fact, until it rests. Raises OrderNotFoundError.

        None is left out, however late we hear of it: what lies between two looks is read from the order's history.
        """
        with self._bell.listening((await self.get(order_id)).id) as heard:
            order = await self.get(order_id)
            yield order
            while not order.resting:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await heard.wait()
                heard.clear()
                if await self._orders.version(order.id) == order.version:
                    continue
                for recorded in await self._orders.history(order.id, order.version):
                    order = domain.evolve(order, recorded.fact, recorded.at)
                    yield order

    async def resolve(self, order_id: str, resolution: Resolution, actor: str, reason: str) -> Order:
        """What a person decides for a step that is stuck. Raises InvalidOrderError, OrderNotFoundError and
        NoAttentionNeededError."""
        domain.check_resolution(actor, reason)
        for attempt in range(1, ATTEMPTS + 1):
            order = await self.get(order_id)
            if order.state is not State.NEEDS_ATTENTION:
                raise NoAttentionNeededError(order.state.value)
            stuck = next(step for step in order.steps if step.state is StepState.STUCK and not step.given_up)
            try:
                decided = AttentionResolved(stuck.name, resolution, actor, reason)
                after = await self._orders.append(order, [decided], self._now())
            except OrderChangedError:
                if attempt == ATTEMPTS:
                    raise
            else:
                self._stored(after.id)
                return after
        raise AssertionError("the last attempt returns or raises")
