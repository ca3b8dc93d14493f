"""A STUN server (RFC 8489) for Binding requests over UDP: it tells a client from which address its packets come.

A laptop's calls find each other without a server on the internet; a deployment names its own servers. The messages are
aioice's. Addresses of UDP packets can be forged, so that an answer goes to a victim: hence only well-formed Binding
requests are answered, once each, with at most 52 bytes for at least 20, and each address and all together only so
often. Anything else, also a request with an attribute of another usage (RFC 5780), is dropped without an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import struct
from typing import TYPE_CHECKING, Any

from aioice import stun

from services.gateway.http.middleware.rate_limit import RateLimiter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

log = logging.getLogger(__name__)

LARGEST = 548
"""Bytes of a request: what any path over IPv4 lets through (RFC 8489, 6.1)."""
RATE, BURST = 10.0, 50
"""Requests of one address: per second, and at once. A client sends up to seven for each of its own addresses."""
RATE_OF_ALL, BURST_OF_ALL = 2000.0, 4000
_COOKIE = stun.COOKIE.to_bytes(4, "big")
_FOREIGN = {"CHANGE-REQUEST", "LIFETIME", "REQUESTED-TRANSPORT", "XOR-PEER-ADDRESS", "DATA", "CHANNEL-NUMBER"}


class StunProtocol(asyncio.DatagramProtocol):
    """Answers Binding requests. `clock`: monotonic."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._each = RateLimiter(RATE, BURST, clock)
        self._all = RateLimiter(RATE_OF_ALL, BURST_OF_ALL, clock)
        self._transport: asyncio.DatagramTransport

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        address = _plain(addr[0])
        if not (self._all.check("").allowed and self._each.check(address).allowed):
            return
        if answer := binding_response(data, (address, addr[1])):
            self._transport.sendto(answer, addr)

    def error_received(self, exc: Exception) -> None:
        log.debug("STUN: %s", exc)


def binding_response(data: bytes, address: tuple[str, int]) -> bytes:
    """The response to a Binding request from `address`; empty: it is none, and gets no answer."""
    if not stun.HEADER_LENGTH <= len(data) <= LARGEST or data[4:8] != _COOKIE or data[0] & 0xC0:
        return b""
    try:
        request = stun.parse_message(data)
    except (ValueError, struct.error):
        return b""
    binding = (request.message_method, request.message_class) == (stun.Method.BINDING, stun.Class.REQUEST)
    if not binding or _FOREIGN & request.attributes.keys():
        return b""
    response = stun.Message(
        stun.Method.BINDING, stun.Class.RESPONSE, request.transaction_id, {"XOR-MAPPED-ADDRESS": address}
    )
    if "FINGERPRINT" in request.attributes:
        response.add_fingerprint()
    return bytes(response)


@contextlib.asynccontextmanager
async def stun_server(host: str, port: int) -> AsyncIterator[int]:
    """Serves for as long as the context lasts; yields the UDP port, 0 where it cannot be bound: that is logged."""
    loop = asyncio.get_running_loop()
    try:
        transport, _ = await loop.create_datagram_endpoint(lambda: StunProtocol(loop.time), local_addr=(host, port))
    except OSError as error:
        log.warning("no STUN at UDP port %d of %s: %s", port, host, error)
        yield 0
        return
    try:
        yield int(transport.get_extra_info("sockname")[1])
    finally:
        transport.close()


def _plain(host: str) -> str:
    """An IPv6 address without zone, or the IPv4 address that it stands for on a dual-stack socket."""
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
