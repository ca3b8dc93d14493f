"""What every command prints with: a console for people, JSON for programs, one paragraph for an error."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from meshwright.config import environment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console
    from rich.table import Table

FAILED = 1
"""The exit code where what was asked could not be done."""
BAD_INPUT = 2
"""The exit code where what was asked makes no sense."""
INTERRUPTED = 130

_WIDE = 200
"""Columns where no terminal says how wide it is: a pipe wants its lines whole."""


def colour() -> bool | None:
    """What click should do: None where the terminal decides, False where NO_COLOR says no (https://no-color.org)."""
    return False if environment(("NO_COLOR",)).get("NO_COLOR") else None


def console(*, stderr: bool = False) -> Console:
    """A console that honours NO_COLOR, and whether it is a terminal."""
    from rich.console import Console  # noqa: PLC0415 - `meshwright --help` does without

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _WIDE
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True, width=width)


def table(*columns: str, title: str | None = None) -> Table:
    """A table without lines, as command lines print them; a column whose name begins with > is aligned right."""
    from rich.table import Table  # noqa: PLC0415

    made = Table(box=None, pad_edge=False, title=title, title_justify="left", header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(column.lstrip(">"), justify="right" if column.startswith(">") else "left", overflow="fold")
    return made


def as_json(value: Any) -> None:
    """Print a value for programs."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def as_form(form: str, document: Mapping[str, Any]) -> None:
    """Print a Kubernetes object, or a List of them, as kubectl does with `--output`: json, yaml or name."""
    if form == "json":
        as_json(document)
    elif form == "yaml":
        import yaml  # noqa: PLC0415

        click.echo(yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True), nl=False)
    else:
        for item in document["items"] if document.get("kind") == "List" else [document]:
            group = item["apiVersion"].partition("/")[0]
            click.echo(f"{item['kind'].lower()}.{group}/{item['metadata']['name']}")


def error(text: str) -> None:
    """Print an error message."""
    click.echo(f"{click.style('error:', fg='red', bold=True)} {text}", err=True, color=colour())


def size(count: int | None) -> str:
    """Bytes, in MB."""
    return "" if count is None else f"{count / 1024 / 1024:.0f} MB"


def span(seconds: float) -> str:
    """A length of time: `42s`, `3m05s`, `2h10m`."""
    whole = int(seconds)
    if whole < 60:  # noqa: PLR2004
        return f"{whole}s"
    if whole < 3600:  # noqa: PLR2004
        return f"{whole // 60}m{whole % 60:02}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02}m"
