"""One GET of a URL, on a connection of its own, with redirects followed."""

from __future__ import annotations

import asyncio
import ssl
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from meshwright.http1.errors import HttpError
from meshwright.http1.origin import Origin, Url
from meshwright.http1.pool import HEADERS, Pool

if TYPE_CHECKING:
    from meshwright.http1.connection import Response

MOST_REDIRECTS = 10
_REDIRECTS = {
    HTTPStatus.MOVED_PERMANENTLY,
    HTTPStatus.FOUND,
    HTTPStatus.SEE_OTHER,
    HTTPStatus.TEMPORARY_REDIRECT,
    HTTPStatus.PERMANENT_REDIRECT,
}


async def fetch(url: str, timeout: float) -> bytes:
    """The body of the answer to a GET, which must be a success. `timeout`: seconds for all of it.

    A redirect from https to http is refused: what was to come over TLS would not. Raises `HttpError`, `TimeoutError`,
    `ValueError` for what is no http(s) URL.
    """
    tls = None
    async with asyncio.timeout(timeout):
        for _ in range(MOST_REDIRECTS + 1):
            parsed = Url.parse(url)
            if parsed.scheme == "https" and tls is None:
                tls = ssl.create_default_context()
            elif parsed.scheme == "http" and tls is not None:
                raise HttpError(f"a redirect from https to {url}")
            response = await _get(parsed, tls, timeout)
            if response.status in _REDIRECTS and "location" in response.headers:
                url = urljoin(url, response.headers["location"])
            elif HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES:
                return response.body
            else:
                raise HttpError(f"it answered {response.status}")
    raise HttpError(f"more than {MOST_REDIRECTS} redirects")


async def _get(url: Url, tls: ssl.SSLContext | None, timeout: float) -> Response:
    pool = Pool(Origin(url.host, url.port, url.host_header, tls=tls), 1, timeout)
    user = {"Authorization": url.authorization} if url.authorization else {}
    try:
        return await pool.request("GET", url.target, HEADERS | user, timeout=timeout)
    finally:
        await pool.aclose()
