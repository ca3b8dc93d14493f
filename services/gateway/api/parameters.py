"""What the routes of the REST API have in common, and the calculator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Path, Query, Request
from pydantic import BeforeValidator, Field

from services.gateway import app, domain
from services.gateway.api.dependencies import GatewayDependencies
from services.gateway.auth.tenancy import TenantUsers

MAX_PAGE = 500


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
    budgets = backends_of(request).budgets
    return domain.seconds_to_answer(header, budgets.answer, budgets.most)


def stream_within(request: Request, header: Timeout = None) -> float:
    budgets = backends_of(request).budgets
    return domain.seconds_to_answer(header, budgets.stream, budgets.most)


def dependencies_of(request: Request) -> GatewayDependencies:
    found: GatewayDependencies = request.app.state.dependencies
    return found


def _users(request: Request) -> TenantUsers:
    return dependencies_of(request).users(backends_of(request).users)


def _calculator(request: Request) -> app.Calculator:
    return backends_of(request).calculator


Users = Annotated[TenantUsers, Depends(_users)]
Dependencies = Annotated[GatewayDependencies, Depends(dependencies_of)]
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
