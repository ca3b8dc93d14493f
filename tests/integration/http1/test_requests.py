"""The HTTP client against servers that send good and bad bytes: bodies, errors, deadlines, connections used again."""

from __future__ import annotations

import asyncio
import gzip
import socket
import time
import zlib
from typing import TYPE_CHECKING

import pytest

from integration.http1.raw_http import FINE, RawConnection, answer_all, raw_server
from meshwright.http1 import BrokenResponseError, ConnectError, DisconnectedError, HttpError, Origin, Pool, Response
from meshwright.http1 import pool as pool_module
from support.processes import promised_port
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LONG = 30.0
"""Seconds that no request of these tests may need."""


class Client:
    """A pool, closed at the end, with a request that has defaults."""

    def __init__(self, port: int, limit: int = 4, connect_timeout: float = 5.0, host: str = "127.0.0.1") -> None:
        self.pool = Pool(Origin(host, port, f"{host}:{port}"), limit, connect_timeout)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.pool.aclose()

    async def get(self, target: str = "/", method: str = "GET", body: bytes = b"", timeout: float = LONG) -> Response:
        return await self.pool.request(method, target, {}, body, timeout=timeout)


def saying(*pieces: bytes) -> Callable[[RawConnection], Awaitable[None]]:
    """Answers the first request of each connection with these bytes, in pieces, and closes the connection."""

    async def serve(connection: RawConnection) -> None:
        await connection.head()
        for piece in pieces:
            await connection.send(piece)
            await asyncio.sleep(0)

    return serve


@pytest.mark.parametrize(
    ("pieces", "body"),
    [
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234", b"56789"), b"0123456789"),
        (
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01", b"234\r\n5\r\n56789\r\n0\r\n\r\n"),
            b"0123456789",
        ),
        ((b"HTTP/1.1 200 OK\r\n\r\n01234", b"56789"), b"0123456789"),
        ((b"HTTP/1.0 200 OK\r\n\r\n0123456789",), b"0123456789"),
        ((b"HTTP/1.1 204 No Content\r\n\r\n",), b""),
        ((b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + FINE,), b"fine"),
        ((b"H", b"TTP/1.1 20", b"0 OK\r\nContent-Le", b"ngth: 1\r\n\r\n", b"x"), b"x"),
    ],
    ids=["length", "chunked", "until-closed", "http-1.0", "no-body", "interim", "in-pieces"],
)
async def test_a_body_is_read_whole_however_it_is_delimited(pieces: tuple[bytes, ...], body: bytes) -> None:
    async with raw_server(saying(*pieces)) as server, Client(server.port) as client:
        assert (await client.get()).body == body


async def test_a_large_body_in_many_pieces_is_whole() -> None:
    piece = bytes(range(256)) * 256

    async def serve(connection: RawConnection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(piece) * 64))
        for _ in range(64):
            await connection.send(piece)

    async with raw_server(serve) as server, Client(server.port) as client:
        assert (await client.get()).body == piece * 64


async def test_what_is_sent_names_the_host_the_target_and_the_length() -> None:
    heads: list[bytes] = []
    bodies: list[bytes] = []

    async def serve(connection: RawConnection) -> None:
        for size in (0, 0, 5):
            heads.append(await connection.head())
            bodies.append(await connection.body(size))
            await connection.send(FINE)

    async with raw_server(serve) as server, Client(server.port) as client:
        await client.get("/v1/kv/a%20b?index=1")
        await client.get("/", "PUT")
        await client.get("/", "PUT", b"01234")
    host = b"127.0.0.1:%d" % server.port
    assert heads[0] == b"GET /v1/kv/a%20b?index=1 HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"
    assert heads[1] == b"PUT / HTTP/1.1\r\nHost: " + host + b"\r\nContent-Length: 0\r\n\r\n"
    assert heads[2].endswith(b"\r\nContent-Length: 5\r\n\r\n")
    assert bodies == [b"", b"", b"01234"]


