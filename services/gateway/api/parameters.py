"""Parameters and dependencies that routes share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Path, Query, Request
from pydantic import BeforeValidator, Field

from services.gateway import calculator, errors, readiness, users
from services.gateway.api.dependencies import GatewayDependencies
from services.gateway.auth.tenancy import TenantUsers

MAX_PAGE = 500


@dataclass(frozen=True, slots=True)
class RequestTimeouts:
    """Timeouts of requests in seconds: defaults for unary and streaming requests, and the maximum."""

    answer: float = 5.0
    stream: float = 60.0
    most: float = 300.0


@dataclass(frozen=True, slots=True)
class Backends:
    """The services behind the routes."""

    users: users.Users
    calculator: calculator.Calculator
    readiness: readiness.Readiness
    timeouts: RequestTimeouts


def backends_of(request: Request) -> Backends:
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
    timeouts = backends_of(request).timeouts
    return errors.seconds_to_answer(header, timeouts.answer, timeouts.most)


def stream_within(request: Request, header: Timeout = None) -> float:
    timeouts = backends_of(request).timeouts
    return errors.seconds_to_answer(header, timeouts.stream, timeouts.most)


def dependencies_of(request: Request) -> GatewayDependencies:
    found: GatewayDependencies = request.app.state.dependencies
    return found


def _users(request: Request) -> TenantUsers:
    return dependencies_of(request).users(backends_of(request).users)


def _calculator(request: Request) -> calculator.Calculator:
    return backends_of(request).calculator


Users = Annotated[TenantUsers, Depends(_users)]
Dependencies = Annotated[GatewayDependencies, Depends(dependencies_of)]
Calculator = Annotated[calculator.Calculator, Depends(_calculator)]
Within = Annotated[float, Depends(answer_within)]
StreamWithin = Annotated[float, Depends(stream_within)]
UserId = Annotated[str, Path(description="the id of a user")]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="how many users at most")]
After = Annotated[str, Query(description="only users that come after the one with this id; `next` of the last page")]
IfMatch = Annotated[str | None, Header(description="the ETag of the state to change; 412 where there is a newer one")]
Seen = Annotated[
    Annotated[int, Field(ge=0, le=2**63 - 1)] | None,
    # Clients without a last event may send an empty value.
    BeforeValidator(lambda value: None if isinstance(value, str) and not value.strip() else value),
    Header(alias="Last-Event-ID", description="the id of the last event: only later ones come"),
]
