"""The parts of a client, put together."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from services.client.http_api import HttpApi
from services.client.live import LiveConnection
from services.client.notifications import Notifications
from services.client.orders import Orders
from services.client.room import Room
from services.client.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.client.session import TokenStore


class DemoClient:
    """One user's client of the gateway at `url`. An async context manager.

    Inside it the live connection is open whenever a user is signed in by `session`; rooms are entered by
    `async with client.room("hall") as room`.
    """

    def __init__(self, url: str, store: TokenStore | None = None, clock: Callable[[], float] = time.time) -> None:
        self.api = HttpApi(url)
        self.session = Session(self.api, store, clock)
        self.api.tokens = self.session
        self.live = LiveConnection(url, self.session)
        self.notifications = Notifications(self.live)
        self.orders = Orders(self.api)
        self._open = contextlib.AsyncExitStack()

    async def __aenter__(self) -> DemoClient:
        await self._open.enter_async_context(self.api)
        await self.session.restore()
        await self._open.enter_async_context(self.live)
        await self._open.enter_async_context(self.notifications)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()
        self.session.changes.close()

    def room(self, name: str) -> Room:
        """A room of the chat, to be entered as a context."""
        return Room(name, self.live, self.api, self.session)
