"""The pages of the gateway: the shop at `/`, which uses the API as anybody's page would, and the API's own at `/docs`.

Both are files as they lie in `pages/`: no build step, no library, nothing from elsewhere. The policy holds them to it:
scripts, styles and connections are this origin's alone, and nothing is inline. What a browser may ask for is what is
listed when the gateway starts, so that no path leads out of the folder. Browsers ask for them anew each time, since a
page and its scripts must be of one release.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import Request, Response  # noqa: TC002 - FastAPI looks at the annotations
from fastapi.responses import FileResponse, JSONResponse

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
HEADERS = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
SOCKET = "/ws"
"""Where a gateway with a real-time edge has it."""
PATHS = ("/", "/shop/*", "/docs", "/docs/*", "/openapi.json")
"""What is served here, and the document that the API's page reads; `*` stands for any rest."""
_SERVED = {".css", ".js", ".svg"}


@dataclass(frozen=True, slots=True)
class Settings:
    """What the page has to know of the gateway that it came from."""

    traces_url: str = ""
    """Where people look at traces; empty: nowhere."""
    logins: Sequence[str] = ()
    """Names of the issuers that people may sign in at."""
    realtime: bool = False
    """Whether there are chat, notifications and live streams; the page goes without where there are none."""


def install(app: FastAPI, settings: Settings) -> None:
    """Serve the pages, once all else is served."""
    told = asdict(settings) | {"traces_url": settings.traces_url.rstrip("/")}

    @app.get("/shop/settings.json", include_in_schema=False)
    async def told_settings() -> JSONResponse:
        return JSONResponse(told, headers=HEADERS)

    _add(app, "/docs", PAGES / "docs")
    _add(app, "/", PAGES / "shop", "/shop")


def _add(app: FastAPI, path: str, folder: Path, assets: str | None = None) -> None:
    files = {item.name: item for item in folder.iterdir() if item.suffix in _SERVED}

    async def page() -> FileResponse:
        return FileResponse(folder / "index.html", headers=HEADERS)

    async def asset(asset: str, request: Request) -> Response:
        found = files.get(asset)
        if found is None:
            return ProblemResponse(problems.problem(404, f"there is no {asset} here", request.url.path))
        return FileResponse(found, headers=HEADERS)

    app.add_api_route(path, page, include_in_schema=False)
    app.add_api_route(f"{assets or path}/{{asset}}", asset, include_in_schema=False, name=f"asset of {path}")
