"""The gateway on the wire: one ASGI application."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import FileResponse, JSONResponse

from services.gateway import problems, routes
from services.gateway.bodies import ProblemBody, WrongField
from services.gateway.domain import FieldProblem
from services.gateway.limits import BodyLimit
from services.gateway.problems import ProblemResponse
from services.gateway.tracing import TraceHeader

if TYPE_CHECKING:
    from fastapi.routing import APIRoute

PAGES = Path(__file__).parent / "pages"
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'"
DESCRIPTION = "REST for the services of the mesh. Errors are problem documents (RFC 9457)."


QUIET = ("/healthz", "/readyz")
"""Paths that are asked each second, and worth neither a trace nor a count."""


def make_app(backends: routes.Backends, *, version: str, max_body: int) -> FastAPI:
    """The application; `max_body` is in bytes."""
    app = FastAPI(
        title="Meshwright's gateway",
        version=version,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=_name,
        # The mesh traces and counts requests, in AsgiMiddleware: once is enough.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.backends = backends
    app.include_router(routes.users)
    app.include_router(routes.calculator)
    app.add_middleware(BodyLimit, most=max_body)
    app.add_middleware(TraceHeader)
    problems.install(app)
    _add_health(app)
    _add_docs(app)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _name(route: APIRoute) -> str:
    return route.name


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


def _add_docs(app: FastAPI) -> None:
    headers = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"}

    @app.get("/docs", include_in_schema=False)
    async def docs() -> FileResponse:
        return FileResponse(PAGES / "docs.html", headers=headers)

    @app.get("/docs/{asset}", include_in_schema=False)
    async def docs_asset(asset: str, request: Request) -> Response:
        if asset not in {"docs.css", "docs.js"}:
            return ProblemResponse(problems.problem(404, f"there is no {asset} here", request.url.path))
        return FileResponse(PAGES / asset, headers=headers)


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
