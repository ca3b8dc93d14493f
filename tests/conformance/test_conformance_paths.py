"""Paths that no client should send: what is refused, what is redirected, and where to."""

from __future__ import annotations

import asyncio
import http.client
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from meshwright.model import Address
    from support.consul.servers import ConsulServer


class Answer(NamedTuple):
    status: int
    location: str | None
    text: str


def send(address: Address, method: str, path: str) -> Answer:
    """One request whose path is sent as it is written here: HTTP clients mend such paths, or refuse them."""
    connection = http.client.HTTPConnection(address.host, address.port, timeout=10)
    try:
        connection.putrequest(method, path)
        connection.putheader("Content-Length", "0")
        connection.endheaders()
        answer = connection.getresponse()
        return Answer(answer.status, answer.getheader("Location"), answer.read().decode())
    finally:
        connection.close()


async def ask(consul: ConsulServer, path: str, method: str = "GET") -> Answer:
    return await asyncio.to_thread(send, consul.address, method, path)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/kv/a%01b",
        "/v1/kv/a%00",
        "/v1/kv/a%0a",
        "/v1/kv/a%09b",
        "/v1/kv/a%7f",
        "/v1/kv/a%c2%80",
        "/v1/kv/a%c2%a0b",
        "/v1/kv/a%e2%80%8b",
        "/v1/kv/a%e2%80%ae",
        "/v1/kv/a%e2%80%a8b",
        "/v1/health/service/%00",
        "/v1/agent/self%00",
        "/v1%01/x",
        "/x%01",
    ],
)
async def test_what_cannot_be_printed_is_refused_without_a_word(consul: ConsulServer, path: str) -> None:
    assert await ask(consul, path) == (400, None, "")


@pytest.mark.parametrize("path", ["/v1/kv/%zz", "/v1/kv/a%", "/v1/health/service/%z", "/nope/%4"])
async def test_a_broken_escape_is_no_request(consul: ConsulServer, path: str) -> None:
    assert await ask(consul, path) == (400, None, "400 Bad Request")


@pytest.mark.parametrize("path", ["/v1/catalog/services?%zz", "/v1/kv/a?x=%zz&y=1"])
async def test_a_broken_escape_in_a_query_is_an_error_of_the_server(consul: ConsulServer, path: str) -> None:
    assert await ask(consul, path) == (500, None, "")
    assert await ask(consul, "/v1/nope?%zz") == (404, None, "")


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/v1/kv/a/../b", "/v1/kv/b"),
        ("/v1/kv/a//b", "/v1/kv/a/b"),
        ("/v1/kv//a", "/v1/kv/a"),
        ("/v1/kv/%2Fa", "/v1/kv/a"),
        ("/v1/kv/./a", "/v1/kv/a"),
        ("/v1/kv/a/.", "/v1/kv/a"),
        ("/v1/kv/a/..", "/v1/kv/"),
        ("/v1/kv/..", "/v1"),
        ("/v1/kv/%2e%2e/b", "/v1/b"),
        ("/v1/kv/a//b/", "/v1/kv/a/b/"),
        ("/v1/health/service/a%2F..%2Fb?x=1", "/v1/health/service/b?x=1"),
        ("/v1/health/service/%2e", "/v1/health/service/"),
        ("/v1/health/service/..", "/v1/health"),
        ("/v1//kv/%C3%A9%20%3F%25(", "/v1/kv/%C3%A9%20%3F%25%28"),
        ("//v1/catalog/services", "/v1/catalog/services"),
        ("/v1/agent/service/deregister/https%3A%2F%2Fx.example%2Fy", "/v1/agent/service/deregister/https:/x.example/y"),
        ("/v1/agent/service/deregister/hello-1/../victim", "/v1/agent/service/deregister/victim"),
        ("/v1/kv", "/v1/kv/"),
        ("/v1/agent/service/deregister", "/v1/agent/service/deregister/"),
        ("/v1/health/service?passing", "/v1/health/service/?passing"),
    ],
)
async def test_a_path_that_is_not_clean_is_redirected_and_nothing_is_done(
    consul: ConsulServer, path: str, location: str
) -> None:
    assert await ask(consul, path) == (301, location, f'<a href="{location}">Moved Permanently</a>.\n\n')
    for method in ("PUT", "DELETE", "HEAD", "OPTIONS"):
        assert await ask(consul, path, method) == (301, location, "")


@pytest.mark.parametrize(
    "path",
    ["/v1/kv/a%20b", "/v1/kv/a%2Fb", "/v1/kv/a%c3%a9", "/v1/kv/a..b", "/v1/kv/...", "/v1/kv/a%5C..%5Cb", "/v1/kv/a/"],
)
async def test_what_is_only_unusual_is_a_key(consul: ConsulServer, path: str) -> None:
    assert await ask(consul, path) == (404, None, "")
    assert (await ask(consul, path, "PUT")).text.strip() == "true"
    assert (await ask(consul, path)).status == 200
    assert (await ask(consul, path, "DELETE")).text.strip() == "true"


async def test_an_id_may_have_slashes_inside_but_not_the_name_of_an_endpoint(consul: ConsulServer) -> None:
    assert await ask(consul, "/v1/agent/service/a%2Fb") == (404, None, "unknown service ID: a/b")
    for taken in ("register", "deregister/x", "maintenance/x"):
        answer = await ask(consul, f"/v1/agent/service/{taken}")
        assert (answer.status, answer.text) == (405, "method GET not allowed")
