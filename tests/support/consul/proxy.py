"""A proxy in front of a Consul that records requests and can hold some of them back, as a slow network would."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web
from yarl import URL

from meshwright.config import ConsulConfig
from meshwright.http import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from support.consul.servers import ConsulServer


_COPIED = ("X-Consul-Index", "Content-Type")


class Proxy:
    """`arrived` and `done` list requests as "PUT /v1/..." when they reach the proxy and when Consul has answered."""

    def __init__(self, target: str, session: aiohttp.ClientSession) -> None:
        self.config = ConsulConfig()
        self.arrived: list[str] = []
        self.done: list[str] = []
        self.leaderless = False
        """Answer every request as a Consul that has no leader does."""
        self._target = target
        self._session = session
        self._holds: dict[str, asyncio.Event] = {}

    @contextlib.contextmanager
    def holding(self, part: str) -> Iterator[asyncio.Event]:
        """Requests whose line contains `part` wait here until the event is set, or the context ends."""
        event = self._holds[part] = asyncio.Event()
        try:
            yield event
        finally:
            event.set()
            del self._holds[part]

    def count(self, part: str) -> int:
        return sum(part in line for line in self.arrived)

    async def handle(self, request: web.Request) -> web.Response:
        line = f"{request.method} {request.path}"
        self.arrived.append(line)
        body = await request.read()
        if self.leaderless:
            return web.Response(text="No cluster leader", status=500)
        for part, event in list(self._holds.items()):
            if part in line:
                await event.wait()
        url = URL(self._target).join(request.rel_url)
        try:
            async with self._session.request(request.method, url, data=body) as answer:
                headers = {name: answer.headers[name] for name in _COPIED if name in answer.headers}
                response = web.Response(body=await answer.read(), status=answer.status, headers=headers)
        except aiohttp.ClientError as error:
            response = web.Response(text=str(error), status=502)
        self.done.append(line)
        return response


@contextlib.asynccontextmanager
async def proxied(server: ConsulServer) -> AsyncIterator[Proxy]:
    """A proxy in front of `server`; its `config` leads there. It goes on with a request whose client has left."""
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        proxy = Proxy(f"http://{server.address}", session)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", proxy.handle)
        async with serving(app, "127.0.0.1", 0, grace=0.1) as address:
            proxy.config = ConsulConfig(address=str(address))
            yield proxy
