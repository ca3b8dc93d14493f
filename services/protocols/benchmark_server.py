"""`python -m services.protocols.benchmark_server`: one process that does the same work over every protocol.

It prints its ports as a line of JSON, and serves until its standard input ends, so that it cannot outlive the
benchmark. All protocols share one backend; only the transport differs.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, cast

import grpc
import hypercorn.asyncio
import hypercorn.config
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from demo.protocols.v1 import protocols_pb2 as pb
from demo.protocols.v1 import protocols_pb2_grpc as rpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

Message = dict[str, Any]

KEEP_ALIVE_SECONDS = 600
"""A connection that rests is closed after so long: no pause of the machine ends one in the middle of a measurement."""


class Backend:
    """Creates users, and delivers messages."""

    def __init__(self) -> None:
        self.said: list[Message] = []
        self.made: dict[int, Message] = {}
        self._ids = itertools.count(12345)
        self._more = asyncio.Condition()

    def create(self, user: Message) -> Message:
        """Creates a user; returns the lecture's response. Raises ValueError without a name."""
        if not user.get("name"):
            raise ValueError("name is required")
        made = {"id": next(self._ids), "name": user["name"], "email": user["email"], "created_at": int(time.time())}
        self.made[made["id"]] = made
        return made

    async def say(self, text: str, user: str) -> Message:
        message = {"type": "message", "text": text, "user": user, "number": len(self.said) + 1}
        return await self.tell(message)

    async def tell(self, event: Message) -> Message:
        """Delivers an event to all listeners."""
        self.said.append(event)
        async with self._more:
            self._more.notify_all()
        return event

    async def heard(self) -> AsyncIterator[Message]:
        """Yields the events from now on."""
        position = len(self.said)
        while True:
            while position < len(self.said):
                yield self.said[position]
                position += 1
            async with self._more:
                if position == len(self.said):
                    await self._more.wait()


class HttpRoutes:
    """HTTP, JSON-RPC, SSE and polling."""

    def __init__(self, work: Backend) -> None:
        self._work = work

    async def users(self, request: Request) -> Response:
        made = self._work.create(await request.json())
        answer = request.query_params.get("answer")
        if answer == "event":
            await self._work.tell({"type": "user", **made})
            return Response(status_code=202)
        if answer == "later":
            return JSONResponse({"id": made["id"]}, 202)
        return JSONResponse(made, 201)

    async def user(self, request: Request) -> Response:
        return JSONResponse(self._work.made[request.path_params["id"]])

    async def messages(self, request: Request) -> Response:
        body = await request.json()
        await self._work.say(body["text"], body["user"])
        return Response(status_code=202)

    async def poll(self, request: Request) -> Response:
        found = self._work.said[int(request.query_params["since"]) :]
        return JSONResponse({"messages": found, "has_new": bool(found)})

    async def position(self, _: Request) -> Response:
        return JSONResponse(len(self._work.said))

    async def json_rpc(self, request: Request) -> Response:
        call = await request.json()
        params = call["params"]
        result = self._work.create(params) if call["method"] == "createUser" else await self._work.say(**params)
        return JSONResponse({"jsonrpc": "2.0", "result": result, "id": call["id"]})

    async def events(self, _: Request) -> Response:
        async def lines() -> AsyncIterator[str]:
            yield ": hello\n\n"
            async for event in self._work.heard():
                yield f"id: {len(self._work.said)}\ndata: {_json(event)}\n\n"

        return StreamingResponse(lines(), media_type="text/event-stream")


def application(work: Backend) -> Starlette:
    """Everything but gRPC."""
    http = HttpRoutes(work)
    return Starlette(
        routes=[
            Route("/api/v1/users", http.users, methods=["POST"]),
            Route("/api/v1/users/{id:int}", http.user),
            Route("/api/v1/messages", http.messages, methods=["POST"]),
            Route("/api/messages", http.poll),
            Route("/api/position", http.position),
            Route("/rpc", http.json_rpc, methods=["POST"]),
            Route("/events", http.events),
            WebSocketRoute("/chat", _socket(work)),
        ]
    )


