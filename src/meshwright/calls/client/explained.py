"""A call whose failure may need an explanation: no server has answered on its channel yet.

gRPC says of a service that does not exist, and of a control plane that does not answer, what its resolver saw. Why it
saw that takes a question to the mesh, which is asked once the call has failed. The first answer of a server ends it:
from then on calls are gRPC's own objects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Generator

    Explain: TypeAlias = Callable[[float], Awaitable[str | None]]
    """Why no server is reached, found out within so many seconds; None where that is not known."""

MOST_SECONDS = 1.0
LEAST_SECONDS = 0.02
"""With less time left, the caller gets gRPC's own words."""


def time_to_explain(code: grpc.StatusCode, left: float | None) -> float:
    """How many seconds an explanation may take, `left` being those until the call's deadline; 0: there is none."""
    if code is not grpc.StatusCode.UNAVAILABLE:
        return 0.0
    seconds = MOST_SECONDS if left is None else min(MOST_SECONDS, left)
    return seconds if seconds >= LEAST_SECONDS else 0.0


class ExplainedCall:
    """gRPC's call, with the explanation as the details of its error."""

    def __init__(self, call: Any, explain: Explain) -> None:
        self._call = call
        self._explain = explain
        self._details: str | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    def __await__(self) -> Generator[Any, None, Any]:
        return self._result(self._call).__await__()

    async def __aiter__(self) -> AsyncIterator[Any]:
        try:
            async for message in self._call:
                yield message
        except grpc.aio.AioRpcError as error:
            raise await self._explained(error) from error

    async def read(self) -> Any:
        return await self._result(self._call.read())

    async def write(self, request: Any) -> None:
        await self._result(self._call.write(request))

    async def done_writing(self) -> None:
        await self._result(self._call.done_writing())

    async def wait_for_connection(self) -> None:
        await self._result(self._call.wait_for_connection())

    async def details(self) -> str | None:
        code, said = await self._call.code(), await self._call.details()
        return await self._better(code, said)

    async def _result(self, awaited: Any) -> Any:
        try:
            return await awaited
        except grpc.aio.AioRpcError as error:
            raise await self._explained(error) from error

    async def _explained(self, error: grpc.aio.AioRpcError) -> grpc.aio.AioRpcError:
        details = await self._better(error.code(), error.details())
        return grpc.aio.AioRpcError(
            error.code(), error.initial_metadata(), error.trailing_metadata(), details, error.debug_error_string()
        )

    async def _better(self, code: grpc.StatusCode, said: str | None) -> str | None:
        if self._details is None:
            seconds = time_to_explain(code, self._call.time_remaining())
            self._details = (await self._explain(seconds) if seconds else None) or said
        return self._details


for _kind in (grpc.aio.UnaryUnaryCall, grpc.aio.UnaryStreamCall, grpc.aio.StreamUnaryCall, grpc.aio.StreamStreamCall):
    _kind.register(ExplainedCall)
