"""The gateway's ASGI application."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse

from services.gateway.api.accounts import routes as accounts
from services.gateway.api.calculator import routes as calculator
from services.gateway.api.jsonrpc import routes as jsonrpc
from services.gateway.api.orders import event_stream
from services.gateway.api.orders import routes as orders
from services.gateway.api.parameters import backends_of
from services.gateway.api.users import routes as users
from services.gateway.auth.middleware import AuthenticationMiddleware, RejectInvalidToken
from services.gateway.errors import FieldError
from services.gateway.http import openapi, problems
from services.gateway.http.middleware import consistency
from services.gateway.http.middleware.body_limit import BodyLimitMiddleware
from services.gateway.http.middleware.carried_headers import CarriedHeadersMiddleware
from services.gateway.http.middleware.conditional_requests import ConditionalRequestMiddleware
from services.gateway.http.middleware.consistency import ConsistencyTokenMiddleware
from services.gateway.http.middleware.head import HeadMiddleware
from services.gateway.http.middleware.idempotency import IdempotencyMiddleware
from services.gateway.http.middleware.rate_limit import RateLimitMiddleware
from services.gateway.http.middleware.response_headers import RequestIdMiddleware, SecurityHeadersMiddleware
from services.gateway.http.middleware.startup import StartupMiddleware
from services.gateway.http.middleware.unhandled_errors import UnhandledErrorMiddleware
from services.gateway.http.middleware.versioning import BY_ADDRESS, VersioningMiddleware
from services.gateway.http.openapi import ProblemBody, WrongField
from services.gateway.http.problems import ProblemResponse
from services.gateway.http.tracing import TraceHeaderMiddleware
from services.gateway.http.versions import VersionStatus
from services.gateway.pages import routes as pages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fastapi import APIRouter
    from fastapi.routing import APIRoute

    from services.gateway.api.dependencies import GatewayDependencies
    from services.gateway.api.parameters import Backends

DESCRIPTION = "REST for the services of the mesh. Errors are problem documents (RFC 9457)."

ALLOWED_HEADERS = (
    "Authorization",
    "Content-Type",
    "If-Match",
    "If-None-Match",
    "Idempotency-Key",
    "API-Version",
    "API-Beta",
    "X-Request-Id",
    "X-Request-Timeout",
    "Last-Event-ID",
    consistency.HEADER,
)
EXPOSED_HEADERS = (
    "ETag",
    "Location",
    "Link",
    "Deprecation",
    "Sunset",
    "API-Version",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "X-Request-Id",
    "X-Trace-Id",
    "Idempotency-Replayed",
    consistency.HEADER,
)

QUIET = ("/healthz", "/readyz")
"""Paths of probes, without traces and metrics."""
UNTRACED = (*pages.PATHS, "/favicon.ico", "/apple-touch-icon*", "/robots.txt", "/.well-known/*")
"""Paths with metrics and without traces: static files and automatic requests of browsers, thirty per page load."""


def make_app(
    backends: Backends,
    dependencies: GatewayDependencies,
    *,
    version: str,
    clock: Callable[[], float] = time.time,
    routers: Iterable[APIRouter] = (),
    carried: Sequence[str] = (),
    is_started: Callable[[], bool] = lambda: True,
) -> FastAPI:
    """Creates the application. `clock`: seconds since 1970. `routers`: further ones, such as those of the real-time
    API. `carried`: headers to propagate to all calls of a request. `is_started`: whether the database was reached
    once."""
    more = tuple(routers)
    app = FastAPI(
        title="Meshwright's gateway",
        version=version,
        description=f"{DESCRIPTION} {_versions(dependencies)}",
        # A redirect of a trailing slash would use the Host header.
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=_name,
        # AsgiMiddleware traces and counts requests.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.backends = backends
    app.state.dependencies = dependencies
    for item in dependencies.matrix.versions:
        app.include_router(users.users_router(item))
        if item.status is not VersionStatus.BETA:
            app.include_router(calculator.router, prefix=item.prefix)
    for router in (orders.router, event_stream.router, jsonrpc.router, accounts.auth, accounts.known, *more):
        app.include_router(router)
    _add_middleware(app, dependencies, clock, carried, is_started)
    problems.install(app)
    _add_health(app)
    _add_matrix(app, dependencies)
    pages.install(
        app,
        pages.PageSettings(
            traces_url=dependencies.traces_url,
            logins=sorted(dependencies.issuer.social) if dependencies.issuer else [],
            realtime=any(getattr(route, "path", "") == pages.SOCKET for router in more for route in router.routes),
        ),
    )
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _add_middleware(
    app: FastAPI,
    dependencies: GatewayDependencies,
    clock: Callable[[], float],
    carried: Sequence[str],
    is_started: Callable[[], bool],
) -> None:
    """Adds middleware from the inside out: the last one added is the first to see a request."""
    limits = dependencies.limits
    app.add_middleware(ConditionalRequestMiddleware)
    app.add_middleware(HeadMiddleware)
    app.add_middleware(ConsistencyTokenMiddleware)
    app.add_middleware(IdempotencyMiddleware, store=dependencies.idempotency, proxies=limits.proxies, clock=clock)
    app.add_middleware(VersioningMiddleware, matrix=dependencies.matrix)
    app.add_middleware(BodyLimitMiddleware, most=limits.body, seconds=limits.body_seconds)
    app.add_middleware(CarriedHeadersMiddleware, names=carried)
    app.add_middleware(RejectInvalidToken)
    if dependencies.rate_limiter is not None:
        app.add_middleware(
            RateLimitMiddleware, rate_limiter=dependencies.rate_limiter, proxies=limits.proxies, quiet=QUIET
        )
    app.add_middleware(AuthenticationMiddleware, callers=dependencies.callers)
    app.add_middleware(StartupMiddleware, is_started=is_started, exempt=(*QUIET, *pages.PATHS))
    app.add_middleware(UnhandledErrorMiddleware)
    if limits.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(limits.origins),
            allow_methods=["GET", "HEAD", "POST", "PATCH", "DELETE"],
            allow_headers=[*ALLOWED_HEADERS, *carried],
            expose_headers=list(EXPOSED_HEADERS),
            max_age=600,
        )
    app.add_middleware(SecurityHeadersMiddleware, https=limits.https)
    app.add_middleware(RequestIdMiddleware)
    app.add_middleware(TraceHeaderMiddleware)


def _versions(dependencies: GatewayDependencies) -> str:
    matrix = dependencies.matrix
    listed = "; ".join(f"{item.name}: {item.status.value}, {item.features}" for item in matrix.versions)
    return (
        f"Versions: {listed}. `/api/users` is what the header `API-Version` says ({matrix.names}), or "
        f"{matrix.current.name}; `/api/versions` tells how long each of them stays."
    )


def _name(route: APIRoute) -> str:
    """Operation ids: version 1 has plain names, later versions a suffix."""
    address = BY_ADDRESS.fullmatch(route.path)
    return route.name if address is None or address[1] == "1" else f"{route.name}_v{address[1]}"


def _add_health(app: FastAPI) -> None:
    @app.get("/healthz", tags=["operation"])
    async def alive() -> dict[str, str]:
        """Liveness of the process, without its dependencies."""
        return {"status": "alive"}

    @app.get("/readyz", tags=["operation"], response_model=None, responses=openapi.problems(503))
    async def ready(request: Request) -> Response:
        """Readiness: checks the required services over the mesh."""
        missing = await backends_of(request).readiness.missing()
        if not missing:
            return JSONResponse({"status": "ready"})
        detail = "; ".join(f"{name} {what}" for name, what in missing.items())
        errors = [FieldError(name, what) for name, what in missing.items()]
        return ProblemResponse(problems.problem(503, detail, request.url.path, errors))


def _add_matrix(app: FastAPI, dependencies: GatewayDependencies) -> None:
    @app.get("/api/versions", tags=["operation"], responses=openapi.problems())
    async def versions() -> dict[str, Any]:
        """The versions of the API, their features and sunset dates."""
        return dependencies.matrix.document()


def _openapi(app: FastAPI) -> dict[str, Any]:
    """FastAPI's OpenAPI document, with the problem schema."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for model, name in ((ProblemBody, "Problem"), (WrongField, "WrongField")):
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schema.pop("$defs", None)
            schemas[name] = schema
        app.openapi_schema = document
    return app.openapi_schema
