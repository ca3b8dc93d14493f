"""The WebSocket for chat and notifications (docs/reference/realtime.md), opened again whenever it is lost.

At once where the gateway says that only this instance stops (1012), else a little later each time. Its users are told
each time that it is authenticated, and go on from where they were. The socket's own pings, which the library sends,
find a connection that died in silence.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import json
import random
from typing import TYPE_CHECKING, Any

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from services.client.backoff import backoff
from services.client.changes import Changes
from services.client.errors import ProblemError

if TYPE_CHECKING:
    from collections.abc import Callable

    from websockets.asyncio.client import ClientConnection

    from services.client.session import Session

    Handler = Callable[[dict[str, Any]], None]

STOPPING, TOO_MUCH, UNAUTHENTICATED = 1012, 1008, 4401
AT_ONCE_SECONDS = 0.2
AFTER_TOO_MUCH_SECONDS = 20.0
PING_SECONDS = 20.0
ANSWER_SECONDS = 10.0
LARGEST_FRAME = 1 << 20


class LiveState(enum.Enum):
    """OFF: no user is signed in."""

    OFF = "off"
    CONNECTING = "connecting"
    LIVE = "live"
    LOST = "lost"


def reconnect_after(code: int, attempt: int) -> float:
    """Seconds until a connection that was closed with `code` (0: it was lost) is opened again; attempts from 0."""
    if code == TOO_MUCH:
        return AFTER_TOO_MUCH_SECONDS
    if code == STOPPING and attempt == 0:
        return random.uniform(0, AT_ONCE_SECONDS)  # noqa: S311 - spreads load, keeps no secret
    return backoff(attempt)


class LiveConnection:
    """The connection of the signed-in user. An async context manager."""

    def __init__(self, url: str, session: Session) -> None:
        self.changes = Changes()
        """Of `state`."""
        self._url = url.replace("http", "ws", 1).rstrip("/") + "/ws"
        self._session = session
        self._state = LiveState.OFF
        self._socket: ClientConnection | None = None
        self._handlers: dict[str, list[Handler]] = {}
        self._ready: list[Callable[[], None]] = []
        self._out: asyncio.Queue[str] = asyncio.Queue()
        self._hurry = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> LiveConnection:
        self._task = asyncio.create_task(self._stay(), name="the live connection")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._become(LiveState.OFF)
        self.changes.close()

    @property
    def state(self) -> LiveState:
        """What can be expected of it now."""
        return self._state

    def on(self, kind: str, handler: Handler) -> None:
        """Call `handler` with each frame of that type. It must not raise."""
        self._handlers.setdefault(kind, []).append(handler)

    def on_ready(self, begin: Callable[[], None]) -> None:
        """Call `begin` each time that the connection is authenticated, and now where it is."""
        self._ready.append(begin)
        if self._state is LiveState.LIVE:
            begin()

    def forget(self, handler: Handler | Callable[[], None]) -> None:
        """Call it no more."""
        for kind, handlers in self._handlers.items():
            self._handlers[kind] = [known for known in handlers if known != handler]
        self._ready = [known for known in self._ready if known != handler]

    def send(self, kind: str, **fields: Any) -> bool:
        """Send a frame. False where there is no connection now: `on_ready` follows."""
        if self._state is not LiveState.LIVE:
            return False
        self._out.put_nowait(_frame(kind, **fields))
        return True

    def hurry(self) -> None:
        """Try at once: the network is said to be back."""
        self._hurry.set()

    def reconnect(self) -> None:
        """Open a new connection in place of this one, as a phone does that woke up in another network."""
        if self._socket:
            self._socket.transport.abort()
        self.hurry()

    async def _stay(self) -> None:
        """Connected for as long as a user is signed in."""
        attempt = 0
        while True:
            subject = self._session.subject
            if not subject:
                self._become(LiveState.OFF)
                attempt = 0
                await self._session.changes.after(self._session.changes.count)
                continue
            self._become(LiveState.LOST if attempt else LiveState.CONNECTING)
            code, welcomed = await self._once(subject)
            attempt = 0 if welcomed else attempt
            if self._session.subject:
                self._become(LiveState.LOST)
                await self._pause(reconnect_after(code, attempt))
                attempt += 1

    async def _once(self, subject: str) -> tuple[int, bool]:
        """One connection, to its end: the code of its close, 0 where it was lost, and whether it was authenticated."""
        welcomed = False
        try:
            token = await self._session.token()
            if not token:
                return 0, False
            async with connect(
                self._url,
                compression=None,
                proxy=None,
                ping_interval=PING_SECONDS,
                ping_timeout=ANSWER_SECONDS,
                max_size=LARGEST_FRAME,
            ) as socket:
                await socket.send(_frame("authenticate", token=token))
                helpers: list[asyncio.Task[None]] = []
                try:
                    with contextlib.suppress(ConnectionClosed):
                        async for text in socket:
                            frame = json.loads(text)
                            if frame["type"] == "welcome":
                                welcomed = True
                                helpers = self._begin(socket, token, subject)
                            for handler in tuple(self._handlers.get(frame["type"], ())):
                                handler(frame)
                finally:
                    self._socket = None
                    for helper in helpers:
                        helper.cancel()
                    await asyncio.gather(*helpers, return_exceptions=True)
            code = socket.close_code or 0
            if code == UNAUTHENTICATED:
                await self._session.renew(token)
            return code, welcomed
        except (OSError, TimeoutError, InvalidHandshake, InvalidURI, ConnectionClosed, ProblemError, ValueError):
            return 0, welcomed

    def _begin(self, socket: ClientConnection, token: str, subject: str) -> list[asyncio.Task[None]]:
        self._out, self._socket = asyncio.Queue(), socket
        self._become(LiveState.LIVE)
        for begin in tuple(self._ready):
            begin()
        return [
            asyncio.create_task(self._write(socket, self._out), name="writing to the live connection"),
            asyncio.create_task(self._follow_session(socket, token, subject), name="following the session"),
        ]

    @staticmethod
    async def _write(socket: ClientConnection, frames: asyncio.Queue[str]) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await socket.send(await frames.get())

    async def _follow_session(self, socket: ClientConnection, token: str, subject: str) -> None:
        """Tell the gateway of each new token; end the connection when another user, or none, is signed in."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                count, tokens = self._session.changes.count, self._session.tokens
                if tokens is None or tokens.subject != subject:
                    await socket.close()
                    return
                if tokens.access != token:
                    token = tokens.access
                    await socket.send(_frame("authenticate", token=token))
                await self._renew_in_time(count)

    async def _renew_in_time(self, count: int) -> None:
        """Until the session changed, or its token had to be renewed, which changes it."""
        try:
            async with asyncio.timeout(self._session.seconds_to_renewal):
                await self._session.changes.after(count)
        except TimeoutError:
            with contextlib.suppress(ProblemError):
                await self._session.token()
                return
            await asyncio.sleep(backoff(0))

    async def _pause(self, seconds: float) -> None:
        self._hurry.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurry.wait()

    def _become(self, state: LiveState) -> None:
        if state is not self._state:
            self._state = state
            self.changes.notify()


def _frame(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind} | {name: value for name, value in fields.items() if value != ""})
