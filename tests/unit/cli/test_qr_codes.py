"""The QR code that `up --host` shows."""

from __future__ import annotations

import re

import segno

from meshwright.cli import qr

URL = "http://192.168.1.5:8080"


def modules(lines: list[str]) -> list[str]:
    """The lines as rows of modules, `#` for a dark one."""
    halves = {"█": "  ", "▀": " #", "▄": "# ", " ": "##"}
    rows = []
    for line in lines:
        pairs = [halves[char] for char in re.sub(r"\x1b\[[0-9;]*m", "", line)]
        rows += ["".join(pair[0] for pair in pairs), "".join(pair[1] for pair in pairs)]
    return rows


def test_the_code_on_the_terminal_is_the_code_of_the_url() -> None:
    code = segno.make(URL, micro=False, error="m")
    expected = ["".join("#" if module else " " for module in row) for row in code.matrix_iter(border=2)]
    assert modules(qr.lines(URL, columns=80, rows=50))[: len(expected)] == expected


def test_a_terminal_that_is_too_small_gets_none() -> None:
    width = len(modules(qr.lines(URL, columns=80, rows=50))[0])
    assert qr.lines(URL, columns=width, rows=50)
    assert qr.lines(URL, columns=width - 1, rows=50) == []
    assert qr.lines(URL, columns=80, rows=10) == []
