"""A URL as a QR code on a terminal."""

from __future__ import annotations

import io

_QUIET_ZONE = 2
"""Light modules around the code; the standard asks for 4, and phones manage with 2."""
_WHITE_ON_BLACK = "\x1b[97;40m"
_RESET = "\x1b[0m"


def lines(url: str, *, columns: int, rows: int) -> list[str]:
    """The code's lines, two modules in each character's height; none where the terminal is too small for it.

    The colours are named, because a code whose light modules are dark, as on a light terminal, is not read by all.
    """
    import segno  # noqa: PLC0415 - only on a terminal

    code = segno.make(url, micro=False, error="m")
    width, _ = code.symbol_size(border=_QUIET_ZONE)
    text = io.StringIO()
    code.terminal(out=text, border=_QUIET_ZONE, compact=True)
    found = text.getvalue().splitlines()
    if width > columns or len(found) > rows:
        return []
    return [f"{_WHITE_ON_BLACK}{line}{_RESET}" for line in found]