async def test_headers_are_found_in_lower_case() -> None:
    said = (
        b"HTTP/1.1 200 OK\r\nX-Consul-Index: 7\r\nx-other:  caf\xc3\xa9 \r\nX-OTHER: again\r\nContent-Length: 0\r\n\r\n"
    )
    async with raw_server(saying(said)) as server, Client(server.port) as client:
        headers = (await client.get()).headers
    assert (headers["x-consul-index"], headers["x-other"]) == ("7", "café")


# Compressed bodies


def compressed(coding: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(b"plain" * 1000)),
        ("X-GZIP", gzip.compress(b"plain" * 1000)),
        ("deflate", zlib.compress(b"plain" * 1000)),
        ("identity", b"plain" * 1000),
    ],
    ids=["gzip", "x-gzip", "deflate", "identity"],
)
async def test_a_compressed_body_is_decoded(coding: str, body: bytes) -> None:
    async with raw_server(saying(compressed(coding, body))) as server, Client(server.port) as client:
        assert (await client.get()).body == b"plain" * 1000


@pytest.mark.parametrize(
    ("coding", "body", "said"),
    [
        ("gzip", gzip.compress(b"plain" * 1000)[:-9], "its gzip stream is cut off"),
        ("gzip", b"this is no gzip", "Error -3"),
        ("br", b"x", "its content coding 'br' was not asked for"),
    ],
    ids=["cut-off", "garbage", "unasked"],
)
async def test_a_body_that_cannot_be_decoded_is_an_error(coding: str, body: bytes, said: str) -> None:
    async with raw_server(saying(compressed(coding, body))) as server, Client(server.port) as client:
        with pytest.raises(BrokenResponseError, match=said):
            await client.get()


# What is no response


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234", "received 5 bytes, expected 10"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01", "incomplete chunked read"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "."),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "illegal status line"),
        (b"\x15\x03\x01\x00\x02\x02\x50\r\n\r\n", "."),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "bad Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", "conflicting Content-Length"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "."),
    ],
    ids=["cut-off", "cut-off-chunk", "cut-off-head", "garbage", "tls-alert", "bad-length", "two-lengths", "upgrade"],
)
async def test_what_is_no_whole_response_is_an_error_that_says_so(said: bytes, reason: str) -> None:
    async with raw_server(saying(said)) as server, Client(server.port) as client:
        with pytest.raises(BrokenResponseError, match=f"^no whole HTTP response: .*{reason}"):
            await client.get()
        assert len(server.connections) == 1, "it is not asked for again"
        await eventually(lambda: server.open == 0)


