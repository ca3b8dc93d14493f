"""The gateway on the wire: one ASGI application."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse

from services.gateway import positions, problems, routes, rpcapi, shopapi, site, userapi, watching
from services.gateway.armour.carried import CarriedHeaders
from services.gateway.armour.etags import Revalidation
from services.gateway.armour.headers import RequestId, SecurityHeaders
from services.gateway.armour.heads import Heads
from services.gateway.armour.idempotency import Idempotency
from services.gateway.armour.rates import RateLimit
from services.gateway.armour.startup import StartupGate
from services.gateway.auth import routes as auth
from services.gateway.bodies import ProblemBody, WrongField
from services.gateway.callers import Identifying, Refusing
from services.gateway.domain import FieldProblem
from services.gateway.limits import BodyLimit
from services.gateway.positions import Positions
from services.gateway.problems import ProblemResponse
from services.gateway.tracing import TraceHeader
from services.gateway.versioning import BY_ADDRESS, Versioning
from services.gateway.versions import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fastapi import APIRouter
    from fastapi.routing import APIRoute

    from services.gateway.edge import Edge

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
    positions.HEADER,
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
    positions.HEADER,
)

QUIET = ("/healthz", "/readyz")
"""Paths that are asked each second, and worth neither a trace nor a count."""
UNTRACED = (*site.PATHS, "/favicon.ico", "/apple-touch-icon*", "/robots.txt", "/.well-known/*")
"""Paths that are counted and not traced: files, and what clients read again and again by themselves. A page load asks
for thirty of them."""


def make_app(
    backends: routes.Backends,
    edge: Edge,
    *,
    version: str,
    clock: Callable[[], float] = time.time,
    routers: Iterable[APIRouter] = (),
    carried: Sequence[str] = (),
    is_started: Callable[[], bool] = lambda: True,
) -> FastAPI:
    """The application. `clock`: seconds since 1970. `routers`: more of them, such as those of the real-time edge.
    `carried`: headers that go on with all calls of a request. `is_started`: whether the database was reached since the
    start."""
    more = tuple(routers)
    app = FastAPI(
        title="Meshwright's gateway",
        version=version,
        description=f"{DESCRIPTION} {_versions(edge)}",
        # An address with a slash too many would be redirected to whatever Host says.
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=_name,
        # The mesh traces and counts requests, in AsgiMiddleware: once is enough.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.backends = backends
    app.state.edge = edge
    for item in edge.matrix.versions:
        app.include_router(userapi.users_router(item))
        if item.status is not Status.BETA:
            app.include_router(routes.calculator, prefix=item.prefix)
    for router in (shopapi.router, watching.router, rpcapi.router, auth.auth, auth.known, *more):
        app.include_router(router)
    _add_armour(app, edge, clock, carried, is_started)
    problems.install(app)
    _add_health(app)
    _add_matrix(app, edge)
    site.install(
        app,
        site.Settings(
            traces_url=edge.traces_url,
            logins=sorted(edge.issuer.social) if edge.issuer else [],
            realtime=any(getattr(route, "path", "") == site.SOCKET for router in more for route in router.routes),
        ),
    )
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _add_armour(
    app: FastAPI, edge: Edge, clock: Callable[[], float], carried: Sequence[str], is_started: Callable[[], bool]
) -> None:
    """From the inside out: the last one added is the first to see a request."""
    limits = edge.limits
    app.add_middleware(Revalidation)
    app.add_middleware(Heads)
    app.add_middleware(Positions)
    app.add_middleware(Idempotency, store=edge.idempotency, proxies=limits.proxies, clock=clock)
    app.add_middleware(Versioning, matrix=edge.matrix)
    app.add_middleware(BodyLimit, most=limits.body, seconds=limits.body_seconds)
    app.add_middleware(CarriedHeaders, names=carried)
    app.add_middleware(Refusing)
    if edge.rates is not None:
        app.add_middleware(RateLimit, rates=edge.rates, proxies=limits.proxies, quiet=QUIET)
    app.add_middleware(Identifying, callers=edge.callers)
    app.add_middleware(StartupGate, is_started=is_started, exempt=(*QUIET, *site.PATHS))
    app.add_middleware(problems.Bugs)
    if limits.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(limits.origins),
            allow_methods=["GET", "HEAD", "POST", "PATCH", "DELETE"],
            allow_headers=[*ALLOWED_HEADERS, *carried],
            expose_headers=list(EXPOSED_HEADERS),
            max_age=600,
        )
    app.add_middleware(SecurityHeaders, https=limits.https)
    app.add_middleware(RequestId)
    app.add_middleware(TraceHeader)


def _versions(edge: Edge) -> str:
    matrix = edge.matrix
    listed = "; ".join(f"{item.name}: {item.status.value}, {item.features}" for item in matrix.versions)
    return (
        f"Versions: {listed}. `/api/users` is what the header `API-Version` says ({matrix.names}), or "
        f"{matrix.current.name}; `/api/versions` tells how long each of them stays."
    )


def _name(route: APIRoute) -> str:
    """Version 1 has the plain names; later ones say which they are of."""
    address = BY_ADDRESS.fullmatch(route.path)
    return route.name if address is None or address[1] == "1" else f"{route.name}_v{address[1]}"


def _add_health(app: FastAPI) -> None:
    @app.get("/healthz", tags=["operation"])
    async def alive() -> dict[str, str]:
        """Whether the process lives: nothing else is asked, so that a restart is tried only where it may help."""
        return {"status": "alive"}

    @app.get("/readyz", tags=["operation"], response_model=None, responses=routes.problems(503))
    async def ready(request: Request) -> Response:
        """Whether requests would be answered now: each service behind the gateway is asked over the mesh."""
        missing = await routes.backends(request).readiness.missing()
        if not missing:
            return JSONResponse({"status": "ready"})
        detail = "; ".join(f"{name} {what}" for name, what in missing.items())
        errors = [FieldProblem(name, what) for name, what in missing.items()]
        return ProblemResponse(problems.problem(503, detail, request.url.path, errors))


def _add_matrix(app: FastAPI, edge: Edge) -> None:
    @app.get("/api/versions", tags=["operation"], responses=routes.problems())
    async def versions() -> dict[str, Any]:
        """Which versions of the API there are, what each has, and until when it is there."""
        return edge.matrix.document()


def _openapi(app: FastAPI) -> dict[str, Any]:
    """FastAPI's document, with the problem that its routes refer to."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for model, name in ((ProblemBody, "Problem"), (WrongField, "WrongField")):
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schema.pop("$defs", None)
            schemas[name] = schema
        app.openapi_schema = document
    return app.openapi_schema
