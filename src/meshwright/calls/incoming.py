"""The call that this task is answering, as far as the calls it makes in turn need to know.

A call that serves another must not outlive it: its caller has gone by then. So the incoming
deadline travels in a context variable, as a point on the monotonic clock, and each outgoing call gets the smaller of
what is left of it and its own timeout. Work that a handler starts and does not wait for (`asyncio.create_task`)
inherits the variable too; `detached()` frees it.
"""

from __future__ import annotations

import contextlib
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(slots=True)  # not frozen: made for each call, and freezing doubles the cost
class IncomingContext:
    """What an outgoing call inherits."""

    deadline: float | None = None
    """Seconds on `time.monotonic`; None: no deadline."""
    authorization: str | bytes | None = None
    """The `authorization` metadata as it came."""


OVERDUE = -1.0
"""The timeout of a call whose time is up. With 0 gRPC would still send it, and cancel it right after."""

RESOLUTION = 0.001
"""Seconds: gRPC counts in milliseconds and rounds up, so that a call with less than one might still be answered."""

_NONE = IncomingContext()
INCOMING: ContextVar[IncomingContext] = ContextVar("meshwright_incoming", default=_NONE)


def time_left() -> float | None:
    """Seconds until the deadline of the call that is being answered; None where there is none. Never below 0."""
    deadline = INCOMING.get().deadline
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def earlier_deadline(timeout: float | None, deadline: float | None, now: float) -> float | None:
    """The seconds that an outgoing call has: its own timeout, or what is left until `deadline`, whichever is less."""
    if deadline is None:
        return timeout
    left = deadline - now
    if left <= 0:
        return OVERDUE
    return left if timeout is None or left < timeout else timeout


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Calls made inside end within `seconds`, or by the deadline that is already in force if that is sooner."""
    outer = INCOMING.get()
    inner = time.monotonic() + seconds
    if outer.deadline is not None:
        inner = min(inner, outer.deadline)
    token = INCOMING.set(IncomingContext(inner, outer.authorization))
    try:
        yield
    finally:
        INCOMING.reset(token)


@contextlib.contextmanager
def without_deadline() -> Iterator[None]:
    """Calls made inside, and by tasks started inside, are free of the incoming deadline and its authorization."""
    token = INCOMING.set(_NONE)
    try:
        yield
    finally:
        INCOMING.reset(token)
