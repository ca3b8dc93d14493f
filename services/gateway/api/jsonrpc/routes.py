"""POST /rpc: JSON-RPC methods with the behaviour and authorization of version 1 of the REST API."""

from __future__ import annotations

import json
import logging
import math
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.encoders import jsonable_encoder
from pydantic import Field

from services.common.runtime.errors import StoreUnavailableError
from services.gateway.api.calculator.request_models import Operands
from services.gateway.api.jsonrpc.protocol import SERVER_ERRORS, Dispatcher, Method, RpcError
from services.gateway.api.parameters import MAX_PAGE, Calculator, Dependencies, Users, Within
from services.gateway.api.request_models import RequestModel, Text
from services.gateway.api.users.request_models import NewUser
from services.gateway.errors import ApiError
from services.gateway.http.middleware.rate_limit import client_of
from services.gateway.http.openapi import problems
from services.gateway.http.problems import ProblemResponse, problem
from services.gateway.users import Changes, page_of
from services.gateway.users import update as update_user

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from services.gateway.api.dependencies import GatewayDependencies
    from services.gateway.auth.tenancy import TenantUsers
    from services.gateway.calculator import Calculator as CalculatorPort

log = logging.getLogger(__name__)


class UserIdParams(RequestModel):
    """One user."""

    id: Text


class ListParams(RequestModel):
    """A page."""

    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 50
    after: Text = ""


class UpdateParams(RequestModel):
    """Changes of a user."""

    id: Text
    name: Text = ""
    email: Text = ""
    phone: Text = ""
    active: bool = True


def methods(
    dependencies: GatewayDependencies, users: TenantUsers, calculator: CalculatorPort, within: float
) -> Mapping[str, Method]:
    """The methods for one request, with its visible users and timeout."""

    async def create(params: NewUser) -> Any:
        return await users.create(params.name, params.email, params.phone, within)

    async def update(params: UpdateParams) -> Any:
        await dependencies.check_owner(users, params.id, 1)
        given = params.model_dump(include=params.model_fields_set - {"id"})
        return await update_user(users, params.id, Changes(**given), None, within)

    async def delete(params: UserIdParams) -> Any:
        await dependencies.check_owner(users, params.id, 1)
        await users.delete(params.id, within)

    async def add(params: Operands) -> Any:
        return await calculator.add(params.a, params.b, within)

    async def multiply(params: Operands) -> Any:
        return await calculator.multiply(params.a, params.b, within)

    def by_id(call: Callable[[str, float], Awaitable[Any]]) -> Method:
        return _method(UserIdParams, lambda params: call(params.id, within))

    return {
        "createUser": _method(NewUser, create),
        "getUser": by_id(users.get),
        "listUsers": _method(ListParams, lambda params: page_of(users, params.limit, params.after, within)),
        "updateUser": _method(UpdateParams, update),
        "deleteUser": _method(UserIdParams, delete),
        "validateUser": by_id(users.validate),
        "getUserSummary": by_id(users.summary),
        "add": _method(Operands, add),
        "multiply": _method(Operands, multiply),
    }


def _method(params: type[RequestModel], call: Callable[[Any], Awaitable[Any]]) -> Method:
    async def encoded(given: Any) -> Any:
        try:
            return jsonable_encoder(await call(given))
        except StoreUnavailableError as error:
            raise ApiError("UNAVAILABLE", str(error), reason="STORE_UNAVAILABLE") from error

    return Method(params, encoded)


def _bug(name: str, error: Exception) -> None:
    log.error("unhandled exception in the method %s", name, exc_info=error)


router = APIRouter(tags=["JSON-RPC"])

_EXAMPLE = {"jsonrpc": "2.0", "method": "add", "params": {"a": 1, "b": 2}, "id": 1}
_REQUEST = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": ["object", "array"], "examples": [_EXAMPLE]}}},
    }
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "An answer for each request that has an id"},
    204: {"description": "Nothing but notifications"},
}


@router.post("/rpc", response_model=None, openapi_extra=_REQUEST, responses=_ANSWERS | problems(415))
async def json_rpc(
    *,
    request: Request,
    users: Users,
    calculator: Calculator,
    dependencies: Dependencies,
    within: Within,
    content_type: Annotated[str, Header(include_in_schema=False)] = "",
) -> Response:
    """JSON-RPC 2.0: createUser, getUser, listUsers, updateUser, deleteUser, validateUser, getUserSummary, add,
    multiply.

    By name or by position, single or in batches; each request of a batch counts for the rate limit. Errors are
    JSON-RPC's own, with the HTTP status 200.
    """
    if content_type.partition(";")[0].strip().lower() != "application/json":
        detail = "send the body as JSON, with Content-Type: application/json"
        return ProblemResponse(problem(415, detail, request.url.path))
    dependencies.callers.check("POST", 1)

    def admit(more: int) -> None:
        result = (
            dependencies.rate_limiter.check(client_of(request.scope, dependencies.limits.proxies), more)
            if dependencies.rate_limiter and more
            else None
        )
        if result is not None and not result.allowed:
            data = {"code": "RESOURCE_EXHAUSTED", "retry_after": math.ceil(result.retry_after), "status": 429}
            raise RpcError(SERVER_ERRORS["RESOURCE_EXHAUSTED"], "Too many requests", data)

    dispatcher = Dispatcher(methods(dependencies, users, calculator, within), dependencies.limits.batch, _bug, admit)
    answer = await dispatcher.answer(await request.body())
    if answer is None:
        return Response(status_code=204)
    return Response(json.dumps(answer, separators=(",", ":")), media_type="application/json")
