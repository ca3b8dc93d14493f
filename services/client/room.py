"""A room of the chat over the live connection: joining, going on after what was seen last, and saying each thing once.

The slide's `SimpleWebSocket` (connect, messages as a stream, send, dispose) loses what is said while the connection is
lost, and what others said meanwhile. Here `send` takes a message at any time: it is on its way until the chat has said
that it is stored, and is sent again with the same mark, which the chat takes once.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.client.changes import Changes
from services.client.errors import ProblemError
from services.client.http_api import new_key
from services.client.timeline import Delivery, Message, OutgoingMessage, Timeline

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from services.client.http_api import HttpApi
    from services.client.live import LiveConnection
    from services.client.session import Session

__all__ = ["Delivery", "Message", "OutgoingMessage", "Person", "Room"]

HISTORY = 50
AGAIN_SECONDS = 1.5
TRANSIENT = frozenset({"UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "ABORTED"})


@dataclass(frozen=True, slots=True)
class Person:
    """A user in a room."""

    user_id: str
    name: str


class Room:
    """One room. An async context manager: inside it, this user is there whenever there is a connection."""

    def __init__(self, name: str, live: LiveConnection, api: HttpApi, session: Session) -> None:
        self.name = name
        self.timeline = Timeline()
        self.people: dict[str, Person] = {}
        self.total = 0
        """How many people there are, of whom `people` may be some."""
        self.joined = False
        self.trouble = ""
        """What is wrong now, in words; empty: nothing."""
        self.changes = Changes()
        """Of any of the above."""
        self._live = live
        self._api = api
        self._session = session
        self._tasks: set[asyncio.Task[None]] = set()
        self._handlers: dict[str, Callable[[dict[str, Any]], None]] = {
            "joined": self._joined,
            "message": self._message,
            "said": self._said,
            "presence": self._presence,
            "interrupted": self._interrupted,
            "missed": self._missed,
        }

    async def __aenter__(self) -> Room:
        for kind, handler in self._handlers.items():
            self._live.on(kind, handler)
        self._live.on("error", self._refused)
        self._live.on_ready(self._join)
        return self

    async def __aexit__(self, *_: object) -> None:
        for handler in (*self._handlers.values(), self._refused):
            self._live.forget(handler)
        self._live.forget(self._join)
        self._live.send("leave", room=self.name)
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.changes.close()

    def send(self, text: str) -> OutgoingMessage:
        """Say something, now or when there is a connection, and once. Its `delivery` tells what came of it."""
        own = OutgoingMessage(new_key(), text)
        self.timeline.outgoing[own.client_id] = own
        self._send(own)
        self.changes.notify()
        return own

    def send_again(self, client_id: str) -> None:
        """Try again with a message that has failed."""
        own = self.timeline.outgoing.get(client_id)
        if own and own.delivery is Delivery.FAILED:
            own.delivery, own.reason = Delivery.SENDING, ""
            self._send(own)
            self.changes.notify()

    def discard(self, client_id: str) -> None:
        """Give a message up; it may have been stored all the same."""
        if self.timeline.outgoing.pop(client_id, None):
            self.changes.notify()

    async def messages(self, after: str = "") -> AsyncIterator[Message]:
        """Each message once, in order, those first that are known; ends when the room is left.

        `after`: the id of the last message that the reader has. A reader who is slower than the room by more than what
        is kept goes on with what is kept.
        """
        seen = after
        async for _ in self.changes:
            for message in self.timeline.after(seen):
                seen = message.id
                yield message

    def _send(self, own: OutgoingMessage) -> None:
        if self.joined:
            self._live.send("say", room=self.name, text=own.text, client_id=own.client_id)

    def _send_unsent(self, own: OutgoingMessage) -> None:
        if own in self.timeline.unsent():
            self._send(own)

    def _join(self) -> None:
        self.joined = False
        tokens, last = self._session.tokens, self.timeline.last
        name = tokens.name if tokens else ""
        since: dict[str, Any] = {"resume_after": last} if last else {"history": HISTORY}
        self._live.send("join", room=self.name, name=name, ref=self._ref, **since)

    @property
    def _ref(self) -> str:
        return f"join {self.name}"[:64]

    def _is_here(self, frame: dict[str, Any]) -> bool:
        return bool(frame.get("room") == self.name)

    def _joined(self, frame: dict[str, Any]) -> None:
        if not self._is_here(frame):
            return
        self.joined, self.trouble = True, ""
        self.people = {one["user_id"]: Person(one["user_id"], one["name"]) for one in frame["people"]}
        self.total = int(frame["total"])
        for own in self.timeline.unsent():
            self._send(own)
        self.changes.notify()

    def _message(self, frame: dict[str, Any]) -> None:
        if self._is_here(frame) and self.timeline.see(_of_frame(frame), self._session.subject):
            self.changes.notify()

    def _said(self, frame: dict[str, Any]) -> None:
        if self._is_here(frame):
            self.timeline.stored(frame["client_id"])
            self.changes.notify()

    def _presence(self, frame: dict[str, Any]) -> None:
        if not self._is_here(frame):
            return
        user = frame["user_id"]
        known = user in self.people
        if frame["present"]:
            self.people[user] = Person(user, frame["name"])
            self.total += not known
        elif self.people.pop(user, None):
            self.total -= 1
        self.changes.notify()

    def _interrupted(self, frame: dict[str, Any]) -> None:
        if self._is_here(frame):
            self._trouble("the chat is unavailable; what you say is sent when it is back")

    def _missed(self, frame: dict[str, Any]) -> None:
        if self._is_here(frame):
            self._start(self._fetch(frame["first"], frame["last"]))

    def _refused(self, frame: dict[str, Any]) -> None:
        own = self.timeline.outgoing.get(frame.get("client_id", ""))
        if own is not None and self._is_here(frame):
            if frame.get("reason") == "NOT_IN_ROOM":
                return  # it is sent again once joined
            if frame["code"] in TRANSIENT:
                self._start(self._again(lambda: self._send_unsent(own)))
                return
            self.timeline.failed(own.client_id, frame["detail"])
            self.changes.notify()
        elif frame.get("ref") == self._ref:
            self._not_joined(frame)

    def _not_joined(self, frame: dict[str, Any]) -> None:
        if frame.get("reason") == "MESSAGE_TOO_OLD":
            self.timeline.forget_before()
            self._join()
            return
        self._trouble(frame["detail"])
        if frame["code"] in TRANSIENT:
            self._start(self._again(self._join))

    def _trouble(self, what: str) -> None:
        self.trouble = what
        self.changes.notify()

    async def _again(self, work: Callable[[], None]) -> None:
        await asyncio.sleep(AGAIN_SECONDS)
        work()

    async def _fetch(self, first: str, last: str) -> None:
        """Read from the history what the chat left out because this client read too slowly."""
        since = max((message.id for message in self.timeline.messages if message.id < first), default="")
        with contextlib.suppress(ProblemError):
            while True:
                page = await self._api.call("GET", "/api/v3/messages", query={"room": self.name, "since": since})
                for found in page["messages"]:
                    self.timeline.see(_of_frame(found), self._session.subject)
                self.changes.notify()
                since = page["next"]
                if not page["messages"] or page["messages"][-1]["id"] >= last:
                    return
        self.timeline.gap_before = first
        self.changes.notify()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _of_frame(frame: dict[str, Any]) -> Message:
    return Message(
        frame["id"], frame["user_id"], frame["name"], frame["text"], frame["sent_at"], frame.get("client_id", "")
    )
