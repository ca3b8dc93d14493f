"""A local OpenID Connect issuer with people of its own, and a note of what it was asked."""

from __future__ import annotations

import contextlib
import io
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import httpx
import oidc_provider_mock
from werkzeug.serving import make_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.async_api import Page

    from support.demo.gateway import Demo
    from support.demo.people import Person


@dataclass
class Provider:
    """`asked`: the authorization requests; `redeemed`: the forms that came with a code."""

    port: int = 0
    client_id: str = ""
    client_secret: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)
    redeemed: list[dict[str, str]] = field(default_factory=list)

    @property
    def issuer(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def settings(self) -> dict[str, str]:
        """Of the gateway."""
        return {
            "GATEWAY_SOCIAL_NAME": "local",
            "GATEWAY_SOCIAL_ISSUER": self.issuer,
            "GATEWAY_SOCIAL_CLIENT_ID": self.client_id,
            "GATEWAY_SOCIAL_CLIENT_SECRET": self.client_secret,
        }

    def register(self, redirect_uri: str) -> None:
        """Become a client, by the protocol of RFC 7591."""
        body = {"redirect_uris": [redirect_uri], "token_endpoint_auth_method": "client_secret_post"}
        answer = httpx.post(f"{self.issuer}/oauth2/clients", json=body).raise_for_status().json()
        self.client_id, self.client_secret = answer["client_id"], answer["client_secret"]

    def person(self, subject: str, **claims: Any) -> None:
        """A user whom the issuer knows."""
        httpx.put(f"{self.issuer}/users/{subject}", json=claims).raise_for_status()

    async def consent(self, url: str, subject: str) -> httpx.URL:
        """Sign in as this person where a browser was sent; where it is sent back to."""
        async with httpx.AsyncClient() as browser:
            answer = await browser.post(url, data={"sub": subject})
        assert answer.status_code == 302, answer.text
        return httpx.URL(answer.headers["location"])


async def log_in(served: Demo, provider: Provider, subject: str, person: Person | None = None) -> httpx.Response:
    """All of a login, as a program does it; with a `person`, to link the login to. The last answer."""
    served.http.cookies.clear()
    headers = person.headers if person else {}
    begun = await served.http.post("/auth/social/local", headers=headers)
    assert begun.status_code == 200, begun.text
    back = await provider.consent(begun.json()["authorization_url"], subject)
    return await served.http.get(back.raw_path.decode())


async def consent(page: Page, subject: str) -> None:
    """The same, by a user before the issuer's page."""
    await page.locator("input[name=sub]").fill(subject)
    await page.get_by_role("button", name="Authorize").click()


@contextlib.contextmanager
def provider() -> Iterator[Provider]:
    """On a port of its own, for as long as the context lasts."""
    made = Provider()
    app = oidc_provider_mock.app(require_client_registration=True, require_nonce=True)

    def plain(response: Any) -> Any:
        # Its pages want a style sheet from far away.
        response.headers["Content-Security-Policy"] = "style-src 'none'"
        return response

    app.after_request(plain)

    def noting(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] == "/oauth2/authorize":
            made.asked.append(_flat(environ["QUERY_STRING"]))
        elif environ["PATH_INFO"] == "/oauth2/token":
            body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            environ["wsgi.input"] = io.BytesIO(body)
            made.redeemed.append(_flat(body.decode()))
        return app(environ, start_response)

    server = make_server("localhost", 0, noting, threaded=True)
    made.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _flat(query: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(query).items()}
