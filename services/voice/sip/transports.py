"""UDP and TCP: messages as bytes, before they are parsed, and bounds on connections. TCP is framed by aiosipua."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiosipua import TcpSipTransport

from services.voice.sip.guard import network_of
from services.voice.sip.messages import Source

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiosipua import SipRequest, SipResponse

    Receive = Callable[[bytes, Source], None]

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 1000
MAX_CONNECTIONS_OF_A_HOST = 100
ATTEMPTS = 20
"""At finding a port that is free for UDP and TCP."""


def _refuse(_data: bytes, _source: Source) -> None:
    raise RuntimeError("this transport has no receiver")


class Udp(asyncio.DatagramProtocol):
    """`receive` gets each datagram. (aiosipua's own class asserts what Python 3.11's event loop does not keep.)"""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._transport: asyncio.DatagramTransport | None = None

    @property
    def port(self) -> int:
        """The bound port; the transport is started."""
        assert self._transport is not None
        return int(self._transport.get_extra_info("sockname")[1])

    async def start(self, host: str, port: int) -> None:
        """Raises OSError."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(host, port))

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._receive(data, Source("udp", addr[0], addr[1]))

    def error_received(self, exc: Exception) -> None:
        log.debug("UDP: %s", exc)  # a telephone that is gone

    def send(self, message: SipRequest | SipResponse, addr: tuple[str, int]) -> None:
        assert self._transport is not None
        self._transport.sendto(bytes(message), addr)

    def stop(self) -> None:
        if self._transport is not None:
            self._transport.close()


@dataclass
class Tcp(TcpSipTransport):
    """`receive` gets each message, framed by its Content-Length. Too many connections are closed at once."""

    receive: Receive = field(default=_refuse, kw_only=True)
    _hosts: Counter[str] = field(default_factory=Counter, init=False)

    async def _handle_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = writer.get_extra_info("peername")
        host = network_of(str(name[0])) if name else ""
        if len(self._connections) >= MAX_CONNECTIONS or self._hosts[host] >= MAX_CONNECTIONS_OF_A_HOST:
            writer.close()
            return
        self._hosts[host] += 1
        try:
            await super()._handle_connection(reader, writer)
        finally:
            self._hosts[host] -= 1
            self._hosts += Counter()  # drops hosts without a connection

    def _dispatch(self, data: bytes, addr: tuple[str, int]) -> None:
        self.receive(data, Source("tcp", *addr))


class Transports:
    """The two at one port: a telephone finds either under the same address."""

    def __init__(self, host: str, port: int, receive: Receive) -> None:
        self._host = host
        self._port = port
        self._udp = Udp(receive)
        self._tcp = Tcp((host, port), receive=receive)

    @property
    def port(self) -> int:
        return self._udp.port

    async def start(self) -> None:
        """Binds both. Raises OSError. A free port is one for both: one that is free for UDP may be taken for TCP."""
        for _ in range(ATTEMPTS if not self._port else 1):
            await self._udp.start(self._host, self._port)
            self._tcp.local_addr = (self._host, self._udp.port)
            try:
                await self._tcp.start()
            except OSError as error:
                self._udp.stop()
                failure = error
            else:
                return
        raise failure

    async def stop(self) -> None:
        await self._tcp.stop()
        self._udp.stop()

    def send(self, message: SipRequest | SipResponse, target: Source) -> None:
        """Sends a message; one for a connection that is gone is dropped."""
        transport = self._tcp if target.transport == "tcp" else self._udp
        try:
            transport.send(message, (target.host, target.port))
        except (OSError, RuntimeError) as error:
            log.info("nothing was sent to %s: %s", target, error)
