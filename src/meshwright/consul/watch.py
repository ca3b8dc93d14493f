"""Following Consul: the loop around a blocking query, by the rules of Consul's documentation.

- The next query asks past the index of the last answer. An index of 0 counts as 1 (the client sees to that).
- An index that went backwards means that Consul lost its state: start again from 0.
- After an error we also start from 0. It may have been a restart, and a Consul whose index is *below* the one asked
  for does not answer at once: it holds the query for the whole wait.
- Errors are retried with exponential backoff and jitter; answers that come at once, one after the other, are paced. No
  state of Consul's, and no bug of a proxy in between, turns the loop into a busy one.

An answer that equals the last one, index included, is not passed on: the wait ran out and nothing happened. One
whose value is equal and whose index is not *is* passed on, because it says that something near it changed (the list of
service names keeps still while instances come and go).
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, TypeVar

from meshwright.consul.pacing import Backoff, Pace
from meshwright.consul.values import Blocking, ConsulError, Indexed
from meshwright.errors import MeshwrightError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

T = TypeVar("T")

BURST = 16
RATE = 16.0


def next_index(asked: int, answered: int) -> int:
    """The index for the next blocking query, after one past `asked` was answered at `answered`."""
    return 0 if answered < asked else answered


async def watch(
    fetch: Callable[[Blocking], Awaitable[Indexed[T]]],
    *,
    wait: float = 300.0,
    report: Callable[[MeshwrightError | None], None] | None = None,
    backoff: Backoff = Backoff(),  # noqa: B008 (frozen)
    burst: int = BURST,
    rate: float = RATE,
) -> AsyncIterator[Indexed[T]]:
    """Yield what `fetch` answers, now and whenever it changes, for ever; cancelling stops it at once.

    `report` hears of each failure, and None once Consul answers again. At most `rate` queries a second are sent
    in the long run, `burst` at once: changes that come faster are seen together.
    """
    loop = asyncio.get_running_loop()
    pace = Pace(burst, rate)
    index = 0
    failures = 0
    last: Indexed[T] | None = None
    while True:
        await asyncio.sleep(pace.delay(loop.time()))
        try:
            answer = await fetch(Blocking(index, wait))
        except (ConsulError, UnreachableError) as error:
            failures += 1
            index = 0
            if report is not None:
                report(error)
            await asyncio.sleep(backoff.delay(failures, random.random()))  # noqa: S311 (jitter)
            continue
        if failures and report is not None:
            report(None)
        failures = 0
        index = next_index(index, answer.index)
        if answer != last:
            last = answer
            yield answer
