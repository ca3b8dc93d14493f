"""`meshwright tour`: runs every runnable slide of the lecture on a running system."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import httpx

    from services.tour.guide import Guide, TourStop

COLOURS = {"  > ": "cyan", "  $ ": "cyan", "  ! ": "yellow"}
"""Colours by the beginning of a line: requests, and remarks about the slide."""


@click.command()
@click.option("--gateway", default="", metavar="URL", help="Where the gateway is; default: that of what is up here.")
@click.option("--traces", default="", metavar="URL", help="Where traces are shown; default: where the gateway says.")
@click.option("--topology", default="", metavar="NAME", help="Which `up`, where there are several.")
@click.option("--only", multiple=True, metavar="NAME", help="Only this stop; may be given several times.")
@click.option("--list", "listing", is_flag=True, help="Name the stops, and end.")
def tour(*, gateway: str, traces: str, topology: str, only: Sequence[str], listing: bool) -> None:
    """Visit the lecture's slides on a running `meshwright up`.

    Each stop does what its slides are about, shows what was asked and answered, and checks it. Ends with 1 where a stop
    saw something else. People, orders and messages that it makes stay.
    """
    stops = chosen(only)
    if listing:
        for stop in stops:
            click.echo(f"{stop.name:<16} {stop.slide}")
        return
    found = _up(topology) if not gateway else {}
    guide = _guide(gateway or found.get("gateway", ""), traces, topology)
    failed = asyncio.run(_visit(guide, stops))
    if failed:
        sys.exit(1)


def all_stops() -> list[TourStop]:
    """All stops, in order."""
    from services.tour.stops import STOPS  # noqa: PLC0415 - `meshwright --help` does without

    return list(STOPS)


def chosen(only: Sequence[str]) -> list[TourStop]:
    """The named stops, or all; raises `click.BadParameter` for an unknown name."""
    stops = all_stops()
    unknown = sorted(set(only) - {stop.name for stop in stops})
    if unknown:
        known = ", ".join(stop.name for stop in stops)
        raise click.BadParameter(f"there is no stop {', '.join(unknown)}; there are {known}", param_hint="--only")
    return [stop for stop in stops if not only or stop.name in only]


async def _visit(guide: Guide, stops: Sequence[TourStop]) -> list[str]:
    import httpx  # noqa: PLC0415 - `meshwright --help` does without

    try:
        async with httpx.AsyncClient(base_url=guide.gateway, trust_env=False) as client:
            await client.get("/readyz")
            guide.traces = guide.traces or await _traces_url(client)
    except httpx.TransportError as error:
        why = str(error) or type(error).__name__
        raise click.ClickException(f"the gateway at {guide.gateway} does not answer: {why}") from error
    return await visit(guide, stops, click.echo)


async def _traces_url(client: httpx.AsyncClient) -> str:
    """URL of the trace UI from the gateway's page settings; empty if unset."""
    answer = await client.get("/shop/settings.json")
    with contextlib.suppress(ValueError, TypeError, LookupError):
        return str(answer.json()["traces_url"])
    return ""


async def visit(guide: Guide, stops: Sequence[TourStop], say: Callable[[str], None]) -> list[str]:
    """Runs the stops; returns the names of failed ones."""
    import httpx  # noqa: PLC0415 - `meshwright --help` does without
    from websockets.exceptions import WebSocketException  # noqa: PLC0415

    from services.tour.guide import UnexpectedResultError  # noqa: PLC0415

    failed = []
    began = time.monotonic()
    async with guide.http:
        for number, stop in enumerate(stops, 1):
            say(click.style(f"\n{number}. {stop.slide}", bold=True))
            try:
                await stop.visit(guide)
            except TimeoutError:
                wrong = f"what was waited for did not come; before it, {guide.asked or 'nothing was asked'}"
            except (UnexpectedResultError, httpx.HTTPError, WebSocketException, OSError) as error:
                wrong = str(error) or type(error).__name__
            except (LookupError, TypeError, ValueError) as error:
                wrong = f"an answer of another form ({error!r}); {guide.asked or 'nothing was asked'}"
            else:
                continue
            failed.append(stop.name)
            say(click.style(f"  x {wrong}", fg="red"))
    seconds = time.monotonic() - began
    say(f"\n{len(stops) - len(failed)} of {len(stops)} stops saw what the slides say, in {seconds:.0f} s.")
    if failed:
        say(click.style(f"Otherwise: {', '.join(failed)}", fg="red"))
    say("Which file implements what: docs/explanation/patterns.md.")
    return failed


def _guide(gateway: str, traces: str, topology: str) -> Guide:
    from services.tour.guide import Guide  # noqa: PLC0415

    if not gateway:
        raise click.ClickException("what is up here has no gateway; name one with --gateway")
    return Guide(_shown, gateway.rstrip("/"), traces.rstrip("/"), topology)


def _shown(line: str) -> None:
    click.echo(click.style(line, fg=COLOURS.get(line[:4])))


def _up(topology: str) -> dict[str, str]:
    """The addresses of an `up` by process, from `meshwright ps`."""
    where = ("--topology", topology) if topology else ()
    done = subprocess.run(
        [sys.executable, "-m", "meshwright.cli", "ps", "--json", *where], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise click.ClickException(done.stderr.strip().removeprefix("error: "))
    return {row["process"]: f"http://{row['address']}" for row in json.loads(done.stdout)}
