"""Selects the API version of a request by path or header, and adds version headers to the response."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders

from services.gateway.http.problems import ProblemResponse, problem
from services.gateway.http.versions import VersionStatus

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from services.gateway.http.versions import ApiVersion, VersionMatrix

BY_ADDRESS = re.compile(r"/api/v([0-9]+)(/.*|)")
BY_HEADER = re.compile(r"/api/(?!versions$)(.+)")
VERSION, BETA = "api-version", "api-beta"


class VersioningMiddleware:
    """ASGI middleware.

    `/api/v2/users` is version 2; `/api/users` is the version in `API-Version`, or the current one, and is rewritten to
    its versioned path. A path and a header that contradict each other are rejected.
    """

    def __init__(self, app: ASGIApp, matrix: VersionMatrix) -> None:
        self._app = app
        self._matrix = matrix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/api/"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        named = headers.get(VERSION)
        asked = None if named is None else self._matrix.find(named)
        if named is not None and asked is None:
            await _refuse(scope, receive, send, 400, f"API-Version must be one of {self._matrix.names}")
            return
        inner = scope
        address = BY_ADDRESS.fullmatch(scope["path"])
        if address is not None:
            version = self._matrix.find(address[1])
            if version is None:
                detail = f"there is no v{address[1][:10]}; versions are {self._matrix.names}"
                await _refuse(scope, receive, send, 400, detail)
                return
            if asked not in {None, version}:
                detail = f"API-Version says {named}, and the address says {version.name}"
                await _refuse(scope, receive, send, 400, detail)
                return
        elif (rest := BY_HEADER.fullmatch(scope["path"])) is not None:
            version = asked or self._matrix.current
            path = f"{version.prefix}/{rest[1]}"
            inner = {**scope, "path": path, "raw_path": quote(path).encode()}
        else:
            version = None
        if version is None:
            await self._app(scope, receive, send)
            return
        try:
            await self._answer(version, inner, receive, send, varies=address is None)
        finally:
            if "route" in inner:  # for traces and metrics
                scope["route"] = inner["route"]

    async def _answer(self, version: ApiVersion, scope: Scope, receive: Receive, send: Send, *, varies: bool) -> None:
        version_headers = self._matrix.headers(version, quote(scope["path"]))

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                answer.update(version_headers)
                if varies:
                    answer.add_vary_header("API-Version")
            await send(message)

        if self._matrix.ended(version):
            successor = self._matrix.new_address(version, scope["path"])
            detail = f"{version.name} has ended" + (f"; go on at {successor}" if successor else "")
            await _refuse(scope, receive, with_headers, 410, detail)
        elif version.status is VersionStatus.BETA and (opted := Headers(scope=scope).get(BETA)) != version.name:
            # Without the header the version does not exist; another value is an error.
            status = 404 if opted is None else 400
            await _refuse(scope, receive, send, status, f"{version.name} is beta: send API-Beta: {version.name}")
        else:
            await self._app(scope, receive, with_headers)


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, detail: str) -> None:
    await ProblemResponse(problem(status, detail, scope["path"]))(scope, receive, send)
