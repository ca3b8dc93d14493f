"""Fetching a document from a URL: redirects, statuses, one deadline for all of it."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from integration.http1.raw_http import FINE, RawConnection, raw_server
from meshwright.http1 import HttpError, fetch
from meshwright.http1.fetching import MOST_REDIRECTS
from support.consul.credentials import certificate, needs_openssl
from support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

REDIRECT = "HTTP/1.1 {status} Elsewhere\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"


def moved(to: str, status: int = 302) -> bytes:
    return REDIRECT.format(status=status, to=to).encode()


class Site:
    """Answers by target, and keeps the heads of the requests."""

    def __init__(self, **answers: bytes) -> None:
        self.answers = {f"/{target}": answer for target, answer in answers.items()}
        self.heads: list[bytes] = []

    async def serve(self, connection: RawConnection) -> None:
        while True:
            head = await connection.head()
            self.heads.append(head)
            await connection.send(self.answers[head.split()[1].decode()])


async def test_a_document_is_fetched_with_the_user_of_the_url() -> None:
    site = Site(keys=FINE)
    async with raw_server(site.serve) as server:
        assert await fetch(f"http://ada:secret@127.0.0.1:{server.port}/keys", 5.0) == b"fine"
        await eventually(lambda: server.open == 0)
    assert b"\r\nAuthorization: Basic YWRhOnNlY3JldA==\r\n" in site.heads[0]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed(status: int) -> None:
    site = Site(old=moved("new", status), keys=FINE)
    async with raw_server(site.serve) as server:
        site.answers["/new"] = moved(f"http://127.0.0.1:{server.port}/keys", status)
        assert await fetch(f"http://127.0.0.1:{server.port}/old", 5.0) == b"fine"


async def test_a_circle_of_redirects_ends() -> None:
    site = Site(a=moved("/b"), b=moved("/a"))
    async with raw_server(site.serve) as server:
        with pytest.raises(HttpError, match="more than 10 redirects"):
            await fetch(f"http://127.0.0.1:{server.port}/a", 5.0)
    assert len(site.heads) == MOST_REDIRECTS + 1


@pytest.mark.parametrize("answer", [b"HTTP/1.1 404 Not Found", b"HTTP/1.1 503 Busy", b"HTTP/1.1 304 Not Modified"])
async def test_another_status_is_an_error(answer: bytes) -> None:
    site = Site(keys=answer + b"\r\nContent-Length: 0\r\n\r\n")
    async with raw_server(site.serve) as server:
        with pytest.raises(HttpError, match=f"it answered {answer.split()[1].decode()}"):
            await fetch(f"http://127.0.0.1:{server.port}/keys", 5.0)


async def test_the_deadline_is_one_for_all_redirects() -> None:
    async def serve(connection: RawConnection) -> None:
        await connection.head()
        await connection.until_closed()

    site = Site()
    async with raw_server(serve) as silent, raw_server(site.serve) as server:
        site.answers["/keys"] = moved(f"http://127.0.0.1:{silent.port}/")
        with pytest.raises(TimeoutError):
            await fetch(f"http://127.0.0.1:{server.port}/keys", 0.3)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://a b", "//x"])
async def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        await fetch(url, 1.0)


@needs_openssl
async def test_a_redirect_from_https_to_http_is_refused(pki: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate(pki, "local", "subjectAltName=DNS:localhost", "extendedKeyUsage=serverAuth")
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_side.load_cert_chain(pki / "local.pem", pki / "local.key")
    monkeypatch.setenv("SSL_CERT_FILE", str(pki / "ca.pem"))
    secret = Site(keys=FINE)
    plain = Site(keys=FINE)
    async with raw_server(plain.serve) as open_server, raw_server(secret.serve, tls=server_side) as server:
        secret.answers["/moved"] = moved(f"http://127.0.0.1:{open_server.port}/keys")
        assert await fetch(f"https://localhost:{server.port}/keys", 5.0) == b"fine"
        with pytest.raises(HttpError, match="a redirect from https to http://127"):
            await fetch(f"https://localhost:{server.port}/moved", 5.0)
    assert plain.heads == []
