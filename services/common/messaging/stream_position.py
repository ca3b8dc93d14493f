"""Ids of stored messages, as callers see them and hand them back to go on where they were.

A stream's number alone does not tell whether something after it has been removed since: streams drop what is too old,
and the oldest where a subject, or all of them together, hold too much. With the time beside the number both can be
told (`StreamReader.keeps`) without a record of our own. The text form has a fixed width, so that ids ascend as strings,
too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_FORM = re.compile(r"([0-9]{15})-([0-9]{13})")


class InvalidPositionError(ValueError):
    """The text is no id that we gave to anybody."""


@dataclass(frozen=True, slots=True, order=True)
class StreamPosition:
    """A place in a stream: right after its message `sequence`, which was there at `moment`."""

    sequence: int
    moment: datetime
    """With a zone; to the millisecond, cut off."""

    def __str__(self) -> str:
        return f"{self.sequence:015d}-{(self.moment - _EPOCH) // _MILLISECOND:013d}"


def parse_position(text: str) -> StreamPosition:
    """The position that `str` gave that text; raises InvalidPositionError."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise InvalidPositionError
    try:
        return StreamPosition(int(found[1]), _EPOCH + int(found[2]) * _MILLISECOND)
    except OverflowError:
        raise InvalidPositionError from None
