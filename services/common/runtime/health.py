"""The part of a server's health that adapters set."""

from __future__ import annotations

from typing import Protocol


class ServerHealth(Protocol):
    """Takes a server out of service, as `meshwright.Server.health` does: NOT_SERVING while any cause holds it."""

    def hold(self, cause: str, reason: str) -> None: ...

    def release(self, cause: str) -> None: ...
