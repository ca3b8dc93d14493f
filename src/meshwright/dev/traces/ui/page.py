"""The page: files that come with the package, sent as they are. No build step, nothing from elsewhere.

Span names and tags are untrusted, so the page is defended twice: its script writes them as text only,
and the content security policy forbids every script, style and connection that is not this server's own.
The paths are those of Jaeger's page, so links to a trace are the same for both.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from aiohttp import web

from meshwright.pages import CONTENT_TYPES, assets

_FOLDER = Path(__file__).parent / "assets"
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
PAGES = ("/", "/search", "/trace/{id}", "/dependencies")


class Page:
    """The page's files, read once."""

    def __init__(self) -> None:
        self._document = _File(_FOLDER / "index.html")
        self._assets = {name: _File(file) for name, file in assets(_FOLDER).items()}

    def routes(self) -> list[web.RouteDef]:
        """The page's own paths, which all get the same document, and those of its files."""
        return [
            *(web.get(path, self.document) for path in PAGES),
            web.get("/assets/{name:.+}", self.asset),
            web.get("/favicon.ico", self.icon),
        ]

    async def document(self, request: web.Request) -> web.Response:
        """The document that every page starts from."""
        return self._document.answer(request)

    async def asset(self, request: web.Request) -> web.Response:
        """One of the page's files."""
        file = self._assets.get(request.match_info["name"])
        if file is None:
            raise web.HTTPNotFound
        return file.answer(request)

    async def icon(self, request: web.Request) -> web.Response:
        """The icon, at the path that browsers try by themselves."""
        return self._assets["icon.svg"].answer(request)


class _File:
    def __init__(self, file: Path) -> None:
        self._body = file.read_bytes()
        self._type = CONTENT_TYPES[file.suffix]
        self._tag = hashlib.sha256(self._body).hexdigest()[:16]

    def answer(self, request: web.Request) -> web.Response:
        """The file, or 304 if the client has it already."""
        response = web.Response(headers=_HEADERS)
        response.etag = self._tag
        if any(tag.value == self._tag for tag in request.if_none_match or ()):
            response.set_status(304)
            return response
        response.body = self._body
        response.content_type = self._type
        if self._type.startswith("text/"):
            response.charset = "utf-8"
        return response
