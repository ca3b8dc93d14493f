"""`meshwright compare-protocols`: a run as table, plot or JSON, and the lecture's claims with the results."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from services.protocols.domain import REQUESTS, SLIDE_KB, verdicts

if TYPE_CHECKING:
    from services.protocols.domain import Measurement, Report


def _now_doing(what: str) -> None:
    """Prints progress on a terminal, on one line; nothing to a file."""
    if sys.stderr.isatty():
        click.echo(f"\r\033[K{what}", nl=False, err=True)


@click.command()
@click.option("-n", "--requests", "count", default=REQUESTS, show_default=True, type=click.IntRange(10, 1_000_000))
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Write the bytes as a picture (SVG).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def compare_protocols(count: int, plot: Path | None, *, as_json: bool) -> None:
    """The same work over HTTP, JSON-RPC, SSE, WebSocket and gRPC: bytes, latency, processor time.

    Needs nothing running: servers and clients are started on this machine, and end with the command.
    """
    from services.protocols.benchmark import measure  # noqa: PLC0415 - `meshwright --help` does without
    from services.protocols.plot import drawn  # noqa: PLC0415

    report = asyncio.run(measure(count, _now_doing))
    _now_doing("")
    if plot is not None:
        plot.write_text(drawn(report), "utf-8")
    if as_json:
        click.echo(json.dumps(_document(report), indent=2))
        return
    for work, title in (("createUser", f"createUser, {count} times"), ("chat", f"a chat message, {count} times")):
        click.echo(f"\n{title}\n")
        click.echo(table([one for one in report.measurements if one.work == work]))
    click.echo("\nThe lecture, and what was found here\n")
    for claim, found in verdicts(report):
        click.echo(f"- {claim.text}\n    {found}")


HEAD = ("", "slide: KB", "KB up", "KB down", "opening", "p50 ms", "p99 ms", "per s", "CPU ms: client", "server")


def _row(one: Measurement) -> tuple[str, ...]:
    timing = one.timing
    slide = SLIDE_KB.get((one.transport, one.work))
    return (
        one.transport,
        "" if slide is None else f"{slide * one.count / REQUESTS:.1f}",
        f"{one.traffic.up / 1000:.1f}",
        f"{one.traffic.down / 1000:.1f}",
        f"{one.opening.both} B",
        f"{timing.quantile(0.5) * 1000:.2f}",
        f"{timing.quantile(0.99) * 1000:.2f}",
        f"{timing.per_second:.0f}",
        f"{timing.client_cpu * 1000:.2f}",
        f"{timing.server_cpu * 1000:.2f}",
    )


def table(measurements: list[Measurement]) -> str:
    """One row for each protocol."""
    rows = [HEAD, *(_row(one) for one in measurements)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = []
    for row in rows:
        name, *rest = (f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join((name.strip().ljust(widths[0]), *rest)))
    return "\n".join(lines)


def _document(report: Report) -> dict[str, Any]:
    transports = [
        {
            "protocol": one.transport,
            "work": one.work,
            "count": one.count,
            "opening_bytes": {"up": one.opening.up, "down": one.opening.down},
            "bytes": {"up": one.traffic.up, "down": one.traffic.down},
            "latency_seconds": {"p50": one.timing.quantile(0.5), "p99": one.timing.quantile(0.99)},
            "per_second": one.timing.per_second,
            "cpu_seconds": {"client": one.timing.client_cpu, "server": one.timing.server_cpu},
        }
        for one in report.measurements
    ]
    found = [{"slide": claim.slide, "claim": claim.text, "found": text} for claim, text in verdicts(report)]
    empty = {"up": report.empty_poll.up, "down": report.empty_poll.down}
    return {"protocols": transports, "empty_poll_bytes": empty, "encoding": report.codec, "claims": found}
