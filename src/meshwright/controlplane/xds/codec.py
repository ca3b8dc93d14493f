"""ADS messages as bytes: requests read strictly, responses put together from parts that are encoded once.

A `DiscoveryResponse` differs from stream to stream in its nonce alone. Protobuf lets fields come in any order and
merges concatenated encodings (protobuf.dev, "Last One Wins"), so everything but the nonce is encoded once for all
streams, and each stream appends the few bytes of its own. The resources inside are bytes already.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from meshwright.controlplane.model.snapshot import ResourceType
from meshwright.errors import ValidationError, Violation
from meshwright.messages.xds import DiscoveryRequest, DiscoveryResponse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshwright.controlplane.model.snapshot import Resource
    from meshwright.messages.xds import Node

MAX_NAMES = 20_000
"""Resource names in one request: beyond this it is a mistake or an attack."""
MAX_NAME_LENGTH = 1024
MAX_REFUSAL_LENGTH = 16_384
"""Characters kept of the reason of a NACK: a client's text, for as long as its stream."""

_TYPES = {item.value: item for item in ResourceType}
_LENGTH_DELIMITED = 2
_TAGS: dict[str, bytes] = {
    field.name: (field.number << 3 | _LENGTH_DELIMITED).to_bytes(1, "big")
    for field in DiscoveryResponse.DESCRIPTOR.fields
}
"""The first byte of each field: their numbers are small enough for one."""
_SEVEN_BITS = 0x7F


@dataclass(frozen=True, slots=True)
class Request:
    """What a node asks for, or says about the last answer, for one type of resource."""

    type: ResourceType
    names: frozenset[str] = frozenset()
    nonce: str = ""
    version: str = ""
    error: str | None = None
    """The reason of a NACK; None for an ACK or a subscription."""


class UnknownTypeError(ValueError):
    """A type of resource that this control plane does not serve. The stream goes on, and is answered (`unserved`).

    A node may say who it is in the stream's first request alone, be that such a one: then `node` has it.
    """

    def __init__(self, kind: str, node: Node | None, names: frozenset[str] = frozenset(), nonce: str = "") -> None:
        super().__init__(kind)
        self.type = kind
        self.node = node
        self.names = names
        self.nonce = nonce


def read_request(data: bytes) -> tuple[Request, Node | None]:
    """Decode a DiscoveryRequest. Raises `ValidationError` for what no client may send, and `UnknownTypeError`."""
    try:
        message = DiscoveryRequest.FromString(data)
    except DecodeError as error:
        raise ValidationError("the discovery request", [Violation("", "is not a DiscoveryRequest")]) from error
    node = message.node if message.HasField("node") else None
    kind = _TYPES.get(message.type_url)
    if kind is None:
        if not message.type_url:
            raise ValidationError(
                "the discovery request", [Violation("type_url", "is required on an aggregated stream")]
            )
        _check_names(frozenset({message.type_url, *message.resource_names}))
        raise UnknownTypeError(message.type_url, node, frozenset(message.resource_names), message.response_nonce)
    names = frozenset(message.resource_names)
    _check_names(names)
    refusal = message.error_detail.message[:MAX_REFUSAL_LENGTH] if message.HasField("error_detail") else None
    return Request(kind, names, message.response_nonce, message.version_info, refusal), node


def _check_names(names: frozenset[str]) -> None:
    if len(names) > MAX_NAMES:
        raise ValidationError("the discovery request", [Violation("resource_names", f"are more than {MAX_NAMES}")])
    if max(map(len, names), default=0) > MAX_NAME_LENGTH:
        problem = Violation("resource_names", f"holds a name longer than {MAX_NAME_LENGTH} characters")
        raise ValidationError("the discovery request", [problem])


def encode_body(kind: ResourceType, version: str, resources: Iterable[Resource]) -> bytes:
    """All of a DiscoveryResponse but its nonce."""
    parts = [_field("version_info", version.encode()), _field("type_url", kind.value.encode())]
    parts.extend(_field("resources", resource.body) for resource in resources)
    return b"".join(parts)


def with_nonce(body: bytes, nonce: str) -> bytes:
    """A whole DiscoveryResponse."""
    return body + _field("nonce", nonce.encode())


def _field(name: str, value: bytes) -> bytes:
    return _TAGS[name] + _varint(len(value)) + value


def _varint(number: int) -> bytes:
    if number <= _SEVEN_BITS:
        return number.to_bytes(1, "big")
    out = bytearray()
    while number > _SEVEN_BITS:
        out.append(number & _SEVEN_BITS | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