async def test_an_endless_head_is_given_up() -> None:
    async def serve(connection: RawConnection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 200 OK\r\n")
        while True:
            await connection.send(b"X-More: %s\r\n" % (b"x" * 1000))
            await asyncio.sleep(0)

    async with raw_server(serve) as server, Client(server.port) as client:
        with pytest.raises(BrokenResponseError, match="Receive buffer too long"):
            await client.get()
        await eventually(lambda: server.open == 0)


async def test_a_connection_that_ends_before_an_answer_is_not_a_broken_one() -> None:
    async with raw_server(saying()) as server, Client(server.port) as client:
        with pytest.raises(DisconnectedError, match="it closed the connection"):
            await client.get()
        assert len(server.connections) == 1, "a new connection that ends says that another one would"


async def test_a_refused_connection_says_so_without_the_address() -> None:
    async with Client(promised_port()) as client:
        with pytest.raises(ConnectError, match=r"^connection refused$"):
            await client.get()


async def test_a_name_with_several_addresses_that_all_refuse_gives_one_reason() -> None:
    async with Client(promised_port(), host="localhost") as client:
        with pytest.raises(ConnectError, match=r"^connection refused$"):
            await client.get()


async def test_a_name_that_does_not_resolve_says_so() -> None:
    async with Client(80, host="no.such.host.invalid") as client:
        with pytest.raises(ConnectError, match=r"(name|resolution|address)"):
            await client.get()


# Deadlines


async def test_a_slow_answer_ends_at_the_deadline_and_its_connection_with_it() -> None:
    async def serve(connection: RawConnection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234")
        await connection.until_closed()

    async with raw_server(serve) as server, Client(server.port) as client:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            await client.get(timeout=0.2)
        assert 0.2 <= time.monotonic() - began < LONG
        await eventually(lambda: server.open == 0)


async def test_the_deadline_holds_while_bytes_trickle_in() -> None:
    async def serve(connection: RawConnection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await connection.send(b"1\r\nx\r\n")
            await asyncio.sleep(0.01)

    async with raw_server(serve) as server, Client(server.port) as client:
        with pytest.raises(TimeoutError):
            await client.get(timeout=0.3)


async def test_no_connection_in_time_is_an_error_of_its_own() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        # The kernel completes as many handshakes as its queue holds; the next one waits.
        holders = [socket.socket() for _ in range(4)]
        for holder in holders:
            holder.setblocking(False)
            holder.connect_ex(("127.0.0.1", port))
        async with Client(port, connect_timeout=0.2) as client:
            with pytest.raises(ConnectError, match="no connection in time"):
                await client.get()
        for holder in holders:
            holder.close()


async def test_a_request_past_the_limit_waits_for_a_connection_and_no_longer_than_it_may() -> None:
    release = asyncio.Event()

    async def serve(connection: RawConnection) -> None:
        while True:
            await connection.head()
            await release.wait()
            await connection.send(FINE)

    async with raw_server(serve) as server, Client(server.port, limit=2, connect_timeout=0.3) as client:
        under_way = [asyncio.create_task(client.get()) for _ in range(2)]
        await eventually(lambda: server.open == 2)
        with pytest.raises(ConnectError, match="no connection in time"):
            await client.get()
        release.set()
        assert [each.body for each in await asyncio.gather(*under_way)] == [b"fine"] * 2
        assert (await client.get()).body == b"fine"
        assert len(server.connections) == 2


# Cancelling


@pytest.mark.parametrize(
    "begun", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n012"]
)
async def test_a_cancelled_request_closes_its_connection_at_once(begun: bytes) -> None:
    arrived = asyncio.Event()

    async def serve(connection: RawConnection) -> None:
        await connection.head()
        await connection.send(begun)
        arrived.set()
        await connection.until_closed()

    async with raw_server(serve) as server, Client(server.port) as client:
        request = asyncio.create_task(client.get())
        await arrived.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        await eventually(lambda: server.open == 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_requests_that_are_cancelled_at_any_moment_leave_no_connection_occupied(host: str) -> None:
    async with raw_server(answer_all) as server, Client(server.port, limit=2, connect_timeout=2.0, host=host) as client:
        for steps in range(40):
            request = asyncio.create_task(client.get())
            for _ in range(steps // 2):
                await asyncio.sleep(0)
            request.cancel()
            await asyncio.wait([request])
        both = await asyncio.gather(client.get(), client.get())
        assert [each.body for each in both] == [b"fine", b"fine"]
        await eventually(lambda: server.open <= 2)


async def test_closing_the_client_ends_requests_that_are_under_way() -> None:
    async def serve(connection: RawConnection) -> None:
        await connection.head()
        await connection.until_closed()

    async with raw_server(serve) as server:
        async with Client(server.port) as client:
            request = asyncio.create_task(client.get())
            await eventually(lambda: server.open == 1)
        with pytest.raises(HttpError):
            await request
        await eventually(lambda: server.open == 0)


# Connections that stay open


async def test_a_connection_is_used_again() -> None:
    async with raw_server(answer_all) as server, Client(server.port) as client:
        for _ in range(5):
            assert (await client.get()).body == b"fine"
        assert len(server.connections) == 1


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nfine",
        b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nfine",
        FINE + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong",
    ],
    ids=["close", "http-1.0", "more-than-was-asked-for"],
)
async def test_a_connection_that_cannot_be_used_again_is_closed(said: bytes) -> None:
    async def serve(connection: RawConnection) -> None:
        await connection.head()
        await connection.send(said)
        await connection.until_closed()

    async with raw_server(serve) as server, Client(server.port) as client:
        assert (await client.get()).body == b"fine"
        await eventually(lambda: server.open == 0)
        assert (await client.get()).body == b"fine"
        assert len(server.connections) == 2


async def test_bytes_on_an_idle_connection_are_no_answer_to_the_next_request() -> None:
    answered = asyncio.Event()

    async def serve(connection: RawConnection) -> None:
        await connection.head()
        await connection.send(FINE)
        if connection.number == 1:
            await answered.wait()
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong")
        await connection.until_closed()

    async with raw_server(serve) as server, Client(server.port) as client:
        assert (await client.get()).body == b"fine"
        answered.set()
        await eventually(lambda: server.open == 0)
        assert (await client.get()).body == b"fine"


async def test_bytes_right_behind_an_answer_are_no_answer_to_the_next_request() -> None:
    async def serve(connection: RawConnection) -> None:
        await connection.head()
        await connection.send(FINE)
        if connection.number == 1:
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong")
        await connection.until_closed()

    for _ in range(
        20
    ):  # the second piece comes with the first one, or before the request's task has seen that, or after
        async with raw_server(serve) as server, Client(server.port) as client:
            assert (await client.get()).body == b"fine"
            assert (await client.get()).body == b"fine"


async def test_an_idle_connection_that_the_server_closes_is_not_used_again() -> None:
    closed = asyncio.Event()

    async def serve(connection: RawConnection) -> None:
        await connection.head()
        await connection.send(FINE)
        if connection.number == 1:
            await closed.wait()
        else:
            await connection.until_closed()

    async with raw_server(serve) as server, Client(server.port) as client:
        await client.get()
        closed.set()
        await eventually(lambda: server.open == 0)
        assert (await client.get(method="POST", body=b"x")).body == b"fine"


@pytest.mark.parametrize(("method", "sent"), [("GET", 3), ("PUT", 3), ("DELETE", 3), ("POST", 2)])
async def test_a_request_that_meets_a_closing_connection_is_sent_again_if_it_is_idempotent(
    method: str, sent: int
) -> None:
    requests: list[int] = []

    async def serve(connection: RawConnection) -> None:
        while True:
            await connection.head()
            requests.append(connection.number)
            if connection.number == 1 and len(requests) == 2:
                return  # closes it with the request read, and unanswered
            await connection.send(FINE)

    async with raw_server(serve) as server, Client(server.port) as client:
        await client.get(method=method)
        if method == "POST":
            with pytest.raises(DisconnectedError):
                await client.get(method=method)
        else:
            assert (await client.get(method=method)).body == b"fine"
        assert len(requests) == sent


async def test_connections_are_closed_when_they_have_been_idle_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "IDLE_SECONDS", 0.05)
    async with raw_server(answer_all) as server, Client(server.port) as client:
        for opened in (2, 4):
            await asyncio.gather(client.get(), client.get())
            await eventually(lambda: server.open == 0)
            assert len(server.connections) == opened


async def test_a_connection_in_use_outlives_one_that_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "IDLE_SECONDS", 0.5)
    async with raw_server(answer_all) as server, Client(server.port) as client:
        await asyncio.gather(client.get(), client.get())

        async def one_is_left() -> bool:
            await client.get()
            return server.open == 1

        await eventually(one_is_left)
        assert len(server.connections) == 2


async def test_each_request_has_its_own_headers() -> None:
    heads: list[bytes] = []

    async def serve(connection: RawConnection) -> None:
        while True:
            heads.append(await connection.head())
            await connection.send(FINE)

    async with raw_server(serve) as server, Client(server.port) as client:
        for token in ("one", "one", "two"):
            await client.pool.request("GET", "/", {"X-Consul-Token": token}, timeout=LONG)
    assert [head.partition(b"Token: ")[2] for head in heads] == [b"one\r\n\r\n", b"one\r\n\r\n", b"two\r\n\r\n"]


class _Keeps(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport


async def test_a_connection_is_probed_by_the_kernel_while_it_is_silent() -> None:
    async with raw_server(answer_all) as server:
        made = await Origin("127.0.0.1", server.port, "").connect(_Keeps)
        used = made.transport.get_extra_info("socket")
        assert used.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert used.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 15
        made.transport.close()
        await eventually(lambda: server.open == 0)


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{promised_port()}")
    async with raw_server(answer_all) as server, Client(server.port) as client:
        assert (await client.get()).body == b"fine"
