"""Checks of an installation: each is repeated until it passes or times out, and says in one line what it saw.

An install has just ended when they run, and traces and events are delayed. The checks are the callers' own: `helm test`
runs those of the operator and those of the demo.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from typing import TYPE_CHECKING, TypeVar

from meshwright.errors import MeshwrightError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

T = TypeVar("T")

TIMEOUT = 60.0
INTERVAL = 0.5


class MissingError(Exception):
    """A part of the installation does not work. The message names it."""


_FAILURES: tuple[type[Exception], ...] = (MissingError, MeshwrightError)


async def until(look: Callable[[], Awaitable[T]], patience: float, *failures: type[Exception]) -> T:
    """Repeats `look` until it raises nothing; returns its result.

    `patience`: seconds. `failures`: further errors that may pass, such as those of an HTTP client. Raises
    `MissingError` with the last failure.
    """
    may_pass: tuple[type[Exception], ...] = (*_FAILURES, LookupError, TypeError, ValueError, *failures)
    deadline = time.monotonic() + patience
    while True:
        try:
            return await look()
        except may_pass as error:
            if time.monotonic() >= deadline:
                raise MissingError(f"after {patience:g} s: {str(error) or repr(error)}") from error
        await asyncio.sleep(INTERVAL)


def parser(
    description: str, checks: Mapping[str, Callable[..., object]]
) -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """A parser with a command for each check, and the parsers of these; the options have `check` and `patience`."""
    made = argparse.ArgumentParser(prog="acceptance", description=description)
    made.add_argument(
        "--patience", type=float, default=TIMEOUT, help="seconds that a check waits for what it looks for"
    )
    commands = made.add_subparsers(dest="check", required=True)
    return made, {name: commands.add_parser(name, help=check.__doc__) for name, check in checks.items()}


def run(
    checks: Mapping[str, Callable[[argparse.Namespace], Awaitable[str]]],
    parsed: argparse.Namespace,
    *failures: type[Exception],
) -> None:
    """Runs the check and prints its line. A failed one ends the process with the missing part."""

    async def checked() -> str:
        return await checks[parsed.check](parsed)

    reported = (*_FAILURES, *failures)
    try:
        said = asyncio.run(checked())
    except reported as error:
        sys.exit(f"{parsed.check}: FAILED: {str(error) or repr(error)}")
    sys.stdout.write(f"{parsed.check}: {said}\n")
