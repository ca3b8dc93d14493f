"""The pages of the gateway: the shop at `/`, an ordinary client of the API, and the API's documentation at `/docs`.

Both are static files of this package and the shared script of `meshwright.pages`: no build step, no library, no other
origin. The content security policy enforces it: scripts, styles and connections only from this origin, nothing inline.
Browsers revalidate the files each time, since a page and its scripts must match.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import Request, Response  # noqa: TC002 - FastAPI looks at the annotations
from fastapi.responses import FileResponse, JSONResponse

from meshwright.pages import assets as page_assets
from services.gateway.http import problems
from services.gateway.http.problems import ProblemResponse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastapi import FastAPI

PAGES = Path(__file__).parent
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
PERMISSIONS = "camera=(self), microphone=(self), display-capture=(self), picture-in-picture=(self), geolocation=()"
"""What the page may ask its user for: a call's camera, microphone and screen."""
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Permissions-Policy": PERMISSIONS,
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
SOCKET = "/ws"
"""Path of the WebSocket, if the gateway has the real-time API."""
PATHS = ("/", "/shop/*", "/docs", "/docs/*", "/openapi.json")
"""The paths served here, and the OpenAPI document; `*` matches any rest."""


@dataclass(frozen=True, slots=True)
class PageSettings:
    """Settings of the gateway that the page reads."""

    traces_url: str = ""
    """URL of the trace UI; empty: none."""
    logins: Sequence[str] = ()
    """Names of the issuers for social login."""
    realtime: bool = False
    """Whether the gateway has chat, notifications and live streams."""


def install(app: FastAPI, settings: PageSettings) -> None:
    """Adds the routes of the pages; call it after adding all other routes."""
    document = asdict(settings) | {"traces_url": settings.traces_url.rstrip("/")}

    @app.get("/shop/settings.json", include_in_schema=False)
    async def page_settings() -> JSONResponse:
        return JSONResponse(document, headers=HEADERS)

    _add(app, "/docs", PAGES / "docs")
    _add(app, "/", PAGES / "shop", "/shop")


def _add(app: FastAPI, path: str, folder: Path, assets: str | None = None) -> None:
    files = page_assets(folder)

    async def page() -> FileResponse:
        return FileResponse(folder / "index.html", headers=HEADERS)

    async def asset(asset: str, request: Request) -> Response:
        found = files.get(asset)
        if found is None:
            return ProblemResponse(problems.problem(404, f"there is no {asset} here", request.url.path))
        return FileResponse(found, headers=HEADERS)

    app.add_api_route(path, page, include_in_schema=False)
    app.add_api_route(f"{assets or path}/{{asset:path}}", asset, include_in_schema=False, name=f"asset of {path}")
