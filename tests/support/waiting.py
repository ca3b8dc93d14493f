"""Waiting for a condition instead of sleeping for a guessed time."""

from __future__ import annotations

import asyncio
import inspect
import os
import time
from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


@overload
async def eventually(
    condition: Callable[[], Awaitable[T | None]],
    timeout: float = ...,
    *,
    every: float = ...,
    ignore: tuple[type[Exception], ...] = ...,
    message: str = ...,
) -> T: ...


@overload
async def eventually(
    condition: Callable[[], T | None],
    timeout: float = ...,
    *,
    every: float = ...,
    ignore: tuple[type[Exception], ...] = ...,
    message: str = ...,
) -> T: ...


async def eventually(
    condition: Callable[[], Any],
    timeout: float = 10.0,
    *,
    every: float = 0.02,
    ignore: tuple[type[Exception], ...] = (),
    message: str = "",
) -> Any:
    """Call `condition` until it returns something true and raises no AssertionError; returns what it returned.

    Exceptions of the kinds in `ignore` count as "not yet" as well. After `timeout` seconds the last AssertionError
    (or ignored exception) is raised, or one that shows the last value. The seconds are those of a machine with nothing
    else to do; a crowded one gets as many times more.
    """
    began = time.monotonic()
    expected: tuple[type[Exception], ...] = (AssertionError, *ignore)
    while True:
        failure: Exception | None = None
        value: Any = None
        try:
            outcome = condition()
            value = await outcome if inspect.isawaitable(outcome) else outcome
            if value:
                return value
        except expected as error:
            failure = error
        waited = time.monotonic() - began
        if waited >= timeout and waited >= timeout * crowd():
            if failure is not None:
                raise failure
            name = message or getattr(condition, "__name__", "the condition")
            raise AssertionError(f"not true within {waited:.0f} s: {name} (last value: {value!r})")
        await asyncio.sleep(every)


def crowd() -> float:
    """How many processes want each processor: what takes ten seconds alone takes as many times as long."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
