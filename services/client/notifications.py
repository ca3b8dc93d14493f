"""The notifications of the user, over the live connection: each once, the newest kept."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.client.changes import Changes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.client.live import LiveConnection

KEPT = 50
AGAIN_SECONDS = 2.0
_REF = "notifications"


@dataclass(frozen=True, slots=True)
class Notification:
    """`kind`: INFO, WARNING, ERROR, SUCCESS, ORDER_UPDATE or USER_MESSAGE. `created_at`: RFC 3339."""

    id: str
    kind: str
    title: str
    message: str
    created_at: str
    data: Mapping[str, str]


class Notifications:
    """Newest first. An async context manager: inside it, they come."""

    def __init__(self, live: LiveConnection) -> None:
        self.items: list[Notification] = []
        self.changes = Changes()
        self._live = live
        self._retry: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Notifications:
        self._live.on("notification", self._see)
        self._live.on("error", self._refused)
        self._live.on_ready(self._subscribe)
        return self

    async def __aexit__(self, *_: object) -> None:
        for handler in (self._see, self._refused, self._subscribe):
            self._live.forget(handler)
        if self._retry:
            self._retry.cancel()
        self._live.send("unsubscribe")
        self.changes.close()

    def _subscribe(self) -> None:
        self._live.send("subscribe", ref=_REF, resume_after=self.items[0].id if self.items else "")

    def _see(self, frame: dict[str, Any]) -> None:
        if any(known.id == frame["id"] for known in self.items):
            return
        item = Notification(
            frame["id"], frame["kind"], frame["title"], frame["message"], frame["created_at"], frame.get("data", {})
        )
        self.items = sorted([item, *self.items], key=lambda each: each.id, reverse=True)[:KEPT]
        self.changes.notify()

    def _refused(self, frame: dict[str, Any]) -> None:
        if frame.get("ref") != _REF:
            return
        if frame.get("reason") == "NOTIFICATION_TOO_OLD":
            self._live.send("subscribe", ref=_REF)
        else:
            self._retry = asyncio.get_running_loop().call_later(AGAIN_SECONDS, self._subscribe)
