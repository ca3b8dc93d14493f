"""A client's `x-preview: yes` reaches every service behind the gateway, and nothing else of its headers does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from meshwright.calls.server.call import ServerCall
from support.demo.gateway import Demo, demo

if TYPE_CHECKING:
    from pathlib import Path

PREVIEW = {"X-Preview": "yes", "X-Other": "1", "Cookie": "a=b"}
SITE = "https://shop.example"


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """The method and the metadata of each call that a service is asked."""
    found: list[tuple[str, dict[str, Any]]] = []
    begin = ServerCall.begin

    def noting(call: ServerCall) -> None:
        found.append((call.method.name.rpartition("/")[2], dict(call.metadata)))
        begin(call)

    monkeypatch.setattr(ServerCall, "begin", noting)
    return found


def previews(seen: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    return {method: metadata.get("x-preview") for method, metadata in seen}


async def test_it_reaches_the_service_and_the_one_behind(served: Demo, seen: list[Any]) -> None:
    user_id = await served.user_id()
    seen.clear()
    answer = await served.http.get(f"/api/v1/users/{user_id}/summary", headers=PREVIEW)
    assert answer.status_code == 200, answer.text
    assert previews(seen)["GetUserSummary"] == "yes"
    behind = [method for method, _ in seen if method not in {"GetUserSummary", "GetUser"}]
    assert behind, "the user service asks the calculator"
    assert set(previews(seen).values()) == {"yes"}
    assert not {"x-other", "cookie"} & set().union(*(metadata for _, metadata in seen))


async def test_json_rpc_and_streams_carry_it(served: Demo, seen: list[Any]) -> None:
    request = {"jsonrpc": "2.0", "method": "add", "params": [1, 2], "id": 1}
    assert (await served.http.post("/rpc", json=[request, request], headers=PREVIEW)).status_code == 200
    async with served.http.stream("GET", "/api/v1/calculator/primes", params={"limit": 10}, headers=PREVIEW) as answer:
        await answer.aread()
        assert answer.status_code == 200
    assert [(method, metadata.get("x-preview")) for method, metadata in seen] == [
        ("Add", "yes"),
        ("Add", "yes"),
        ("GetPrimes", "yes"),
    ]


async def test_a_request_without_it_carries_nothing(served: Demo, seen: list[Any]) -> None:
    await served.user_id()
    assert set(previews(seen).values()) == {None}
    assert "baggage" not in set().union(*(metadata for _, metadata in seen))


async def test_a_bad_token_does_not_take_it_away(served: Demo, seen: list[Any]) -> None:
    headers = PREVIEW | {"Authorization": "Bearer nonsense"}
    await served.http.get("/api/v1/users", headers=headers)
    assert set(previews(seen).values()) <= {"yes"}


@pytest.mark.parametrize(
    ("value", "what"),
    [(b"j\xc3\xa4", "must be printable ASCII"), (b"x" * 257, "has 257 characters; 256 are allowed")],
)
async def test_a_value_that_cannot_be_carried_is_refused(served: Demo, value: bytes, what: str) -> None:
    answer = await served.http.get("/api/v1/users", headers=[(b"x-preview", value)])
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"] == [{"field": "x-preview", "detail": what}]


async def test_several_values_go_on_as_one(served: Demo, seen: list[Any]) -> None:
    await served.http.get("/api/v1/users", headers=[("x-tester", "ada"), ("x-tester", "grace")])
    assert [metadata["x-tester"] for _, metadata in seen] == ["ada,grace"]


async def test_caches_keep_what_each_version_said_apart(served: Demo) -> None:
    answer = await served.http.get("/api/v1/users")
    vary = {name.strip().lower() for name in answer.headers["vary"].split(",")}
    assert {"x-preview", "x-tester"} <= vary


async def test_pages_of_other_sites_may_send_it(tmp_path: Path) -> None:
    async with demo(tmp_path, settings={"GATEWAY_CORS_ORIGINS": SITE}) as running:
        asks = {"Origin": SITE, "Access-Control-Request-Method": "GET"}
        wanted = asks | {"Access-Control-Request-Headers": "x-preview, x-tester"}
        allowed = await running.http.options("/api/v1/users", headers=wanted)
        assert allowed.status_code == 200
        names = {name.strip().lower() for name in allowed.headers["access-control-allow-headers"].split(",")}
        assert {"x-preview", "x-tester"} <= names
        refused = await running.http.options(
            "/api/v1/users", headers=asks | {"Access-Control-Request-Headers": "x-unheard-of"}
        )
        assert refused.status_code == 400
