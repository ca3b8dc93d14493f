"""Sections of docs/reference/benchmarks.md: what was measured, as a table, with a sentence of how."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "reference" / "benchmarks.md"


@dataclass(frozen=True)
class Section:
    """One measurement: `key` names its place in the document."""

    key: str
    title: str
    how: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    notes: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        lines = [f"## {self.title}", "", self.how, ""]
        lines += ["| " + " | ".join(self.header) + " |", "|" + " --- |" * len(self.header)]
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        for note in self.notes:
            lines += ["", note]
        return "\n".join(lines)


def machine() -> str:
    """The machine in one sentence."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    cores = sum(line.startswith("processor") for line in Path("/proc/cpuinfo").read_text().splitlines())
    kib = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text()).group(1))  # type: ignore[union-attr]
    return (
        f"{cores} cores ({model}), {kib / 2**20:.0f} GiB, Linux {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}, grpcio {version('grpcio')}; {datetime.now(UTC):%Y-%m-%d}"
    )


def publish(section: Section) -> None:
    """Put the section in its place in docs/reference/benchmarks.md: between its markers, or at the end."""
    begin, end = f"<!-- {section.key} -->", f"<!-- /{section.key} -->"
    body = f"{begin}\n{section.markdown()}\n\nMeasured on {machine()}.\n{end}"
    text = DOCUMENT.read_text()
    if begin in text:
        text = re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: body, text, flags=re.DOTALL)
    else:
        text = f"{text.rstrip()}\n\n{body}\n"
    DOCUMENT.write_text(text)
