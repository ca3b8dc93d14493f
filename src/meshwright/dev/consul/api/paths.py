"""Paths as Consul reads them: decoded first, then judged, then cleaned.

A path with a broken escape is no request. One with a character that cannot be printed is refused, as is decoding
what comes after the question mark. A path that is not clean (empty segments, dots) is redirected to the one that is,
and a family of endpoints without its slash to the one with it; percent-encoding changes nothing about either. So an id
is never a path of its own: `a/../b` means `b`.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_to_bytes

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from aiohttp.typedefs import Middleware

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_BROKEN_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
_UNESCAPED = "$&+,/:;=@-_.~"
"""What Go leaves as it is in a path, beside letters and digits."""
MISSING = (
    "/v1/acl/",
    "/v1/agent/connect/",
    "/v1/agent/force-leave/",
    "/v1/agent/host",
    "/v1/agent/join/",
    "/v1/agent/leave",
    "/v1/agent/metrics",
    "/v1/agent/monitor",
    "/v1/agent/reload",
    "/v1/agent/token/",
    "/v1/catalog/connect/",
    "/v1/catalog/gateway-services/",
    "/v1/connect/",
    "/v1/coordinate/",
    "/v1/event/",
    "/v1/health/connect/",
    "/v1/health/ingress/",
    "/v1/internal/",
    "/v1/operator/",
    "/v1/query",
    "/v1/snapshot",
)
"""Where endpoints of Consul's begin that the dev Consul does not have."""


def judging(exact: Collection[str], families: Collection[str]) -> Middleware:
    """A middleware that answers odd paths as Consul does. `families`: endpoints with anything after their slash."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        raw, _, query = request.raw_path.partition("?")
        if _BROKEN_ESCAPE.search(raw):
            return web.Response(status=400, text="400 Bad Request", headers={"Connection": "close"})
        path = unquote_to_bytes(raw).decode(errors="replace")
        if not path.isprintable():
            return web.Response(status=400)
        clean = cleaned(path)
        if f"{clean}/" in families and clean not in exact:
            clean = f"{clean}/"
        if clean != path:
            return _redirect(request, clean, query)
        if _BROKEN_ESCAPE.search(query) and (path in exact or any(map(path.startswith, families))):
            return web.Response(status=500)
        return await handler(request)

    return middleware


def cleaned(path: str) -> str:
    """The path without empty segments and dots; a slash at its end stays."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    end = "/" if path.endswith("/") and kept else ""
    return f"/{'/'.join(kept)}{end}"


def missing(path: str) -> str:
    """What to say of a path that is not served: nothing, if Consul has no such endpoint either."""
    return f"the dev Consul has no {path}" if path.startswith(MISSING) else ""


def _redirect(request: web.Request, path: str, query: str) -> web.Response:
    location = quote(path, safe=_UNESCAPED) + (f"?{query}" if query else "")
    headers = {"Location": location}
    if request.method != "GET":
        return web.Response(status=301, headers=headers)
    text = f'<a href="{html.escape(location)}">Moved Permanently</a>.\n\n'
    return web.Response(status=301, headers=headers, text=text, content_type="text/html")
