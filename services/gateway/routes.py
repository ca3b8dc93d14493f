"""What the routes of the REST API have in common, and the calculator."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BeforeValidator, Field

from services.gateway import app, domain
from services.gateway.bodies import Operands, Value
from services.gateway.edge import Edge
from services.gateway.problems import MEDIA_TYPE
from services.gateway.tenancy import TenantUsers
from services.gateway.tracing import trace_id

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

NDJSON = "application/x-ndjson"
MAX_PAGE = 500
MAX_INT32 = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Budgets:
    """How long requests may take, in seconds: where they do not say so, and at most."""

    answer: float = 5.0
    stream: float = 60.0
    most: float = 300.0


@dataclass(frozen=True, slots=True)
class Backends:
    """What the routes work with."""

    users: app.Users
    calculator: app.Calculator
    readiness: app.Readiness
    budgets: Budgets


def backends(request: Request) -> Backends:
    found: Backends = request.app.state.backends
    return found


Timeout = Annotated[
    str | None,
    Header(
        alias="X-Request-Timeout",
        description="seconds that the answer may take; there are a default and a maximum",
        examples=["2.5"],
    ),
]


def answer_within(request: Request, header: Timeout = None) -> float:
    budgets = backends(request).budgets
    return domain.seconds_to_answer(header, budgets.answer, budgets.most)


def stream_within(request: Request, header: Timeout = None) -> float:
    budgets = backends(request).budgets
    return domain.seconds_to_answer(header, budgets.stream, budgets.most)


def edge_of(request: Request) -> Edge:
    found: Edge = request.app.state.edge
    return found


def _users(request: Request) -> TenantUsers:
    return edge_of(request).users(backends(request).users)


def _calculator(request: Request) -> app.Calculator:
    return backends(request).calculator


Users = Annotated[TenantUsers, Depends(_users)]
TheEdge = Annotated[Edge, Depends(edge_of)]
Calculator = Annotated[app.Calculator, Depends(_calculator)]
Within = Annotated[float, Depends(answer_within)]
StreamWithin = Annotated[float, Depends(stream_within)]
UserId = Annotated[str, Path(description="the id of a user")]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="how many users at most")]
After = Annotated[str, Query(description="only users that come after the one with this id; `next` of the last page")]
IfMatch = Annotated[str | None, Header(description="the ETag of the state to change; 412 where there is a newer one")]
Seen = Annotated[
    Annotated[int, Field(ge=0, le=2**63 - 1)] | None,
    # Clients that have seen nothing may say so by an empty one.
    BeforeValidator(lambda value: None if isinstance(value, str) and not value.strip() else value),
    Header(alias="Last-Event-ID", description="the id of the last event: only later ones come"),
]
PrimeLimit = Annotated[
    int, Query(ge=-MAX_INT32, le=MAX_INT32, description="the largest number to consider: 0 to 100000")
]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems that a route may answer with, for OpenAPI: its own by number, and those that any may have."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    own: dict[int | str, dict[str, Any]] = {
        status: {"description": domain.title(status), "content": content} for status in statuses
    }
    return own | {"default": {"description": "Any other problem", "content": content}}


_PRIMES: dict[int | str, dict[str, Any]] = {
    200: {"description": "A line for each prime", "content": {NDJSON: {"example": '{"value":2}\n'}}}
}

calculator = APIRouter(prefix="/calculator", tags=["calculator"])


@calculator.post("/add", responses=problems(400, 422))
async def add(body: Operands, service: Calculator, within: Within) -> Value:
    """The sum of two numbers."""
    return Value(value=await service.add(body.a, body.b, within))


@calculator.post("/multiply", responses=problems(400, 422))
async def multiply(body: Operands, service: Calculator, within: Within) -> Value:
    """The product of two numbers."""
    return Value(value=await service.multiply(body.a, body.b, within))


@calculator.get("/primes", response_class=StreamingResponse, responses=_PRIMES | problems(400, 422))
async def primes(request: Request, limit: PrimeLimit, service: Calculator, within: StreamWithin) -> StreamingResponse:
    """The primes up to a limit, one line of JSON each, as they come.

    A stream that cannot be finished ends with a line that holds a `problem` in place of a `value`.
    """
    stream = service.primes(limit, within)
    # What is wrong from the start is a status; after the first line there is none to give.
    first = await anext(stream, None)
    return StreamingResponse(_lines(first, stream, request.url.path), media_type=NDJSON)


async def _lines(first: int | None, rest: AsyncGenerator[int], path: str) -> AsyncIterator[str]:
    # A client that goes away cancels us here; closing ends the call behind, which must not go on for nobody.
    async with contextlib.aclosing(rest):
        try:
            if first is not None:
                yield _line({"value": first})
            async for value in rest:
                yield _line({"value": value})
        except domain.Failure as failure:
            yield _line({"problem": domain.problem_of(failure, path, trace_id()).document()})


def _line(item: dict[str, Any]) -> str:
    return json.dumps(item, separators=(",", ":")) + "\n"
