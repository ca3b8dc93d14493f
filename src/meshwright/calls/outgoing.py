"""What may go over the wire: messages of the right type, metadata and texts that every client accepts.

gRPC finds out late. What Protobuf cannot serialise, a key with a capital or a text that is no UTF-8 is refused when the
handler has ended and its status was promised: the caller gets Python's words, or waits until its deadline. A message of
another type is not refused at all: `SerializeToString` belongs to all messages alike. So all of it is checked where it
is given, where the traceback shows who gave it.

Keys and values follow gRPC's "PROTOCOL-HTTP2"; clients refuse a response whose metadata is larger than 8 KiB (some of
them only above 16 KiB).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Pair = tuple[str, str | bytes]
    Serializer = Callable[[Any], bytes]

MAX_METADATA = 8 * 1024 - 512
"""Bytes of trailing metadata, message of the status included. The rest of 8 KiB is for HTTP/2's and gRPC's own headers
(`:status`, `content-type`, `grpc-status`, `grpc-message`), which count too. Above 8 KiB gRPC's core refuses some
responses at random (its soft limit, `grpc.max_metadata_size`), above 16 KiB all of them."""
_ROOM = 1024
"""Bytes of these that are kept for what is added to a handler's own: status, version, trace id."""
_KEY = re.compile(r"[0-9a-z_.-]+")
_VALUE = re.compile(r"[\x20-\x7e]*")
_FOR_EACH = 32
"""What HTTP/2 counts for a header beyond its characters."""


def serializer(method: str, serialize: Serializer | None, *, response: bool) -> Serializer:
    """`serialize`, made to raise TypeError for whatever is no message of the method's type.

    `method` is `package.Service/Method`. The type is that of the contract; a serializer that is not Protobuf's decides
    by itself.
    """
    expected = _message_type(method, response=response) if _is_protobufs(serialize) else None
    what = "answers with" if response else "takes"

    def refuse(message: object, wanted: str) -> TypeError:
        given = message.DESCRIPTOR.full_name if isinstance(message, Message) else type(message).__qualname__
        hint = "; was `return` or `yield` forgotten?" if response and message is None else ""
        return TypeError(f"{method} {what} {wanted}, not {given}{hint}")

    if expected is None:

        def any_bytes(message: Any) -> bytes:
            raw = message if serialize is None else serialize(message)
            if isinstance(raw, str) and serialize is None:
                return raw.encode()
            if not isinstance(raw, bytes):
                raise refuse(message, "bytes")
            return raw

        return any_bytes

    name = expected.DESCRIPTOR.full_name
    assert serialize is not None  # it is Protobuf's

    def typed(message: Any) -> bytes:
        if type(message) is not expected and not _is_called(message, name):
            raise refuse(message, name)
        return serialize(message)

    return typed


def unless_bytes(serialize: Serializer) -> Serializer:
    """A serializer for what may have been serialised already."""
    return lambda message: message if type(message) is bytes else serialize(message)


def _is_protobufs(serialize: Serializer | None) -> bool:
    return getattr(serialize, "__name__", "") == "SerializeToString"


def _is_called(message: object, name: str) -> bool:
    """Whether it is a message of that name; its class may have been made from another pool of descriptors."""
    return isinstance(message, Message) and message.DESCRIPTOR.full_name == name


def _message_type(method: str, *, response: bool) -> type[Message] | None:
    """The class of a method's messages; None for a method that is in no contract that was imported."""
    try:
        found = descriptor_pool.Default().FindMethodByName(method.replace("/", "."))
    except KeyError:
        return None
    return message_factory.GetMessageClass(found.output_type if response else found.input_type)


def metadata(given: Any, what: str) -> tuple[Pair, ...]:
    """The pairs, checked. Raises TypeError or ValueError that says which cannot be sent; `what` names them."""
    if isinstance(given, dict) or not hasattr(given, "__iter__"):
        raise TypeError(f"{what} is a sequence of pairs (key, value), not {type(given).__name__}")
    pairs = tuple(given)
    for pair in pairs:
        _check(pair, what)
    if size(pairs) > MAX_METADATA - _ROOM:
        raise ValueError(f"{what} has {size(pairs)} bytes; clients accept {MAX_METADATA - _ROOM}")
    return pairs


def _check(pair: Any, what: str) -> None:
    if not isinstance(pair, tuple) or len(pair) != 2:  # noqa: PLR2004 - a pair
        raise TypeError(f"{what} consists of pairs (key, value), not {pair!r}")
    key, value = pair
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise ValueError(f"{what}: {key!r} is no key; lower case letters, digits and _.- are allowed")
    if not isinstance(value, str | bytes):
        raise TypeError(f"{what}: the value of {key} is str or bytes, not {type(value).__name__}")
    if key.endswith("-bin"):
        if not isinstance(value, bytes):
            raise TypeError(f"{what}: the value of {key} is bytes, as of each key that ends in -bin, not str")
    elif not _VALUE.fullmatch(value if isinstance(value, str) else value.decode("latin-1")):
        raise ValueError(
            f"{what}: the value of {key} is printable ASCII, not {value!r}; for bytes the key ends in -bin"
        )


def size(pairs: Iterable[Pair], message: str = "") -> int:
    """How large a client finds this metadata, together with the message of a status."""
    total = sum(len(key) + len(value) + len(value) // 3 + _FOR_EACH for key, value in pairs)
    return total + sum(1 if " " <= letter <= "~" and letter != "%" else 3 * len(letter.encode()) for letter in message)


def text(message: str, room: int) -> str:
    """The message of a status as it can be sent, in at most `room` bytes."""
    message = message.encode("utf-8", "replace").decode()
    while size((), message) > room:
        message = message[: max(0, min(len(message) - 2, len(message) * room // size((), message) - 1))] + "…"
        if message == "…":
            return ""
    return message
