"""Failed calls and requests, and what HTTP clients are told of them.

A failed call has a gRPC status code, which is mapped to an HTTP status (as google.rpc.Code documents it) and an RFC
9457 problem document. Client errors have the message of the service; internal errors have a generic message, since
messages of transports and bugs disclose internals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

CLIENT_CLOSED_REQUEST = 499
"""Unregistered; proxies log it for clients that disconnected."""

STATUSES: Mapping[str, int] = {
    "CANCELLED": CLIENT_CLOSED_REQUEST,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}
"""The HTTP status of each gRPC status code."""

GENERIC_DETAILS: Mapping[str, str] = {
    "CANCELLED": "the request was cancelled",
    "DEADLINE_EXCEEDED": "there was no answer in time",
    "UNIMPLEMENTED": "the service that should answer does not know how to, in its current version",
    "UNAVAILABLE": "a service that is needed for the answer cannot be reached now",
    "RESOURCE_EXHAUSTED": "a service that is needed for the answer has too much to do now",
}
"""Messages for errors without a message meant for the client."""
BUG = "something went wrong here; with the trace id it can be found out what"

_PHRASES: Mapping[int, str] = {
    413: "Content Too Large",
    422: "Unprocessable Content",
    CLIENT_CLOSED_REQUEST: "Client Closed Request",
}
"""RFC 9110's phrases; Python's are older in some versions."""

REFUSED = frozenset({"INVALID_ARGUMENT", "ALREADY_EXISTS", "UNIMPLEMENTED"})
"""Codes after which nothing was created; after others, such as a timeout, it may have been."""
TRY_AGAIN_AFTER: Mapping[int, int] = {429: 1, 503: 1}
"""Seconds, for the header Retry-After."""


class ApiError(Exception):
    """A failed call or request. `fields` maps each invalid field to its problem."""

    def __init__(
        self,
        code: str,
        message: str = "",
        *,
        reason: str = "",
        fields: Mapping[str, str] | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message or code)
        self.code = code
        self.message = message
        self.reason = reason
        self.fields = dict(fields or {})
        self.status = status or STATUSES.get(code, 500)

    @property
    def detail(self) -> str:
        """The message for the client. An error with a reason has a message meant for clients."""
        if self.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            return BUG
        if self.message and (self.reason or self.code not in GENERIC_DETAILS):
            return self.message
        return GENERIC_DETAILS.get(self.code, BUG)


@dataclass(frozen=True, slots=True)
class FieldError:
    """An invalid field of the body, parameter or header."""

    field: str
    detail: str


@dataclass(frozen=True, slots=True)
class ProblemDetails:
    """RFC 9457's problem details. `code`, `reason`, `errors` and `trace_id` are extensions."""

    title: str
    status: int
    detail: str
    instance: str
    type: str = "about:blank"
    code: str = ""
    """gRPC's status name, if a service has answered."""
    reason: str = ""
    """A constant for programs, such as EMAIL_TAKEN."""
    errors: tuple[FieldError, ...] = ()
    trace_id: str = ""
    """The request's trace."""

    def document(self) -> dict[str, Any]:
        """The JSON object, without empty members."""
        body: dict[str, Any] = {
            "type": self.type,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": self.instance,
            "code": self.code,
            "reason": self.reason,
            "errors": [{"field": item.field, "detail": item.detail} for item in self.errors],
            "trace_id": self.trace_id,
        }
        return {name: value for name, value in body.items() if value not in ("", [])}


def title(status: int) -> str:
    """The phrase of an HTTP status."""
    return _PHRASES.get(status) or HTTPStatus(status).phrase


def problem_of(failure: ApiError, instance: str, trace_id: str) -> ProblemDetails:
    """Converts an error to its problem document."""
    return ProblemDetails(
        title(failure.status),
        failure.status,
        failure.detail,
        instance,
        code=failure.code,
        reason="" if failure.status == HTTPStatus.INTERNAL_SERVER_ERROR else failure.reason,
        errors=tuple(FieldError(name, what) for name, what in failure.fields.items()),
        trace_id=trace_id,
    )


def seconds_to_answer(header: str | None, default: float, most: float) -> float:
    """Parses X-Request-Timeout, in seconds: `default` without one, `most` at most."""
    if header is None:
        return default
    try:
        seconds = float(header)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        message = "X-Request-Timeout must be a number of seconds above 0"
        raise ApiError("INVALID_ARGUMENT", message, fields={"X-Request-Timeout": "must be a number of seconds above 0"})
    return min(seconds, most)
