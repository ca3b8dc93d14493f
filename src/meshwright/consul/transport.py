"""HTTP to one Consul: connections, deadlines, credentials, and errors that name the request and the address.

Blocking queries and everything else have a connection pool each. A process holds few blocking queries, but each
occupies its connection for minutes; in a shared pool enough of them would leave no connection for a
deregistration. Consul refuses a client past 200 connections (`limits.http_max_conns_per_client`), so both pools
together stay well below: past that, one blocking query more fails loudly within seconds instead of waiting for
ever in a queue of ours.

Redirects are not followed. Consul redirects a path that it would rather have shorter, to another's name;
a proxy in between, to wherever. Either is an error.

Each request has a deadline. That of a blocking query is what Consul may take (the wait, plus the sixteenth that
Consul adds as jitter) and a margin; without it a connection that died silently would freeze a watch.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
from typing import TYPE_CHECKING, Any, TypeVar

import aiohttp
from yarl import URL

from meshwright import durations
from meshwright.consul.credentials import Credentials
from meshwright.consul.endpoint import parse_endpoint, tls_context
from meshwright.consul.values import ConsulError, NotConnectedError
from meshwright.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from multidict import CIMultiDictProxy

    from meshwright.config import ConsulConfig
    from meshwright.consul.values import Blocking

T = TypeVar("T")

CONNECT_TIMEOUT = 5.0
SHORT_TIMEOUT = 10.0
BLOCKING_MARGIN = 5.0
SHORT_CONNECTIONS = 16
BLOCKING_CONNECTIONS = 128

_SUCCESS = 200
_FIRST_REDIRECT = 300
_FIRST_ERROR = 400
_NOT_FOUND = 404


class Answer:
    """Status, headers and body of a response whose status is good, or 404 where the caller expects that."""

    __slots__ = ("body", "headers", "request", "status")

    def __init__(self, request: str, status: int, headers: CIMultiDictProxy[str], body: bytes) -> None:
        self.request = request
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def missing(self) -> bool:
        return self.status == _NOT_FOUND

    @property
    def index(self) -> int:
        """`X-Consul-Index`, at least 1: an index of 0 would turn the next blocking query into a busy loop."""
        text = self.headers.get("X-Consul-Index", "")
        return max(1, int(text)) if text.isdigit() else 1

    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            raise self._nonsense("JSON") from None

    def parse(self, decode: Callable[[Any], T]) -> T:
        """The body as `decode` understands it. JSON that is not Consul's is the peer's error, not a crash of ours."""
        document = self.json()
        try:
            return decode(document)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise self._nonsense("what Consul answers") from None

    def _nonsense(self, expected: str) -> ConsulError:
        text = self.body[:200].decode(errors="replace")
        return ConsulError(self.request, self.status, f"expected {expected}, got {text!r}")


class Transport:
    """The HTTP client of one Consul. An async context manager; opens connections when they are needed."""

    def __init__(self, config: ConsulConfig) -> None:
        self.endpoint = parse_endpoint(config)
        self._config = config
        self._tls = tls_context(config) if self.endpoint.tls else None
        self._credentials = Credentials(config)
        self._short: aiohttp.ClientSession | None = None
        self._blocking: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Transport:
        self._short = self._session(SHORT_CONNECTIONS)
        self._blocking = self._session(BLOCKING_CONNECTIONS)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in (self._short, self._blocking):
            if session is not None:
                await session.close()
        self._short = self._blocking = None

    async def request(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        body: bytes | None = None,
        wait: float | None = None,
        missing_ok: bool = False,
    ) -> Answer:
        """Send one request. `wait`: the seconds that Consul may hold it. `missing_ok`: 404 is an answer.

        `path` is percent-encoded already. Raises `ConsulError`, `UnreachableError`.
        """
        session = self._short if wait is None else self._blocking
        if session is None:
            raise RuntimeError("the Consul client is used outside its context (async with Consul(config) as consul)")
        line = f"{method} {path}"
        url = URL(f"{self.endpoint.base}{path}", encoded=True).with_query(dict(params or {}))
        headers = self._credentials.headers()
        try:
            async with session.request(
                method,
                url,
                data=body,
                headers=headers,
                timeout=_timeout(wait),
                server_hostname=self._server_name(),
                allow_redirects=False,
            ) as response:
                answer = Answer(line, response.status, response.headers, await response.read())
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotConnectedError(self._unreachable(line, _reason(error))) from error
        except TimeoutError as error:
            raise UnreachableError(self._unreachable(line, "no answer in time")) from error
        except (aiohttp.ClientError, OSError) as error:
            raise UnreachableError(self._unreachable(line, _reason(error))) from error
        if _SUCCESS <= answer.status < _FIRST_REDIRECT or (missing_ok and answer.missing):
            return answer
        if _FIRST_REDIRECT <= answer.status < _FIRST_ERROR:
            to = answer.headers.get("Location", "nowhere")
            what = f"a redirect to {to}, which is not followed: is {self.endpoint} (CONSUL_HTTP_ADDR) a Consul?"
            raise ConsulError(line, answer.status, what)
        raise ConsulError(line, answer.status, answer.body.decode(errors="replace"))

    async def read(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        blocking: Blocking | None = None,
        missing_ok: bool = False,
    ) -> Answer:
        """GET, as a blocking query where one is asked for."""
        query = dict(params or {})
        wait = None
        if blocking is not None and blocking.index > 0:
            query |= {"index": str(blocking.index), "wait": durations.of_seconds(blocking.wait)}
            wait = blocking.wait
        return await self.request("GET", path, query, wait=wait, missing_ok=missing_ok)

    def _session(self, limit: int) -> aiohttp.ClientSession:
        connector: aiohttp.BaseConnector
        if self.endpoint.socket is not None:
            connector = aiohttp.UnixConnector(self.endpoint.socket, limit=limit)
        else:
            tls = self._tls if self._tls is not None else True
            connector = aiohttp.TCPConnector(limit=limit, ssl=tls, socket_factory=_socket)
        return aiohttp.ClientSession(connector=connector)

    def _server_name(self) -> str | None:
        return self._config.tls_server_name if self._tls is not None else None

    def _unreachable(self, line: str, reason: str) -> str:
        return f"Consul at {self.endpoint} (CONSUL_HTTP_ADDR): {reason}, asked for {line}"


def _socket(info: aiohttp.AddrInfoType) -> socket.socket:
    """A socket that notices within half a minute that its peer's machine is gone: a blocking query sends nothing
    for minutes, and without keep-alive probes it would not notice."""
    made = socket.socket(family=info[0], type=info[1], proto=info[2])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made


def _timeout(wait: float | None) -> aiohttp.ClientTimeout:
    total = SHORT_TIMEOUT if wait is None else wait + wait / 16 + BLOCKING_MARGIN
    return aiohttp.ClientTimeout(total=total, connect=CONNECT_TIMEOUT)


def _reason(error: Exception) -> str:
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "no connection in time"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate was refused: {error.certificate_error}"
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, ssl.SSLError):
        return f"no TLS with it: {cause.reason or cause}"
    if isinstance(cause, OSError) and cause.strerror and not isinstance(cause, socket.gaierror) and cause.errno:
        return os.strerror(cause.errno).lower()  # asyncio's own text repeats the address
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror.lower()
    return str(cause) or type(cause).__name__
