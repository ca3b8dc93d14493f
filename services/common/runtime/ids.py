"""Ids of new entities."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def new_id(now: datetime, entropy: Callable[[int], bytes]) -> str:
    """Creates a UUID of version 7 (RFC 9562, 5.7): milliseconds first, so that ids sort by creation time."""
    milliseconds = (now - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    number = (milliseconds << 80) | int.from_bytes(entropy(10))
    number = number & ~(0xF << 76) | (0x7 << 76)
    number = number & ~(0x3 << 62) | (0x2 << 62)
    return str(uuid.UUID(int=number))
