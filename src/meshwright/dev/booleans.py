"""Truth values as Go reads them, for the APIs of parts that are written in Go."""

from __future__ import annotations

_VALUES = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}


def parse(text: str) -> bool:
    """Go's `strconv.ParseBool`; raises ValueError with its words."""
    if text not in _VALUES:
        raise ValueError(f'strconv.ParseBool: parsing "{text}": invalid syntax')
    return _VALUES[text]


def lenient(text: str) -> bool:
    """The same for a reader that takes what is no truth value as false."""
    return _VALUES.get(text, False)
