"""One WebSocket: authentication, commands, events and closing.

A reader processes one command after the other; a writer sends frames from a queue of bounded size. A slow client exerts
back pressure: the queue fills, subscriptions stop reading, and the services count the messages that they drop
(docs/reference/realtime.md).

A client always has a prefix of its frames: after a frame that could not be sent, no further frame is sent. Otherwise
the client would resume after a later frame, and miss the earlier one.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from starlette.websockets import WebSocketDisconnect

from meshwright.auth import calling
from services.common.runtime.errors import BusUnavailableError
from services.common.runtime.tasks import cancel_and_wait
from services.gateway.errors import ApiError
from services.gateway.http.middleware.rate_limit import RateLimiter
from services.gateway.realtime import commands, frames
from services.gateway.realtime.calls.sessions import CallSession
from services.gateway.realtime.clients import UserCredentials
from services.gateway.realtime.commands import InvalidCommandError
from services.gateway.realtime.subscriptions import NotificationSubscription, RoomSubscription

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

    from meshwright.auth import Identity
    from services.gateway.realtime.connections import ConnectionManager

POLICY, RESTART, TRY_LATER, UNAUTHENTICATED = 1008, 1012, 1013, 4401
CLOSE_SECONDS = 2.0
"""Time to send queued frames before a stopping instance closes the socket."""


SIGNAL_PREFIX = 128
"""Characters of a frame in which a signal says that it is one."""


class EndedError(Exception):
    """Closes the socket with this code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Socket:
    """Serves one accepted WebSocket until it ends. `token`: the valid token of the handshake; empty: none."""

    def __init__(self, websocket: WebSocket, connections: ConnectionManager, token: str) -> None:
        self._websocket = websocket
        self._connections = connections
        self._token = token
        self._rate_limiter = RateLimiter(
            connections.limits.rate, connections.limits.burst, asyncio.get_running_loop().time
        )
        self._signal_limiter = RateLimiter(
            connections.limits.signal_rate, connections.limits.signal_burst, asyncio.get_running_loop().time
        )
        self._refusals = 0
        self._call_session: CallSession
        self._frames: asyncio.Queue[str | None] = asyncio.Queue(connections.limits.queue)
        """None: the end."""
        self._writing: asyncio.Task[None] | None = None
        self._rooms: dict[str, tuple[commands.Join, asyncio.Task[None]]] = {}
        self._notes: asyncio.Task[None] | None = None
        self._who: UserCredentials
        self._expires_at = 0.0
        self._renewed = asyncio.Event()

    async def serve(self) -> None:
        """Serves the socket to its end."""
        try:
            self._token = self._token or await self._first_token()
            identity = await self._identified(self._token)
            with self._connections.present(identity.subject) as allowed, calling(identity):
                if not allowed:
                    raise EndedError(POLICY, "TOO_MANY_SOCKETS")
                self._who = UserCredentials(identity.subject, self._token)
                self._expires_at = expiry(identity)
                self._call_session = CallSession(identity.subject, self._send, asyncio.get_running_loop().time)
                await self._send(self._greeting("welcome"))
                with self._connections.calls.sessions.present(self._call_session):
                    await self._go_on()
        except EndedError as ended:
            await self._close(ended)
        except WebSocketDisconnect:
            pass
        finally:
            await _ended([self._writing] if self._writing else [])

    async def _first_token(self) -> str:
        """Reads the token from the first message."""
        try:
            async with asyncio.timeout(self._connections.limits.authenticate_seconds):
                command = commands.parse(await self._text(counted=False))
        except TimeoutError:
            raise EndedError(UNAUTHENTICATED, "TOKEN_MISSING") from None
        except InvalidCommandError as refused:
            raise EndedError(UNAUTHENTICATED, refused.failure.reason) from None
        if not isinstance(command, commands.Authenticate):
            raise EndedError(UNAUTHENTICATED, "TOKEN_MISSING")
        return command.token

    async def _identified(self, token: str) -> Identity:
        try:
            return await self._connections.callers.of_token(token)
        except ApiError as failure:
            # Without the issuer's keys the token's validity is unknown.
            code = UNAUTHENTICATED if failure.code == "UNAUTHENTICATED" else TRY_LATER
            raise EndedError(code, failure.reason or failure.code) from None

    async def _go_on(self) -> None:
        """Reads, writes, and watches the token's expiry and the instance, until one of these ends."""
        self._writing = asyncio.create_task(self._write(), name="writing to a socket")
        others = [
            asyncio.create_task(self._read(), name="reading a socket"),
            asyncio.create_task(self._watch_token(), name="watching a token"),
            asyncio.create_task(self._watch_instance(), name="watching the instance"),
        ]
        try:
            done, _ = await asyncio.wait({self._writing, *others}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            subscriptions = [task for _, task in self._rooms.values()] + ([self._notes] if self._notes else [])
            await _ended([*others, *subscriptions])

    async def _watch_token(self) -> None:
        while (left := self._expires_at - self._connections.clock()) > 0:
            self._renewed.clear()
            # Not wait_for: on Python 3.11 it swallows a cancellation that arrives together with the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._renewed.wait()
        raise EndedError(UNAUTHENTICATED, "TOKEN_EXPIRED")

    async def _watch_instance(self) -> None:
        await self._connections.draining.wait()
        raise EndedError(RESTART, "STOPPING")

    async def _write(self) -> None:
        while (frame := await self._frames.get()) is not None:
            await self._websocket.send_text(frame)

    async def _send(self, frame: str) -> None:
        await self._frames.put(frame)

    async def _close(self, ended: EndedError) -> None:
        """Sends queued frames, and closes. Reader and subscriptions have ended."""
        with contextlib.suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
            async with asyncio.timeout(CLOSE_SECONDS):
                if self._writing:
                    await self._frames.put(None)
                    await asyncio.wait({self._writing})
                await self._websocket.close(ended.code, ended.reason)

    async def _text(self, *, counted: bool = True) -> str:
        """The next frame. Raises WebSocketDisconnect, InvalidCommandError, EndedError."""
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        text = message.get("text")
        if counted:
            self._call_session.heard()
            self._check_rate(self._signal_limiter if is_signal(text) else self._rate_limiter)
        if text is None:
            raise InvalidCommandError(ApiError("INVALID_ARGUMENT", "frames must be text, not binary", reason="NO_TEXT"))
        return str(text)

    async def _read(self) -> None:
        while True:
            ref = ""
            about: dict[str, str] = {}
            try:
                command = commands.parse(await self._text())
                ref = command.ref
                about = _about(command)
                await self._do(command)
            except InvalidCommandError as refused:
                await self._send(frames.error(refused.failure, ref=refused.ref or ref, **about))
            except ApiError as failure:
                await self._send(frames.error(failure, ref=ref, **about))
            except BusUnavailableError as error:
                away = ApiError("UNAVAILABLE", str(error), reason="BUS_UNAVAILABLE")
                await self._send(frames.error(away, ref=ref, **about))

    def _check_rate(self, limiter: RateLimiter) -> None:
        if limiter.check("").allowed:
            self._refusals = 0
            return
        self._refusals += 1
        if self._refusals > self._connections.limits.refusals:
            raise EndedError(POLICY, "RATE_LIMITED")
        raise InvalidCommandError(ApiError("RESOURCE_EXHAUSTED", "too many messages", reason="RATE_LIMITED"))

    async def _do(self, command: commands.Command) -> None:
        match command:
            case commands.Say():
                await self._say(command)
            case commands.Join():
                self._join(command)
            case commands.Leave():
                await self._leave(command)
            case commands.Subscribe():
                self._subscribe(command)
            case commands.Unsubscribe():
                if self._notes:
                    await _ended([self._notes])
                    self._notes = None
                await self._send(frames.frame("unsubscribed", ref=command.ref))
            case commands.Authenticate():
                await self._renew(command)
            case commands.Signal():
                handled = await self._connections.calls.service.handle(
                    self._call_session, self._who, command.content, command.ref
                )
                if handled:
                    await self._send(handled)
            case commands.Ping():
                await self._send(frames.frame("pong", ref=command.ref))

    async def _say(self, command: commands.Say) -> None:
        known = self._rooms.get(command.room)
        if known is None:
            raise ApiError("FAILED_PRECONDITION", "join the room first", reason="NOT_IN_ROOM")
        join, _ = known
        mark = command.client_id or uuid.uuid4().hex
        said = await self._connections.chat.say(self._who, command.room, join.name, command.text, mark)
        await self._send(frames.frame("said", room=said.room, id=said.id, client_id=mark, ref=command.ref))

    def _join(self, command: commands.Join) -> None:
        if command.room in self._rooms:
            raise ApiError("FAILED_PRECONDITION", "this socket is in that room", reason="ALREADY_IN_ROOM")
        if len(self._rooms) >= self._connections.limits.rooms:
            most = f"a socket may be in {self._connections.limits.rooms} rooms"
            raise ApiError("RESOURCE_EXHAUSTED", most, reason="TOO_MANY_ROOMS")
        subscription = RoomSubscription(
            self._connections.chat, self._send, self._who, command, lambda: self._joined(command)
        )
        task = asyncio.create_task(subscription.run(), name="a room subscription")
        self._rooms[command.room] = (command, task)
        task.add_done_callback(lambda _: self._forget(command))

    def _joined(self, join: commands.Join) -> None:
        calls = self._connections.calls
        calls.sessions.joined(self._call_session, join.room, join.name)
        calls.service.tell_room(self._call_session, join.room)

    def _forget(self, join: commands.Join) -> None:
        known = self._rooms.get(join.room)
        if known and known[0] is join:
            del self._rooms[join.room]
            self._connections.calls.sessions.left(self._call_session, join.room)

    async def _leave(self, command: commands.Leave) -> None:
        known = self._rooms.pop(command.room, None)
        if known is None:
            raise ApiError("FAILED_PRECONDITION", "this socket is not in that room", reason="NOT_IN_ROOM")
        await _ended([known[1]])
        self._connections.calls.sessions.left(self._call_session, command.room)
        await self._send(frames.frame("left", room=command.room, ref=command.ref))
        await self._connections.calls.service.leave_room(self._call_session, command.room)

    def _subscribe(self, command: commands.Subscribe) -> None:
        if self._notes and not self._notes.done():
            raise ApiError("FAILED_PRECONDITION", "this socket is subscribed", reason="ALREADY_SUBSCRIBED")
        subscription = NotificationSubscription(self._connections.chat, self._send, self._who, command)
        self._notes = asyncio.create_task(subscription.run(), name="a subscription")

    async def _renew(self, command: commands.Authenticate) -> None:
        identity = await self._connections.callers.of_token(command.token)
        if identity.subject != self._who.user_id:
            raise ApiError("PERMISSION_DENIED", "the token is another user's", reason="ANOTHER_USER")
        self._who.token = command.token
        self._expires_at = expiry(identity)
        self._renewed.set()
        await self._send(self._greeting("authenticated", command.ref))

    def _greeting(self, kind: str, ref: str = "") -> str:
        until = datetime.fromtimestamp(self._expires_at, UTC).isoformat().replace("+00:00", "Z")
        return frames.frame(kind, user_id=self._who.user_id, expires_at=until, ref=ref)


def is_signal(text: str | None) -> bool:
    """Whether a frame counts for the rate of signals: told by its beginning, before it is parsed."""
    return text is not None and '"signal"' in text[:SIGNAL_PREFIX]


def _about(command: commands.Command) -> dict[str, str]:
    """What an error names of the command that it answers."""
    subject = command.content if isinstance(command, commands.Signal) else command
    return {name: getattr(subject, name) for name in ("room", "client_id", "call") if hasattr(subject, name)}


def expiry(identity: Identity) -> float:
    """The token's expiry in seconds since 1970; the verifier requires the claim."""
    return float(identity.claims["exp"])


async def _ended(tasks: list[asyncio.Task[Any]]) -> None:
    """Cancels tasks and waits for them, ignoring their errors."""
    with contextlib.suppress(Exception):
        await cancel_and_wait(*tasks)
