"""Parsing of the commands that clients send on a socket, as docs/reference/realtime.md specifies them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.common.runtime.text import is_unicode
from services.gateway.errors import ApiError
from services.gateway.realtime.calls.messages import parse_signal

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

MAX_REF = 64
MAX_HISTORY = 100
KINDS = ("INFO", "WARNING", "ERROR", "SUCCESS", "ORDER_UPDATE", "USER_MESSAGE")
"""Types of notifications; their indexes are the numbers in notification.proto."""


@dataclass(frozen=True, slots=True)
class Authenticate:
    token: str
    ref: str = ""


@dataclass(frozen=True, slots=True)
class Join:
    room: str
    name: str = ""
    resume_after: str = ""
    history: int = 0
    ref: str = ""


@dataclass(frozen=True, slots=True)
class Leave:
    room: str
    ref: str = ""


@dataclass(frozen=True, slots=True)
class Say:
    room: str
    text: str
    client_id: str = ""
    ref: str = ""


@dataclass(frozen=True, slots=True)
class Subscribe:
    types: tuple[int, ...] = ()
    resume_after: str = ""
    ref: str = ""


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    ref: str = ""


@dataclass(frozen=True, slots=True)
class Ping:
    ref: str = ""


@dataclass(frozen=True, slots=True)
class Signal:
    """`content`: one of the models of `calls.messages`."""

    content: Any
    ref: str = ""


Command = Authenticate | Join | Leave | Say | Subscribe | Unsubscribe | Ping | Signal


class InvalidCommandError(Exception):
    """An invalid command, and the client's `ref` of it."""

    def __init__(self, failure: ApiError, ref: str = "") -> None:
        super().__init__(failure.detail)
        self.failure = failure
        self.ref = ref


def parse(text: str) -> Command:
    """Parses a frame; raises InvalidCommandError."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise _refused("the frame is no JSON", "NO_JSON") from None
    if not isinstance(document, dict):
        raise _refused("the frame is no JSON object", "NO_OBJECT")
    ref = document.get("ref", "")
    if not isinstance(ref, str) or len(ref) > MAX_REF or not is_unicode(ref):
        raise _refused(f"ref must be a string of at most {MAX_REF} characters", "INVALID_MESSAGE")
    kind = document.get("type")
    if kind == "signal":
        return Signal(_signal(document, ref), ref)
    read = _READERS.get(kind) if isinstance(kind, str) else None
    if read is None:
        raise _refused(f"type must be one of {', '.join([*_READERS, 'signal'])}", "UNKNOWN_TYPE", ref)
    fields = _Fields(document)
    command = read(fields, ref)
    if fields.wrong:
        raise _refused("; ".join(f"{name} {what}" for name, what in fields.wrong.items()), "", ref, fields.wrong)
    return command


def _signal(document: Mapping[str, Any], ref: str) -> Any:
    try:
        return parse_signal(document)
    except ApiError as failure:
        raise InvalidCommandError(failure, ref) from failure


class _Fields:
    """Reads fields of a message, and collects all problems."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self.wrong: dict[str, str] = {}

    def text(self, name: str, *, needed: bool = False) -> str:
        value = self._document.get(name, "")
        if not isinstance(value, str):
            self.wrong[name] = "must be a string"
            return ""
        if not is_unicode(value):
            self.wrong[name] = "must be text: there is half a surrogate pair in it"
            return ""
        if needed and not value:
            self.wrong[name] = "is required"
        return str(value)

    def number(self, name: str, most: int) -> int:
        value = self._document.get(name, 0)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
            self.wrong[name] = f"must be 0 to {most}"
            return 0
        return value

    def names(self, name: str, known: Collection[str]) -> tuple[str, ...]:
        value = self._document.get(name, [])
        if not isinstance(value, list) or not all(isinstance(item, str) and item in known for item in value):
            self.wrong[name] = f"must list some of {', '.join(known)}"
            return ()
        return tuple(value)


def _join(fields: _Fields, ref: str) -> Join:
    return Join(
        fields.text("room", needed=True),
        fields.text("name"),
        fields.text("resume_after"),
        fields.number("history", MAX_HISTORY),
        ref,
    )


def _say(fields: _Fields, ref: str) -> Say:
    return Say(fields.text("room", needed=True), fields.text("text", needed=True), fields.text("client_id"), ref)


def _subscribe(fields: _Fields, ref: str) -> Subscribe:
    types = tuple(KINDS.index(name) for name in fields.names("types", KINDS))
    return Subscribe(types, fields.text("resume_after"), ref)


_READERS: Mapping[str, Callable[[_Fields, str], Command]] = {
    "authenticate": lambda fields, ref: Authenticate(fields.text("token", needed=True), ref),
    "join": _join,
    "leave": lambda fields, ref: Leave(fields.text("room", needed=True), ref),
    "say": _say,
    "subscribe": _subscribe,
    "unsubscribe": lambda _, ref: Unsubscribe(ref),
    "ping": lambda _, ref: Ping(ref),
}


def _refused(detail: str, reason: str, ref: str = "", fields: Mapping[str, str] | None = None) -> InvalidCommandError:
    reason = reason or "INVALID_MESSAGE"
    return InvalidCommandError(ApiError("INVALID_ARGUMENT", detail, reason=reason, fields=fields), ref)
