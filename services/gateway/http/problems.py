"""Converts every error to a problem document (RFC 9457)."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from services.common.runtime.errors import StoreUnavailableError
from services.gateway.errors import BUG, TRY_AGAIN_AFTER, ApiError, FieldError, ProblemDetails, problem_of, title
from services.gateway.http.tracing import trace_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastapi import FastAPI
    from starlette.requests import Request

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_NOT_PLACES = {"body", "query", "path", "header"}
_WORDS: Mapping[str, str] = {
    "missing": "is required",
    "extra_forbidden": "is not known here",
    "json_invalid": "is not JSON",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "string_type": "must be a string",
    "string_unicode": "must be valid Unicode",
    "bool_type": "must be true or false",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of usual size",
    "model_attributes_type": "must be a JSON object",
    "model_type": "must be a JSON object",
    "dict_type": "must be a JSON object",
}
"""Messages for Pydantic's error types, without the input."""


class ProblemResponse(JSONResponse):
    """A response with a problem document."""

    media_type = MEDIA_TYPE

    def __init__(self, problem: ProblemDetails, headers: Mapping[str, str] | None = None) -> None:
        again = TRY_AGAIN_AFTER.get(problem.status)
        # By default, caches store 404, 405, 410 and others (RFC 9110, 15.1).
        extra = {"Cache-Control": "no-store"} | ({"Retry-After": str(again)} if again else {})
        if problem.status == HTTPStatus.UNAUTHORIZED:
            extra["WWW-Authenticate"] = _challenge(problem.reason)
        super().__init__(problem.document(), problem.status, {**extra, **(headers or {})})


def _challenge(reason: str) -> str:
    """The `WWW-Authenticate` challenge (RFC 6750, 3)."""
    return "Bearer" if not reason.startswith("TOKEN_") or reason == "TOKEN_MISSING" else 'Bearer error="invalid_token"'


def problem(status: int, detail: str, instance: str, errors: Sequence[FieldError] = ()) -> ProblemDetails:
    """Creates the problem of a request that the gateway itself rejects."""
    return ProblemDetails(title(status), status, detail, instance, errors=tuple(errors), trace_id=trace_id())


def install(app: FastAPI) -> None:
    """Registers exception handlers that answer with problem documents."""
    app.add_exception_handler(ApiError, _failure)
    app.add_exception_handler(StoreUnavailableError, _store)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(Exception, unhandled)


async def _failure(request: Request, error: Exception) -> ProblemResponse:
    failure = cast("ApiError", error)
    return ProblemResponse(problem_of(failure, request.url.path, trace_id()))


async def _store(request: Request, error: Exception) -> ProblemResponse:
    return await _failure(request, ApiError("UNAVAILABLE", str(error), reason="STORE_UNAVAILABLE"))


async def _http(request: Request, error: Exception) -> Response:
    """Errors of the framework: unknown route, method not allowed, a malformed body."""
    http_error = cast("HTTPException", error)
    headers = dict(http_error.headers or {})
    if http_error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = _allowed(request)
        if request.method == "OPTIONS":
            return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)
    details = {
        400: "the body is not valid JSON",
        404: "there is nothing at this address; GET /docs tells what there is",
        405: f"{request.method} is not possible here",
    }
    return ProblemResponse(
        problem(http_error.status_code, details.get(http_error.status_code, str(http_error.detail)), request.url.path),
        headers,
    )


def _allowed(request: Request) -> str:
    """All methods of the path: the framework lists only those of the first matching route."""
    asked = {"type": "http", "path": request.scope["path"], "root_path": "", "headers": []}

    def possible(method: str) -> bool:
        return any(route.matches({**asked, "method": method})[0] is Match.FULL for route in request.app.routes)

    found = {method for method in _METHODS if possible(method)}
    return ", ".join(sorted(found | {"OPTIONS"} | ({"HEAD"} if "GET" in found else set())))


async def _validation(request: Request, error: Exception) -> ProblemResponse:
    found = cast("RequestValidationError", error).errors()
    path = request.url.path
    if any(item["type"] == "json_invalid" for item in found):
        return ProblemResponse(problem(400, f"the body is not valid JSON: {_where(found[0])}", path))
    if tuple(found[0]["loc"]) == ("body",) and found[0]["type"] != "missing" and not _says_json(request):
        return ProblemResponse(problem(415, "send the body as JSON, with Content-Type: application/json", path))
    errors = [FieldError(_name(item), _what(item)) for item in found]
    detail = "; ".join(f"{item.field} {item.detail}" for item in errors)
    return ProblemResponse(problem(422, detail, path, errors))


async def unhandled(request: Request, error: Exception) -> ProblemResponse:
    log.error("unhandled exception in %s %s", request.method, request.url.path, exc_info=error)
    return ProblemResponse(problem(500, BUG, request.url.path))


def _where(item: dict[str, Any]) -> str:
    return f"{item['ctx']['error']} (character {item['loc'][1]})"


def _says_json(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _name(item: dict[str, Any]) -> str:
    parts = [str(part) for part in item["loc"]]
    inner = parts[1:] if parts[0] in _NOT_PLACES else parts
    return ".".join(inner) or parts[0]


def _what(item: dict[str, Any]) -> str:
    return _WORDS.get(item["type"]) or str(item["msg"]).removeprefix("Input ").lower()
