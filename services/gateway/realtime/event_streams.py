"""Routes of public server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from services.common.runtime.tasks import cancel_and_wait
from services.gateway.api.parameters import Seen  # noqa: TC001 - FastAPI reads the annotations
from services.gateway.errors import ApiError
from services.gateway.http import server_sent_events as sse
from services.gateway.http.openapi import problems

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from services.gateway.realtime.connections import ConnectionManager
    from services.gateway.realtime.live_events import LiveEvents


def event_router(connections: ConnectionManager, live: LiveEvents) -> APIRouter:
    """`/api/v3/live/feed` and `/api/v3/live/chart`."""
    router = APIRouter(prefix="/api/v3/live", tags=["real time"])

    @router.get("/feed", response_class=StreamingResponse, responses=problems(422, 503) | {200: sse.EVENTS})
    async def live_feed(request: Request, seen: Seen = None) -> StreamingResponse:
        """Orders placed, completed or rejected, without personal data: the lecture's live feed."""
        connections.check_capacity(viewer=True)
        return _streaming(connections, live.feed(seen), request.url.path)

    @router.get("/chart", response_class=StreamingResponse, responses=problems(422, 503) | {200: sse.EVENTS})
    async def live_chart(request: Request, seen: Seen = None) -> StreamingResponse:
        """The figures of each second, once a second."""
        connections.check_capacity(viewer=True)
        return _streaming(connections, live.chart(seen), request.url.path)

    return router


def _streaming(connections: ConnectionManager, frames: AsyncGenerator[bytes], path: str) -> StreamingResponse:
    return sse.streaming(_until_stopped(connections, frames, path))


async def _until_stopped(
    connections: ConnectionManager, frames: AsyncGenerator[bytes], path: str
) -> AsyncIterator[bytes]:
    """Yields the frames, with comments while there are none, until the instance stops."""
    stopping = asyncio.ensure_future(connections.draining.wait())
    coming = asyncio.ensure_future(anext(frames, None))
    try:
        with connections.counted(viewer=True):
            yield sse.RETRY
            while not stopping.done():
                done, _ = await asyncio.wait(
                    {coming, stopping}, timeout=sse.QUIET_SECONDS, return_when="FIRST_COMPLETED"
                )
                if coming not in done:
                    yield sse.QUIET
                    continue
                frame = coming.result()
                if frame is None:
                    return
                yield frame
                coming = asyncio.ensure_future(anext(frames, None))
    except ApiError as failure:
        yield sse.problem_event(failure, path)
    finally:
        stopping.cancel()
        # In a task of its own: after a disconnect this task is cancelled, and cannot await.
        connections.run_detached(_closed(coming, frames))


async def _closed(coming: asyncio.Future[bytes | None], frames: AsyncGenerator[bytes]) -> None:
    """Ends the pending read, then the generator: a generator that is being read cannot be closed."""
    with contextlib.suppress(ApiError):
        await cancel_and_wait(coming)
    await frames.aclose()
