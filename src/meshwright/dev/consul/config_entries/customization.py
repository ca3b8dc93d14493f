"""The short hash by which Consul marks a chain that was compiled to a caller's own wishes.

It is hashstructure's hash of the overrides that took effect: FNV-1 over each name and value, the pairs joined in
order and the fields joined by exclusive or, so that the order of fields does not count.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_OFFSET, _PRIME, _MASK = 0xCBF29CE484222325, 0x100000001B3, 0xFFFFFFFFFFFFFFFF


def digest(customized: Mapping[str, Any]) -> str:
    """Eight hex digits for the overrides under the keys "gateway", "protocol" and "timeout"."""
    gateway = _struct("MeshGatewayConfig", {"Mode": _text(str(customized.get("gateway", "")))})
    whole = _struct(
        "",
        {
            "OverrideMeshGateway": gateway,
            "OverrideProtocol": _text(str(customized.get("protocol", ""))),
            "OverrideConnectTimeout": _fnv(struct.pack("<q", int(customized.get("timeout", 0)))),
        },
    )
    return f"{whole:x}"[:8]


def _struct(name: str, fields: Mapping[str, int]) -> int:
    value = _text(name)
    for key, item in fields.items():
        value ^= _pair(_text(key), item)
    return value


def _pair(key: int, value: int) -> int:
    return _fnv(struct.pack("<QQ", key, value))


def _text(text: str) -> int:
    return _fnv(text.encode())


def _fnv(data: bytes) -> int:
    value = _OFFSET
    for byte in data:
        value = (value * _PRIME) & _MASK
        value ^= byte
    return value
