"""Free ports for services: from 20000 up to where Linux's ephemeral range begins.

A port from the ephemeral range (32768-60999) may be taken by any outgoing connection between the moment it
was found free and the moment a server binds it; below the range only another server can take it.
"""

from __future__ import annotations

import random
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

FIRST = 20000
LAST = 32767
_ATTEMPTS = 100


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could bind that TCP port now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def find_free(host: str = "127.0.0.1") -> int:
    """A port that is free now. Two processes may find the same one: bind it, and look again on failure.

    Raises OSError when there is none.
    """
    start = random.randrange(FIRST, LAST + 1)  # noqa: S311
    span = LAST - FIRST + 1
    for step in range(span):
        port = FIRST + (start - FIRST + step) % span
        if is_free(port, host):
            return port
    raise OSError(f"no free port between {FIRST} and {LAST} on {host}")


def distinct_ports(free_port: Callable[[], int], taken: Iterable[int] = ()) -> Callable[[], int]:
    """`free_port`, without those in `taken` and without giving a port twice, though none of them is bound yet.

    Gives up after a hundred ports that are taken and returns the last, so that the collision is reported.
    """
    given = set(taken)

    def choose() -> int:
        for _ in range(_ATTEMPTS):
            port = free_port()
            if port not in given:
                break
        if port:
            given.add(port)
        return port

    return choose
