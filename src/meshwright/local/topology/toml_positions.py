"""The line numbers of a TOML file's tables and keys, which `tomllib` does not keep.

A scan over the text finds tables, arrays of tables and the first line of `key = value`. Other positions (a key inside
an inline table or a list) are those of the enclosing key.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from typing import Any

Path = tuple[str | int, ...]

_TABLE = re.compile(r"^\s*(\[\[|\[)\s*(.+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")


def index(text: str) -> dict[Path, int]:
    """The line (from 1) of each recognised table and key, by its path."""
    found: dict[Path, int] = {}
    counts: Counter[Path] = Counter()
    table: Path = ()
    for number, line in enumerate(text.splitlines(), 1):
        if match := _TABLE.match(line):
            table = _steps(match.group(2))
            if match.group(1) == "[[":
                counts[table] += 1
                table = (*table, counts[table] - 1)
            found.setdefault(table, number)
        elif match := _KEY.match(line):
            found.setdefault((*table, *_steps(match.group(1))), number)
    return found


def line_of(places: dict[Path, int], path: Path) -> int | None:
    """The line of that path, or of the enclosing one."""
    for length in range(len(path), 0, -1):
        if path[:length] in places:
            return places[path[:length]]
    return None


def parse_place(place: str) -> Path:
    """Parses a path; the inverse of `meshwright.schema.place`: `processes.cart.wait_for[1]`."""
    steps: list[str | int] = []
    for match in re.finditer(r"""\["((?:[^"\\]|\\.)*)"\]|\[(\d+)\]|([^.\[\]]+)""", place):
        quoted, number, plain = match.groups()
        steps.append(int(number) if number is not None else quoted if quoted is not None else plain)
    return tuple(steps)


def _steps(dotted: str) -> Path:
    """A dotted key's steps, parsed by `tomllib` for its quoting rules."""
    try:
        document: Any = tomllib.loads(f"{dotted} = 0")
    except tomllib.TOMLDecodeError:
        return (dotted,)
    steps: list[str] = []
    while isinstance(document, dict):
        ((key, document),) = document.items()
        steps.append(key)
    return tuple(steps)
