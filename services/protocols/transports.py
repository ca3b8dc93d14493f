"""The client's side: each transport creates users, and sends a message from one user to another.

Each transport uses a common Python client for its protocol (aiohttp, httpx for HTTP/2, websockets, grpcio), and one
connection for each user. The client library's cost is part of the measurement, and named in the report.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import aiohttp
import grpc
import httpx
import websockets

from demo.protocols.v1 import protocols_pb2 as pb
from demo.protocols.v1 import protocols_pb2_grpc as rpc
from services.protocols.domain import SPEAKER, TEXT, TOKEN, USER, USER_AGENT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

HEADERS = {
    "Authorization": f"Bearer {TOKEN}",
    "Accept": "application/json",
    "User-Agent": USER_AGENT,
}
METADATA = (("authorization", f"Bearer {TOKEN}"),)
SAID = {"text": TEXT, "user": SPEAKER}

Operation: TypeAlias = "Callable[[], Awaitable[None]]"
Opened: TypeAlias = "contextlib.AbstractAsyncContextManager[Operation]"


class Transport(Protocol):
    """A transport. `creating` and `chatting` open connections, and yield a repeatable operation.

    `creating`'s operation may run several times at once; it ends when the answer is there. `chatting`'s runs one at a
    time, and ends when the other person has heard the message.
    """

    @property
    def name(self) -> str: ...

    port: str
    """The name of the server's port."""

    def creating(self, port: int) -> Opened: ...

    def chatting(self, port: int) -> Opened: ...


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def session(port: int, *, token: bool = True) -> aiohttp.ClientSession:
    """A client of the server's HTTP/1.1, with the headers of the lecture's request."""
    headers = {name: text for name, text in HEADERS.items() if token or name != "Authorization"}
    return aiohttp.ClientSession(
        f"http://127.0.0.1:{port}",
        # Without compression, as on the slide.
        headers={**headers, "Accept-Encoding": "identity"},
        json_serialize=_compact,
        connector=aiohttp.TCPConnector(limit=16),
    )


class Http1:
    """HTTP/1.1 with JSON and keep-alive; messages are polled."""

    port = "http1"

    def __init__(self, *, token: bool = True) -> None:
        self.name = "HTTP/1.1 JSON" if token else "HTTP/1.1 JSON, no token"
        self._token = token

    @contextlib.asynccontextmanager
    async def creating(self, port: int) -> AsyncIterator[Operation]:
        async with session(port, token=self._token) as client:

            async def create() -> None:
                async with client.post("/api/v1/users", json=USER) as answer:
                    assert (await answer.json())["id"]

            yield create

    @contextlib.asynccontextmanager
    async def chatting(self, port: int) -> AsyncIterator[Operation]:
        async with session(port, token=self._token) as speaker, _asking(port, token=self._token) as hear:

            async def say() -> None:
                async with speaker.post("/api/v1/messages", json=SAID) as answer:
                    await answer.read()
                await hear()

            yield say


@contextlib.asynccontextmanager
async def _asking(port: int, *, token: bool = True) -> AsyncIterator[Operation]:
    """A listener that polls."""
    async with session(port, token=token) as listener:
        async with listener.get("/api/position") as answer:
            position = await answer.json()

        async def hear() -> None:
            nonlocal position
            async with listener.get("/api/messages", params={"since": str(position)}) as answer:
                found = (await answer.json())["messages"]
            assert found
            position += len(found)

        yield hear


class Polling:
    """The response is fetched by a second request: the best case of polling."""

    name, port = "HTTP polling", "http1"

    @contextlib.asynccontextmanager
    async def creating(self, port: int) -> AsyncIterator[Operation]:
        async with session(port) as client:

            async def create() -> None:
                async with client.post("/api/v1/users?answer=later", json=USER) as answer:
                    number = (await answer.json())["id"]
                async with client.get(f"/api/v1/users/{number}") as answer:
                    assert (await answer.json())["id"] == number

            yield create

    def chatting(self, port: int) -> Opened:
        return Http1().chatting(port)


class Http2:
    """HTTP/2 without TLS (prior knowledge) with JSON."""

    name, port = "HTTP/2 JSON", "http2"

    @contextlib.asynccontextmanager
    async def creating(self, port: int) -> AsyncIterator[Operation]:
        async with _http2(port) as client:

            async def create() -> None:
                answer = await client.post("/api/v1/users", json=USER)
                assert answer.json()["id"]

            yield create

    @contextlib.asynccontextmanager
    async def chatting(self, port: int) -> AsyncIterator[Operation]:
        async with _http2(port) as speaker, _http2(port) as listener:
            position = (await listener.get("/api/position")).json()

            async def say() -> None:
                nonlocal position
                await speaker.post("/api/v1/messages", json=SAID)
                found = (await listener.get(f"/api/messages?since={position}")).json()["messages"]
                assert found
                position += len(found)

            yield say


def _http2(port: int) -> httpx.AsyncClient:
    headers = {**HEADERS, "Accept-Encoding": "identity"}
    base = f"http://127.0.0.1:{port}"
    # By default the client itself opens a new connection after five seconds of rest.
    limits = httpx.Limits(keepalive_expiry=None)
    return httpx.AsyncClient(
        base_url=base, http1=False, http2=True, headers=headers, trust_env=False, timeout=30, limits=limits
    )


class JsonRpc:
    """JSON-RPC 2.0 over HTTP/1.1."""

    name, port = "JSON-RPC", "http1"

    @contextlib.asynccontextmanager
    async def creating(self, port: int) -> AsyncIterator[Operation]:
        async with session(port) as client:
            numbers = itertools.count(1)

            async def create() -> None:
                assert (await _called(client, "createUser", USER, next(numbers)))["id"]

            yield create

    @contextlib.asynccontextmanager
    async def chatting(self, port: int) -> AsyncIterator[Operation]:
        async with session(port) as speaker, _asking(port) as hear:
            numbers = itertools.count(1)

            async def say() -> None:
                await _called(speaker, "say", SAID, next(numbers))
                await hear()

            yield say


