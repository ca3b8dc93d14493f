"""The consistency token of a call: the position of its last write, for reading one's own writes from another service.

A store records it at commit. The server sends it in the trailing metadata `demo-position`, as `user/17`. It is kept in
a context variable: each gRPC call runs in a task of its own.
"""

from __future__ import annotations

from contextvars import ContextVar

METADATA_KEY = "demo-position"
_POSITION: ContextVar[str] = ContextVar("demo_position", default="")


def record_write(source: str, sequence: int) -> None:
    """Records the sequence of the call's last event in the log of `source`; 0: no event."""
    if sequence:
        _POSITION.set(f"{source}/{sequence}")


def token_trailers() -> tuple[tuple[str, str], ...]:
    """Trailing metadata of the call; empty if the call wrote nothing."""
    position = _POSITION.get()
    return ((METADATA_KEY, position),) if position else ()
