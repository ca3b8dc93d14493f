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
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode

from meshwright import durations
from meshwright.consul.credentials import Credentials
from meshwright.consul.endpoint import parse_endpoint, tls_context
from meshwright.consul.values import ConsulError, NotConnectedError
from meshwright.errors import UnreachableError
from meshwright.http1 import HEADERS, ConnectError, HttpError, Origin, Pool, Url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

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

    def __init__(self, request: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
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
        text = self.headers.get("x-consul-index", "")
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
        self._credentials = Credentials(config)
        url = Url.parse(self.endpoint.base)
        self._prefix = url.target.rstrip("/")
        self._user = {"Authorization": url.authorization} if url.authorization else {}
        self._origin = Origin(
            url.host,
            url.port,
            url.host_header,
            tls=tls_context(config) if self.endpoint.tls else None,
            server_name=config.tls_server_name,
            unix_socket=self.endpoint.socket,
        )
        self._short: Pool | None = None
        self._blocking: Pool | None = None

    async def __aenter__(self) -> Transport:
        self._short = Pool(self._origin, SHORT_CONNECTIONS, CONNECT_TIMEOUT)
        self._blocking = Pool(self._origin, BLOCKING_CONNECTIONS, CONNECT_TIMEOUT)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pools, self._short, self._blocking = (self._short, self._blocking), None, None
        for pool in pools:
            if pool is not None:
                await pool.aclose()

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
        pool = self._short if wait is None else self._blocking
        if pool is None:
            raise RuntimeError("the Consul client is used outside its context (async with Consul(config) as consul)")
        line = f"{method} {path}"
        query = f"?{urlencode(params)}" if params else ""
        headers = HEADERS | self._user | self._credentials.headers()
        try:
            response = await pool.request(
                method, f"{self._prefix}{path}{query}", headers, body or b"", timeout=_timeout(wait)
            )
        except ConnectError as error:
            raise NotConnectedError(self._unreachable(line, str(error))) from error
        except TimeoutError as error:
            raise UnreachableError(self._unreachable(line, "no answer in time")) from error
        except HttpError as error:
            raise UnreachableError(self._unreachable(line, str(error))) from error
        answer = Answer(line, response.status, response.headers, response.body)
        if _SUCCESS <= answer.status < _FIRST_REDIRECT or (missing_ok and answer.missing):
            return answer
        if _FIRST_REDIRECT <= answer.status < _FIRST_ERROR:
            to = answer.headers.get("location", "nowhere")
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

    def _unreachable(self, line: str, reason: str) -> str:
        return f"Consul at {self.endpoint} (CONSUL_HTTP_ADDR): {reason}, asked for {line}"


def _timeout(wait: float | None) -> float:
    return SHORT_TIMEOUT if wait is None else wait + wait / 16 + BLOCKING_MARGIN
