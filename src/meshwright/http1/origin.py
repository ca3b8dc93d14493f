"""Where a request goes: the parts of a URL, and what a connection to them needs."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from aiohappyeyeballs import start_connection

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from typing import TypeVar

    from aiohappyeyeballs import AddrInfoType

    P = TypeVar("P", bound=asyncio.Protocol)

_PORTS = {"http": 80, "https": 443}
_SAFE = "/%:@!$&'()*+,;=~?"
"""What a path and a query may hold as it is (RFC 3986, 3.3 and 3.4); a percent sign begins what is encoded already."""
_AUTHORITY = re.compile(r"([^@\[\]]*@)?(\[[^\[\]@]+\]|[^\[\]@:]+)(:\d*)?")
"""User and password, host, port (RFC 3986, 3.2): `urlsplit` overlooks what is around an IPv6 address."""
_KEEPALIVE = (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
_NEXT_ADDRESS_SECONDS = 0.25
"""How long an address of a name is tried before the next one is, beside it (RFC 8305, section 5)."""


@dataclass(frozen=True, slots=True)
class Url:
    """The parts of an `http` or `https` URL that a request needs."""

    scheme: str
    host: str
    """In ASCII (IDNA), an IPv6 address without its brackets."""
    port: int
    target: str
    """Path and query, percent-encoded."""
    authorization: str = ""
    """The `Authorization` header for the user and the password in the URL."""

    @classmethod
    def parse(cls, text: str) -> Url:
        """Read a URL; raises `ValueError` that says what is wrong with it."""
        if any(character.isspace() or not character.isprintable() for character in text):
            raise ValueError("a URL has no spaces")
        parts = urlsplit(text)
        if parts.scheme not in _PORTS:
            raise ValueError("expected an http or https URL")
        if not _AUTHORITY.fullmatch(parts.netloc):
            raise ValueError("expected a host and a port")
        host = _host(parts.hostname or "", bracketed="[" in parts.netloc)
        port = parts.port  # raises ValueError above 65535
        user = ""
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            user = f"Basic {base64.b64encode(pair.encode()).decode()}"
        query = f"?{parts.query}" if parts.query else ""
        target = quote((parts.path or "/") + query, safe=_SAFE)
        return cls(parts.scheme, host, _PORTS[parts.scheme] if port is None else port, target, user)

    @property
    def host_header(self) -> str:
        """The `Host` header: with the port where it is not the scheme's own (RFC 9110, 7.2)."""
        host = self.host.partition("%")[0]  # a zone means something on this machine alone (RFC 6874, section 1)
        host = f"[{host}]" if ":" in host else host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Origin:
    """A server: its address, the `Host` header for it, and its TLS settings.

    `unix_socket` is the path of a socket that is used instead of the address. `server_name`: the name that the
    certificate must have instead of `host`.
    """

    host: str
    port: int
    host_header: str
    tls: ssl.SSLContext | None = None
    server_name: str | None = None
    unix_socket: str | None = None

    async def connect(self, protocol: Callable[[], P]) -> P:
        """Open a connection. Raises what asyncio raises: `OSError`, of which TLS errors and unknown names are kinds."""
        loop = asyncio.get_running_loop()
        if self.unix_socket is not None:
            _, made = await loop.create_unix_connection(protocol, self.unix_socket)
            return made
        opened = await start_connection(
            await _addresses(self.host, self.port), happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS, socket_factory=_socket
        )
        server_name = (self.server_name or self.host) if self.tls is not None else None
        _, made = await loop.create_connection(protocol, sock=opened, ssl=self.tls, server_hostname=server_name)
        return made


async def _addresses(host: str, port: int) -> list[AddrInfoType]:
    """What `host` stands for. An address stands for itself: resolving would need a thread."""
    loop = asyncio.get_running_loop()
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if isinstance(address, ipaddress.IPv4Address):
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))]
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is None:
        return [(socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port, 0, 0))]
    return list(await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))


def _socket(info: AddrInfoType) -> socket.socket:
    """A socket that notices within half a minute that its peer's machine is gone: a request that waits for minutes
    sends nothing, and without keep-alive probes it would not notice."""
    made = socket.socket(family=info[0], type=info[1], proto=info[2])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        if hasattr(socket, name):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made


def _host(host: str, *, bracketed: bool) -> str:
    if bracketed:
        return str(ipaddress.IPv6Address(host))
    ascii_host = host.encode("idna").decode()  # UnicodeError is a ValueError
    if not ascii_host or not all(character.isalnum() or character in "-._~" for character in ascii_host):
        raise ValueError("expected a host")
    return ascii_host
