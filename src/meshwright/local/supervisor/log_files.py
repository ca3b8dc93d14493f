"""Log files: the raw lines of each instance, in at most two files of bounded size."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = 4 * 1024 * 1024
"""Bytes after which a file is renamed to `<name>.1` and a new one starts."""


class LogFile:
    """Appends lines. The file of an earlier run is renamed to `<name>.1`, unless it is `continued`."""

    def __init__(self, path: Path, limit: int = LIMIT, *, continued: bool = False) -> None:
        self._path = path
        self._limit = limit
        if continued and path.exists():
            self._file = path.open("ab")
            self._size = path.stat().st_size
        else:
            self._open()

    def write(self, line: str) -> None:
        data = line.encode() + b"\n"
        if self._size and self._size + len(data) > self._limit:
            self._file.close()
            self._open()
        self._file.write(data)
        self._file.flush()
        self._size += len(data)

    def close(self) -> None:
        self._file.close()

    def _open(self) -> None:
        if self._path.exists():
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        self._file = self._path.open("wb")
        self._size = 0


def last_lines(path: Path, count: int) -> list[str]:
    """The last lines of a log, including the renamed file."""
    lines: deque[str] = deque(maxlen=count)
    for part in (path.with_name(f"{path.name}.1"), path):
        if part.exists():
            with part.open(encoding="utf-8", errors="replace") as file:
                lines.extend(line.rstrip("\n") for line in file)
    return list(lines)
