"""Where what was written last will be found: the token for reading one's own writes elsewhere.

A store tells it where it commits, and the server that answers the same call sends it along in the trailing metadata
`demo-position`, as `user/17`. It travels in a context variable: each call of gRPC runs in a task of its own.
"""

from __future__ import annotations

from contextvars import ContextVar

METADATA_KEY = "demo-position"
_POSITION: ContextVar[str] = ContextVar("demo_position", default="")


def record_write(source: str, sequence: int) -> None:
    """The call's last event has that sequence in the log of `source`; 0: it had none."""
    if sequence:
        _POSITION.set(f"{source}/{sequence}")


def token_trailers() -> tuple[tuple[str, str], ...]:
    """Trailing metadata of the call; empty where it wrote nothing."""
    position = _POSITION.get()
    return ((METADATA_KEY, position),) if position else ()
