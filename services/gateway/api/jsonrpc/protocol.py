"""JSON-RPC 2.0 (https://www.jsonrpc.org/specification): what a request is, and which answer it gets.

Nothing here knows HTTP or the methods' work. A batch's requests are answered side by side, in the order in which they
came; a notification is carried out and gets no answer, whatever comes of it.
"""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from pydantic import BaseModel, ValidationError

from services.gateway.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL_ERROR = -32700, -32600, -32601, -32602, -32603
SERVER_ERROR = -32000
"""The first of the codes that are ours to give: the others follow, by gRPC's status."""
SERVER_ERRORS: Mapping[str, int] = {
    "NOT_FOUND": -32001,
    "ALREADY_EXISTS": -32002,
    "ABORTED": -32003,
    "FAILED_PRECONDITION": -32004,
    "UNAUTHENTICATED": -32005,
    "PERMISSION_DENIED": -32006,
    "RESOURCE_EXHAUSTED": -32007,
    "DEADLINE_EXCEEDED": -32008,
    "UNAVAILABLE": -32009,
}
_MEMBERS = {"jsonrpc", "method", "params", "id"}
AT_ONCE = 8
"""Requests of one batch that are answered at the same time."""


@dataclass(frozen=True, slots=True)
class Method:
    """`params`: a model whose fields, in their order, are also what params by position mean."""

    params: type[BaseModel]
    call: Callable[[Any], Awaitable[Any]]


class RpcError(Exception):
    """An error object. `data` says more, for programs."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data

    def document(self) -> dict[str, Any]:
        base: dict[str, Any] = {"code": self.code, "message": self.message}
        return base if self.data is None else base | {"data": self.data}


class Dispatcher:
    """Answers requests with `methods`. `most`: maximum requests of a batch. `bug` is called with unhandled exceptions.

    `admit` is asked whether so many requests more than the first may pass, and may raise RpcError.
    """

    def __init__(
        self,
        methods: Mapping[str, Method],
        most: int,
        bug: Callable[[str, Exception], None],
        admit: Callable[[int], None] = lambda _more: None,
    ) -> None:
        self._methods = methods
        self._most = most
        self._bug = bug
        self._admit = admit

    async def answer(self, body: bytes) -> Any:
        """The answer to the body of a request: an object, a list of them, or None where there is none to give."""
        try:
            document = json.loads(body, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            return _failed(None, RpcError(PARSE_ERROR, "Parse error"))
        if not isinstance(document, list):
            return await self._one(document)
        if not document:
            return _failed(None, RpcError(INVALID_REQUEST, "Invalid Request", "the batch is empty"))
        if len(document) > self._most:
            what = f"a batch may hold {self._most} requests at most"
            return _failed(None, RpcError(INVALID_REQUEST, "Invalid Request", what))
        try:
            self._admit(len(document) - 1)
        except RpcError as error:
            return _failed(None, error)
        turns = asyncio.Semaphore(AT_ONCE)

        async def in_turn(item: Any) -> Any:
            async with turns:
                return await self._one(item)

        answers = await asyncio.gather(*map(in_turn, document))
        return [item for item in answers if item is not None] or None

    async def _one(self, request: Any) -> dict[str, Any] | None:
        wrong = _wrong(request)
        if wrong:
            return _failed(_id_of(request), RpcError(INVALID_REQUEST, "Invalid Request", wrong))
        silent = "id" not in request
        try:
            result = await self._call(request["method"], request.get("params"))
        except RpcError as error:
            return None if silent else _failed(request["id"], error)
        return None if silent else {"jsonrpc": "2.0", "result": result, "id": request["id"]}

    async def _call(self, name: str, params: Any) -> Any:
        method = self._methods.get(name)
        if method is None:
            raise RpcError(METHOD_NOT_FOUND, "Method not found", name if len(name) < 100 else None)  # noqa: PLR2004
        read = _params(method.params, params)
        try:
            return await method.call(read)
        except ApiError as failure:
            raise _error_of(failure) from failure
        except RpcError:
            raise
        except Exception as error:
            self._bug(name, error)
            raise RpcError(INTERNAL_ERROR, "Internal error") from error


def _params(model: type[BaseModel], params: Any) -> BaseModel:
    fields = list(model.model_fields)
    if isinstance(params, list):
        if len(params) > len(fields):
            raise RpcError(INVALID_PARAMS, "Invalid params", f"{len(fields)} at most: {', '.join(fields)}")
        params = dict(zip(fields, params, strict=False))
    try:
        return model.model_validate({} if params is None else params)
    except ValidationError as error:
        wrong = [{"field": ".".join(map(str, item["loc"])), "detail": item["msg"]} for item in error.errors()]
        raise RpcError(INVALID_PARAMS, "Invalid params", {"errors": wrong}) from None


def _wrong(request: Any) -> str:
    """What makes it no request; empty if it is one."""
    if not isinstance(request, dict):
        return "a request is an object"
    if request.get("jsonrpc") != "2.0":
        return 'jsonrpc must be "2.0"'
    if not isinstance(request.get("method"), str):
        return "method must be a string"
    if "params" in request and not isinstance(request["params"], list | dict):
        return "params must be an array or an object"
    if "id" in request and not _is_id(request["id"]):
        return "id must be a string, a number or null"
    unknown = sorted(set(request) - _MEMBERS)
    return f"unknown members: {', '.join(unknown)[:100]}" if unknown else ""


def _id_of(request: Any) -> Any:
    """The id, where one could be read."""
    found = request.get("id") if isinstance(request, dict) else None
    return found if _is_id(found) else None


def _is_id(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)  # 1e999 is parsed as infinity, which JSON cannot encode
    return value is None or (isinstance(value, str | int) and not isinstance(value, bool))


def _error_of(failure: ApiError) -> RpcError:
    """Converts an error to a JSON-RPC error."""
    if failure.code == "INVALID_ARGUMENT":
        errors = [{"field": name, "detail": what} for name, what in failure.fields.items()]
        data: Any = {"detail": failure.detail, "reason": failure.reason, "errors": errors}
        return RpcError(INVALID_PARAMS, "Invalid params", data)
    if failure.status == 500:  # noqa: PLR2004
        return RpcError(INTERNAL_ERROR, "Internal error")
    data = {"code": failure.code, "reason": failure.reason, "status": failure.status}
    return RpcError(SERVER_ERRORS.get(failure.code, SERVER_ERROR), failure.detail, data)


def _failed(request_id: Any, error: RpcError) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "error": error.document(), "id": request_id}


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