def _socket(work: Backend) -> Any:
    async def chat(socket: WebSocket) -> None:
        await socket.accept()

        async def hear() -> None:
            async for event in work.heard():
                await socket.send_text(_json(event))

        hearing = asyncio.create_task(hear()) if socket.query_params.get("hear") else None
        try:
            while True:
                told = json.loads(await socket.receive_text())
                if told["type"] == "createUser":
                    await socket.send_text(_json({"type": "user", **work.create(told)}))
                else:
                    await work.say(told["text"], told["user"])
        except WebSocketDisconnect:
            pass
        finally:
            if hearing is not None:
                hearing.cancel()

    return chat


class GrpcService(rpc.ProtocolServiceServicer):
    """gRPC."""

    def __init__(self, work: Backend) -> None:
        self._work = work

    async def CreateUser(self, request: pb.CreateUserRequest, _context: Any) -> pb.CreatedUser:
        made = self._work.create({"name": request.name, "email": request.email})
        return pb.CreatedUser(**made)

    async def Chat(
        self, request_iterator: AsyncIterator[pb.ChatMessage], context: Any
    ) -> AsyncIterator[pb.ChatMessage]:
        async def listen() -> None:
            async for message in request_iterator:
                await self._work.say(message.text, message.user)

        heard = self._work.heard()
        # The response headers tell the client that it gets all messages from now on.
        first = asyncio.ensure_future(anext(heard))
        await asyncio.sleep(0)
        await context.send_initial_metadata(())
        listening = asyncio.create_task(listen())
        try:
            yield _heard(await first)
            async for event in heard:
                yield _heard(event)
        finally:
            listening.cancel()
            first.cancel()


def _heard(event: Message) -> pb.ChatMessage:
    return pb.ChatMessage(text=event["text"], user=event["user"], number=event["number"])


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _listener() -> socket.socket:
    # Named, so that asyncio switches Nagle's algorithm off.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(512)
    listener.setblocking(False)
    return listener


@contextlib.asynccontextmanager
async def _grpc(work: Backend, compression: grpc.Compression) -> AsyncIterator[int]:
    server = grpc.aio.server(compression=compression)
    rpc.add_ProtocolServiceServicer_to_server(GrpcService(work), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(0)


async def serve() -> None:
    """Serves until standard input ends."""
    work, over = Backend(), asyncio.Event()
    app = application(work)
    http1, http2 = _listener(), _listener()
    first = uvicorn.Server(
        uvicorn.Config(
            app,
            http="h11",
            ws="websockets-sansio",
            log_config=None,
            lifespan="off",
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
        )
    )
    ports = {"http1": http1.getsockname()[1], "http2": http2.getsockname()[1]}
    second = hypercorn.config.Config()
    second.bind = [f"fd://{http2.detach()}"]
    second.loglevel = "CRITICAL"
    second.keep_alive_max_requests = 10**9
    second.keep_alive_timeout = KEEP_ALIVE_SECONDS
    async with _grpc(work, grpc.Compression.NoCompression) as plain, _grpc(work, grpc.Compression.Gzip) as gzipped:
        tasks = [
            asyncio.create_task(first.serve(sockets=[http1])),
            asyncio.create_task(hypercorn.asyncio.serve(cast("Any", app), second, shutdown_trigger=over.wait)),
        ]
        print(json.dumps({**ports, "grpc": plain, "gzip": gzipped}), flush=True)  # noqa: T201 - its answer
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        first.should_exit = first.force_exit = True
        over.set()
        await asyncio.gather(*tasks, return_exceptions=True)


def main() -> None:
    logging.disable(logging.WARNING)
    asyncio.run(serve())


if __name__ == "__main__":
    main()
