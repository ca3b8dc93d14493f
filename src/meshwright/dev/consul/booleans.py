"""Truth as Go reads it."""

from __future__ import annotations


def read_bool(text: str) -> bool | None:
    """Go's ParseBool; None where it would not parse."""
    if text in ("1", "t", "T", "TRUE", "true", "True"):
        return True
    return False if text in ("0", "f", "F", "FALSE", "false", "False") else None
