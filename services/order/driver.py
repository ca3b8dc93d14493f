"""Drives orders through their sagas: any replica may, one at a time for each order.

A driver leases an order in the database, stores that a step begins, makes the call, stores the answer, and repeats
until the order rests or must wait. The lease avoids duplicate work; it is not a lock, since a driver may be slow beyond
its lease, or a clock wrong. Correctness comes from optimistic concurrency (an event is stored only on the version that
its driver has read; OrderChangedError otherwise), and from participants that do each step once per key.

A crash loses nothing: the order stays due, and after the lease has expired another replica continues from its events.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Protocol

from services.common.runtime.errors import StoreUnavailableError
from services.common.runtime.tasks import background_task
from services.common.runtime.trace_context import continue_trace
from services.order import saga
from services.order.app import OrderChangedError, Orders, utc_now
from services.order.saga import Conclude, Do, Rest, Undo, Wait, next_step

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from datetime import datetime

    from services.order.domain import Order
    from services.order.saga import Outcome, RetryPolicy

log = logging.getLogger(__name__)

BATCH = 50
AT_ONCE = 16
"""Orders that one replica drives concurrently."""
POLL_SECONDS = 0.5
"""Interval of looking for due orders, including those of crashed replicas."""
RETRY_SECONDS = 0.5
GIVE_BACK_SECONDS = 2.0
"""Time for a cancelled driver to release its lease."""


class LeasedOrders(Orders, Protocol):
    """Orders and their leases. Every method may raise StoreUnavailableError."""

    async def due(self, now: datetime, limit: int) -> Sequence[str]:
        """Ids of due orders without a lease."""

    async def claim(self, order_id: str, driver: str, now: datetime, until: datetime) -> bool:
        """Acquires or renews the lease until `until`; returns whether the driver holds it."""

    async def give_back(self, order_id: str, driver: str) -> None: ...


class Participants(Protocol):
    """The services that do the steps. Neither method raises: an error is an outcome."""

    async def do(self, call: Do, order: Order) -> Outcome: ...

    async def undo(self, call: Undo, order: Order) -> Outcome: ...


class Driver:
    """Drives due orders. `name` is unique; `on_change` is called with the id of each changed order."""

    def __init__(
        self,
        name: str,
        orders: LeasedOrders,
        participants: Participants,
        policy: RetryPolicy,
        *,
        on_change: Callable[[str], None],
        jitter: Callable[[], float],
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._name = name
        self._orders = orders
        self._participants = participants
        self._policy = policy
        self._on_change = on_change
        self._jitter = jitter
        self._now = now
        self._woken = asyncio.Event()
        self._driving: dict[str, asyncio.Task[None]] = {}

    def wake(self) -> None:
        """Looks for due orders at once."""
        self._woken.set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Drives for as long as the context lasts. Other replicas continue its orders afterwards."""
        try:
            async with background_task(self._run(), "driver of orders"):
                yield
        finally:
            while tasks := list(self._driving.values()):
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks, timeout=GIVE_BACK_SECONDS)

    async def drive(self, order_id: str) -> datetime | None:
        """Advances the order as far as possible; returns when to continue. Raises StoreUnavailableError."""
        if not await self._claim(order_id):
            return None
        broken = False
        try:
            order = await self._orders.get(order_id)
            if order is None:
                return None
            with continue_trace(order.traceparent, "saga"):
                return await self._advance(order)
        except OrderChangedError:
            log.info("order %s is driven by another", order_id)
            return None
        except StoreUnavailableError:
            raise
        except Exception:
            # Keep the lease as a pause before the next attempt, so that other orders go first.
            broken = True
            raise
        finally:
            # If releasing fails, the lease expires.
            with contextlib.suppress(StoreUnavailableError):
                if not broken:
                    await self._orders.give_back(order_id, self._name)

    async def _advance(self, order: Order) -> datetime | None:
        while True:
            match next_step(order, self._now()):
                case Rest():
                    return None
                case Wait(until):
                    return until
                case Conclude(event):
                    order = await self._orders.append(order, [event], self._now())
                case Do() | Undo() as call:
                    order = await self._orders.append(order, [call.started], self._now())
                    self._on_change(order.id)
                    # The lease covers the call that follows.
                    if not await self._claim(order.id):
                        return None
                    order = await self._answered(order, call)
            self._on_change(order.id)

    async def _answered(self, order: Order, call: Do | Undo) -> Order:
        if isinstance(call, Do):
            outcome = await self._participants.do(call, order)
        else:
            outcome = await self._participants.undo(call, order)
        now = self._now()
        events = saga.outcome_events(order, call, outcome, now=now, policy=self._policy, jitter=self._jitter())
        return await self._orders.append(order, events, now)

    async def _claim(self, order_id: str) -> bool:
        now = self._now()
        return await self._orders.claim(order_id, self._name, now, now + self._policy.lease_time)

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            rest = POLL_SECONDS
            try:
                for order_id in await self._orders.due(self._now(), BATCH):
                    self._start(order_id)
            except StoreUnavailableError as error:
                log.debug("orders wait: %s", error)
                rest = RETRY_SECONDS
            except Exception:
                log.exception("orders wait")
                rest = RETRY_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await self._woken.wait()

    def _start(self, order_id: str) -> None:
        if order_id in self._driving or len(self._driving) >= AT_ONCE:
            return
        task = asyncio.create_task(self._drive(order_id), name=f"saga of order {order_id}")
        self._driving[order_id] = task
        task.add_done_callback(lambda _: self._driving.pop(order_id, None))

    async def _drive(self, order_id: str) -> None:
        try:
            until = await self.drive(order_id)
        except StoreUnavailableError as error:
            log.debug("order %s waits: %s", order_id, error)
        except Exception:
            log.exception("order %s waits", order_id)
        else:
            # Look again now for another order, or when this one is due.
            delay = (until - self._now()).total_seconds() if until else 0.0
            asyncio.get_running_loop().call_later(max(delay, 0.0), self.wake)