async def _called(client: aiohttp.ClientSession, method: str, params: dict[str, Any], number: int) -> Any:
    call = {"jsonrpc": "2.0", "method": method, "params": params, "id": number}
    async with client.post("/rpc", json=call) as answer:
        return (await answer.json())["result"]


class Sse:
    """Requests go by POST, answers and messages come as Server-Sent Events on a second connection."""

    name, port = "SSE", "http1"

    @contextlib.asynccontextmanager
    async def creating(self, port: int) -> AsyncIterator[Operation]:
        async with session(port) as client, _heard(port) as events:

            async def create() -> None:
                async with client.post("/api/v1/users?answer=event", json=USER) as answer:
                    await answer.read()
                assert (await events.get())["id"]

            yield create

    @contextlib.asynccontextmanager
    async def chatting(self, port: int) -> AsyncIterator[Operation]:
        async with session(port) as speaker, _heard(port) as events:

            async def say() -> None:
                async with speaker.post("/api/v1/messages", json=SAID) as answer:
                    await answer.read()
                assert (await events.get())["text"] == TEXT

            yield say


@contextlib.asynccontextmanager
async def _heard(port: int) -> AsyncIterator[asyncio.Queue[Any]]:
    """Yields the events of the stream."""
    found: asyncio.Queue[Any] = asyncio.Queue()

    async def read(stream: aiohttp.StreamReader) -> None:
        async for line in stream:
            if line.startswith(b"data: "):
                found.put_nowait(json.loads(line[6:]))

    headers = {"Accept": "text/event-stream"}
    async with session(port) as client, client.get("/events", headers=headers) as answer:
        await answer.content.readline()
        reading = asyncio.create_task(read(answer.content))
        try:
            yield found
        finally:
            reading.cancel()


class WebSocket:
    """One connection, JSON in text frames; masked by the client, as RFC 6455 wants it."""

    name, port = "WebSocket", "http1"

    @contextlib.asynccontextmanager
    async def creating(self, port: int) -> AsyncIterator[Operation]:
        async with _socket(port, "/chat") as socket:
            waiting: asyncio.Queue[asyncio.Future[Any]] = asyncio.Queue()

            async def read() -> None:
                async for text in socket:
                    (await waiting.get()).set_result(json.loads(text))

            reading = asyncio.create_task(read())

            async def create() -> None:
                answer = asyncio.get_running_loop().create_future()
                waiting.put_nowait(answer)
                await socket.send(_compact({"type": "createUser", **USER}))
                assert (await answer)["id"]

            try:
                yield create
            finally:
                reading.cancel()

    @contextlib.asynccontextmanager
    async def chatting(self, port: int) -> AsyncIterator[Operation]:
        async with _socket(port, "/chat") as speaker, _socket(port, "/chat?hear=1") as listener:

            async def say() -> None:
                await speaker.send(_compact({"type": "message", **SAID}))
                assert json.loads(await listener.recv())["text"] == TEXT

            yield say


def _socket(port: int, path: str) -> Any:
    headers = {"Authorization": HEADERS["Authorization"]}
    return websockets.connect(
        f"ws://127.0.0.1:{port}{path}",
        additional_headers=headers,
        user_agent_header=USER_AGENT,
        compression=None,
        proxy=None,
    )


class Grpc:
    """gRPC: unary calls, and one bidirectional stream for each person."""

    def __init__(self, *, gzip: bool = False, token: bool = True) -> None:
        self.name = "gRPC" + (", gzip" if gzip else "") + ("" if token else ", no token")
        self.port = "gzip" if gzip else "grpc"
        self._compression = grpc.Compression.Gzip if gzip else None
        self._metadata = METADATA if token else ()

    def _channel(self, port: int) -> grpc.aio.Channel:
        # Unique: gRPC shares connections between channels with equal arguments.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.primary_user_agent", USER_AGENT)]
        return grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options, compression=self._compression)

    @contextlib.asynccontextmanager
    async def creating(self, port: int) -> AsyncIterator[Operation]:
        async with self._channel(port) as channel:
            stub = rpc.ProtocolServiceStub(channel)
            request = pb.CreateUserRequest(**USER)

            async def create() -> None:
                answer = await stub.CreateUser(request, metadata=self._metadata)
                assert answer.id

            yield create

    @contextlib.asynccontextmanager
    async def chatting(self, port: int) -> AsyncIterator[Operation]:
        async with self._channel(port) as one, self._channel(port) as other:
            speaker = rpc.ProtocolServiceStub(one).Chat(metadata=self._metadata)
            listener = rpc.ProtocolServiceStub(other).Chat(metadata=self._metadata)
            await speaker.initial_metadata()
            await listener.initial_metadata()
            message = pb.ChatMessage(text=TEXT, user=SPEAKER)

            async def say() -> None:
                await speaker.write(message)
                assert (await listener.read()).text == TEXT

            async def drain() -> None:
                async for _ in speaker:
                    pass

            # The sender gets its own messages, too.
            draining = asyncio.create_task(drain())
            try:
                yield say
            finally:
                draining.cancel()
                speaker.cancel()
                listener.cancel()


def all_transports() -> list[Transport]:
    """All transports, in the order of the report."""
    with_token: list[Transport] = [Http1(), Http2(), JsonRpc(), Polling(), Sse(), WebSocket(), Grpc(), Grpc(gzip=True)]
    return [*with_token, Http1(token=False), Grpc(token=False)]
