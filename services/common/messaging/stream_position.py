"""Ids of stored messages, which callers send back to resume.

A sequence alone does not show whether later messages have been removed: streams drop messages by age and by size. With
the time beside the sequence, `StreamReader.keeps` detects both without another record. The text form has a fixed width,
so that ids also sort as strings.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_FORM = re.compile(r"([0-9]{15})-([0-9]{13})")


class InvalidPositionError(ValueError):
    """The text is not a valid position."""


@dataclass(frozen=True, slots=True, order=True)
class StreamPosition:
    """A position in a stream: right after the message `sequence`, which existed at `moment`."""

    sequence: int
    moment: datetime
    """Aware; truncated to milliseconds in the text form."""

    def __str__(self) -> str:
        return f"{self.sequence:015d}-{(self.moment - _EPOCH) // _MILLISECOND:013d}"


def parse_position(text: str) -> StreamPosition:
    """Parses the text form of a position; raises InvalidPositionError."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise InvalidPositionError
    try:
        return StreamPosition(int(found[1]), _EPOCH + int(found[2]) * _MILLISECOND)
    except OverflowError:
        raise InvalidPositionError from None
