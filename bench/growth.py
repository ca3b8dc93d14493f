"""How the figures of a load grow with it, in a sentence made from the rows themselves."""

from __future__ import annotations

import re

Row = tuple[str, ...]


def number(cell: str) -> float:
    """The last number of a cell: `"117 -> 222 MiB"` is 222.

    Raises:
        ValueError: If there is none.
    """
    found = re.findall(r"\d+(?:\.\d+)?", cell)
    if not found:
        raise ValueError(f"no number in {cell!r}")
    return float(found[-1])


def sentence(rows: list[Row], clients: str, joined: str, rate: int) -> str:
    """What the largest size costs beside the smallest; `joined` is the row of a size's memory, `rate` the paced one."""
    sizes = sorted({int(row[0]) for row in rows if row[1] == joined})
    few, many = str(sizes[0]), str(sizes[-1])

    def row(size: str, what: str) -> Row:
        return next(row for row in rows if row[0] == size and row[1].startswith(what))

    def times(what: str, column: int) -> float:
        """How many times the value of few is the value of many."""
        return number(row(many, what)[column]) / number(row(few, what)[column])

    paced, burst, size = f"paced, {rate}/s", "at once", sizes[-1] / sizes[0]
    kib = (number(row(many, joined)[-1]) - number(row(few, joined)[-1])) * 1024 / (sizes[-1] - sizes[0])
    return (
        f"From {few} to {many} {clients}, {size:.0f} times as many: at {rate} messages a second the median delay "
        f"is {times(paced, 3):.1f} times as long and the CPU {times(paced, 5):.1f} times as much, so that a delivery "
        f"costs {1 / size * times(paced, 5):.2f} of what it did; what is delivered each second, all at once, is "
        f"{times(burst, 2):.1f} times as much, at {number(row(many, burst)[5]):.0f} % of a core. "
        f"Each further one of the {clients} takes {kib:.0f} KiB."
    )
