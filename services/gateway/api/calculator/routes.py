"""The calculator over REST."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from services.gateway import errors
from services.gateway.api.calculator.request_models import Operands  # noqa: TC001 - FastAPI reads the annotations
from services.gateway.api.calculator.response_models import Value
from services.gateway.api.parameters import Calculator, StreamWithin, Within  # noqa: TC001 - FastAPI reads the annotations
from services.gateway.http.openapi import problems
from services.gateway.http.tracing import trace_id

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

NDJSON = "application/x-ndjson"


MAX_INT32 = 2**31 - 1


PrimeLimit = Annotated[
    int, Query(ge=-MAX_INT32, le=MAX_INT32, description="the largest number to consider: 0 to 100000")
]


_PRIMES: dict[int | str, dict[str, Any]] = {
    200: {"description": "A line for each prime", "content": {NDJSON: {"example": '{"value":2}\n'}}}
}
router = APIRouter(prefix="/calculator", tags=["calculator"])


@router.post("/add", responses=problems(400, 422))
async def add(body: Operands, service: Calculator, within: Within) -> Value:
    """The sum of two numbers."""
    return Value(value=await service.add(body.a, body.b, within))


@router.post("/multiply", responses=problems(400, 422))
async def multiply(body: Operands, service: Calculator, within: Within) -> Value:
    """The product of two numbers."""
    return Value(value=await service.multiply(body.a, body.b, within))


@router.get("/primes", response_class=StreamingResponse, responses=_PRIMES | problems(400, 422))
async def primes(request: Request, limit: PrimeLimit, service: Calculator, within: StreamWithin) -> StreamingResponse:
    """The primes up to a limit, one line of JSON each, as they come.

    A stream that fails ends with a line with a `problem` instead of a `value`.
    """
    stream = service.primes(limit, within)
    # An error before the first line becomes the status.
    first = await anext(stream, None)
    return StreamingResponse(_lines(first, stream, request.url.path), media_type=NDJSON)


async def _lines(first: int | None, rest: AsyncGenerator[int], path: str) -> AsyncIterator[str]:
    # A disconnect cancels this generator; closing it ends the upstream call.
    async with contextlib.aclosing(rest):
        try:
            if first is not None:
                yield _line({"value": first})
            async for value in rest:
                yield _line({"value": value})
        except errors.ApiError as failure:
            yield _line({"problem": errors.problem_of(failure, path, trace_id()).document()})


def _line(item: dict[str, Any]) -> str:
    return json.dumps(item, separators=(",", ":")) + "\n"
