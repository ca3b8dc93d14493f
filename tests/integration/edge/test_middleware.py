"""What every client meets before any route: rates, slow senders, other sites, headers, and asking twice."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from typing import TYPE_CHECKING

import httpx
import pytest

from services.gateway.http.middleware.idempotency import StoredResponse
from services.gateway.http.middleware.rate_limit import MOST_CLIENTS, RateLimiter, address_of
from support.demo.gateway import Demo, demo
from support.demo.people import address, reason, sign_up

if TYPE_CHECKING:
    from pathlib import Path

NEW = {"name": "Ada", "email": "ada@example.org"}
SITE = "https://shop.example"


async def test_a_client_that_asks_too_often_is_told_when_to_come_back(tmp_path: Path) -> None:
    settings = {"GATEWAY_RATE": "0.05", "GATEWAY_BURST": "5", "GATEWAY_PROXIES": "1"}
    async with demo(tmp_path, settings=settings) as served:
        answers = [await served.http.get("/api/versions") for _ in range(7)]
        assert [answer.status_code for answer in answers[:5]] == [200] * 5
        assert answers[0].headers["RateLimit-Policy"].startswith('"client";q=5')
        refused = answers[-1]
        assert refused.status_code == 429
        assert refused.headers["content-type"] == "application/problem+json"
        assert int(refused.headers["Retry-After"]) >= 1
        # Each client has its own; what a client itself writes before our proxy's word does not count.
        other = {"X-Forwarded-For": "203.0.113.9"}
        assert (await served.http.get("/api/versions", headers=other)).status_code == 200
        forged = [
            (await served.http.get("/api/versions", headers={"X-Forwarded-For": f"198.51.100.{n}, 203.0.113.10"}))
            for n in range(7)
        ]
        assert forged[-1].status_code == 429
        # A proxy may write a header of its own beside the client's.
        twice = [
            await served.http.get(
                "/api/versions",
                headers=[("X-Forwarded-For", f"198.51.100.{n}"), ("X-Forwarded-For", "203.0.113.11")],
            )
            for n in range(7)
        ]
        assert twice[-1].status_code == 429
        assert (await served.http.get("/healthz")).status_code == 200


async def test_guessing_tokens_is_limited_too(tmp_path: Path) -> None:
    async with demo(tmp_path, settings={"GATEWAY_RATE": "0.05", "GATEWAY_BURST": "3"}) as served:
        bad = {"Authorization": "Bearer nonsense"}
        answers = [(await served.http.get("/api/v1/users", headers=bad)).status_code for _ in range(6)]
        assert (answers[0], answers[-1]) == (401, 429)


def test_an_ipv4_client_of_a_socket_for_both_kinds_is_itself() -> None:
    found = [address_of({"client": (f"::ffff:203.0.113.{n}", 1), "headers": []}, 0) for n in (1, 2)]
    assert found == ["203.0.113.1", "203.0.113.2"]


async def test_without_a_proxy_of_ours_the_header_means_nothing(tmp_path: Path) -> None:
    async with demo(tmp_path, settings={"GATEWAY_RATE": "0.05", "GATEWAY_BURST": "2"}) as served:
        asked = [served.http.get("/api/versions", headers={"X-Forwarded-For": f"203.0.113.{n}"}) for n in range(20)]
        assert 429 in {answer.status_code for answer in await asyncio.gather(*asked)}


def test_clients_are_forgotten_before_they_are_too_many() -> None:
    limiter = RateLimiter(1, 2, lambda: 0.0)
    for number in range(MOST_CLIENTS + 1):
        limiter.check(str(number), 2)
    assert not limiter.check("1").allowed
    assert limiter.check("0").allowed, "it was the first of one too many"
    assert limiter.check("2").allowed, "it made room for the first"
    assert not limiter.check(str(MOST_CLIENTS)).allowed


async def _raw(served: Demo, *parts: bytes, pause: float = 0.0) -> bytes:
    """What comes back to bytes that are sent as they are."""
    reader, writer = await asyncio.open_connection(served.address.host, served.address.port)
    for part in parts:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(pause)
    answer = b""
    try:
        while part := await asyncio.wait_for(reader.read(4096), 15):
            answer += part
    except ConnectionResetError:
        pass  # it had not read all that was sent
    finally:
        writer.close()
    return answer


async def test_a_head_or_a_body_that_comes_too_slowly_is_cut_off_and_others_are_served(tmp_path: Path) -> None:
    settings = {"GATEWAY_HEADER_SECONDS": "1", "GATEWAY_BODY_SECONDS": "1"}
    async with demo(tmp_path, settings=settings) as served:
        head = b"POST /api/v1/users HTTP/1.1\r\nHost: x\r\n"
        slow_heads = [asyncio.create_task(_raw(served, head)) for _ in range(50)]
        body = head + b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        slow_body = asyncio.create_task(_raw(served, body))
        assert (await served.http.get("/healthz")).status_code == 200
        for answer in await asyncio.gather(*slow_heads):
            assert answer == b"" or answer.startswith(b"HTTP/1.1 408")
        answer = await slow_body
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"the body did not come within 1 seconds" in answer


async def test_a_client_that_does_not_read_its_answers_is_cut_off(tmp_path: Path) -> None:
    async with demo(tmp_path, settings={"GATEWAY_SEND_SECONDS": "1"}) as served:
        _unread, writer = await asyncio.open_connection(served.address.host, served.address.port, limit=1024)
        # More answers than the buffers of both sides' kernels hold.
        writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 500)
        try:
            with pytest.raises(ConnectionError):
                await asyncio.wait_for(_write_for_ever(writer), 60)
        finally:
            writer.transport.abort()
        assert (await served.http.get("/healthz")).status_code == 200


async def _write_for_ever(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)


async def test_a_head_that_has_no_end_or_is_none_is_refused(served: Demo) -> None:
    endless = b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 300_000
    # Cut off in the middle of what is sent, the answer may be lost on the way.
    assert (await _raw(served, endless))[:12] in {b"", b"HTTP/1.1 400"}
    assert (await _raw(served, b"\x16\x03\x01 hello\r\n\r\n")).startswith(b"HTTP/1.1 400")
    assert (await served.http.get("/healthz")).status_code == 200


async def test_other_sites_may_ask_where_they_are_listed(tmp_path: Path) -> None:
    async with demo(tmp_path, settings={"GATEWAY_CORS_ORIGINS": SITE}) as served:
        preflight = {"Origin": SITE, "Access-Control-Request-Method": "POST"}
        allowed = await served.http.options(
            "/api/v1/users", headers=preflight | {"Access-Control-Request-Headers": "authorization, idempotency-key"}
        )
        assert allowed.status_code == 200
        assert allowed.headers["Access-Control-Allow-Origin"] == SITE
        assert "Access-Control-Allow-Credentials" not in allowed.headers
        refused = await served.http.options("/api/v1/users", headers=preflight | {"Origin": "https://evil.example"})
        assert "Access-Control-Allow-Origin" not in refused.headers
        asked = await served.http.get("/api/versions", headers={"Origin": SITE})
        assert asked.headers["Access-Control-Allow-Origin"] == SITE
        assert "ETag" in asked.headers["Access-Control-Expose-Headers"]
        missing = await served.http.get("/api/v1/users/x", headers={"Origin": SITE})
        assert (missing.status_code, missing.headers["Access-Control-Allow-Origin"]) == (404, SITE)


async def test_without_a_list_no_other_site_may(served: Demo) -> None:
    answer = await served.http.get("/api/versions", headers={"Origin": SITE})
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_every_answer_carries_the_headers_that_browsers_need_and_its_id(served: Demo) -> None:
    answers = [
        await served.http.get("/"),
        await served.http.get("/docs"),
        await served.http.get("/api/versions"),
        await served.http.get("/api/v1/users/x"),
        await served.http.get("/no/such/place"),
        await served.http.post("/api/v1/users", content="{"),
        await served.http.get("/api/v3/account"),
        await served.http.post("/rpc", content="x" * 5000, headers={"Content-Type": "application/json"}),
    ]
    for answer in answers:
        assert answer.headers["X-Content-Type-Options"] == "nosniff", answer.url
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'"), answer.url
        assert answer.headers["X-Frame-Options"] == "DENY", answer.url
        assert answer.headers["Referrer-Policy"] == "no-referrer", answer.url
        assert answer.headers["X-Request-Id"], answer.url
        assert "server" not in answer.headers, answer.url
    given = await served.http.get("/api/versions", headers={"X-Request-Id": "mine-1"})
    assert given.headers["X-Request-Id"] == "mine-1"
    replaced = await served.http.get("/api/versions", headers={"X-Request-Id": "a b\tc<script>"})
    assert replaced.headers["X-Request-Id"] != "a b\tc<script>"


async def test_a_bug_is_answered_with_the_same_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("services.gateway.api.users.client.UserClient.list", broken)
    async with demo(tmp_path, settings={"GATEWAY_CORS_ORIGINS": SITE}) as served:
        answer = await served.http.get("/api/v1/users", headers={"Origin": SITE, "X-Request-Id": "mine"})
        assert (reason(answer)[0], answer.headers["X-Request-Id"]) == (500, "mine")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Access-Control-Allow-Origin"] == SITE


async def test_no_cache_keeps_a_problem(served: Demo) -> None:
    for path in ("/api/v1/users/x", "/no/such/place", "/api/v9/users", "/api/v4/users"):
        assert (await served.http.get(path)).headers["Cache-Control"] == "no-store", path


async def test_a_body_that_is_compressed_or_has_two_lengths_is_refused_unread(served: Demo) -> None:
    packed = gzip.compress(b"[" * 10_000_000)
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    for path in ("/api/v1/users", "/rpc", "/auth/sign-in"):
        answer = await served.http.post(path, content=packed[:1000], headers=headers)
        assert (reason(answer)[0], answer.headers["Accept-Encoding"]) == (415, "identity"), path
    head = b"POST /rpc HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    smuggled = (
        head + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /docs HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    answers = await _raw(served, smuggled)
    assert answers.startswith(b"HTTP/1.1 400")
    assert answers.count(b"HTTP/1.1 ") == 1


async def test_head_says_what_get_would(served: Demo) -> None:
    for path in ("/", "/docs", "/api/versions", f"/api/v1/users/{await served.user_id()}", "/api/v1/users", "/healthz"):
        read, asked = await served.http.get(path), await served.http.head(path)
        assert (asked.status_code, asked.content) == (200, b""), path
        for name in ("content-type", "content-length", "etag", "api-version"):
            assert asked.headers.get(name) == read.headers.get(name), (path, name)
    stream = await served.http.head("/api/v1/calculator/primes?limit=100000")
    assert (stream.status_code, stream.content) == (200, b"")
    assert (await served.http.head("/api/v1/users/x")).status_code == 404


async def test_an_address_with_a_slash_too_many_leads_nowhere(served: Demo) -> None:
    answer = await served.http.get("/api/v1/users/", headers={"Host": "evil.example"})
    assert reason(answer)[0] == 404


async def test_asking_again_with_the_same_key_does_it_once(stored: Demo) -> None:
    body = NEW | {"email": address()}
    key = {"Idempotency-Key": "k1"}
    first = await stored.http.post("/api/v1/users", json=body, headers=key)
    again = await stored.http.post("/api/v1/users", json=body, headers=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert (again.json(), again.headers["Location"]) == (first.json(), first.headers["Location"])
    assert (again.headers["Idempotency-Replayed"], "Idempotency-Replayed" in first.headers) == ("true", False)
    other = await stored.http.post("/api/v1/users", json=body | {"name": "Eve"}, headers=key)
    assert other.status_code == 422
    # Another caller's key is another key.
    person = await sign_up(stored)
    theirs = await stored.http.post("/api/v1/users", json=body, headers=key | person.headers)
    assert reason(theirs) == (409, "EMAIL_TAKEN")
    refused = [await stored.http.post("/api/v1/users", json=body, headers={"Idempotency-Key": "k2"}) for _ in range(2)]
    assert [reason(answer) for answer in refused] == [(409, "EMAIL_TAKEN")] * 2
    assert refused[1].headers["Idempotency-Replayed"] == "true"
    long = await stored.http.post("/api/v1/users", json=body, headers={"Idempotency-Key": "x" * 300})
    assert long.status_code == 400


async def test_a_notification_of_json_rpc_is_repeated_as_such(served: Demo) -> None:
    call = {"jsonrpc": "2.0", "method": "createUser", "params": ["Ada", address()]}
    for _ in range(2):
        answer = await served.http.post("/rpc", json=call, headers={"Idempotency-Key": "k"})
        assert (answer.status_code, "Content-Length" in answer.headers) == (204, False)
    assert answer.headers["Idempotency-Replayed"] == "true"


async def test_a_key_is_free_again_when_its_replica_died_and_the_dead_one_changes_nothing(stored: Demo, clock):
    store = stored.edge.idempotency
    body = {"a": 1, "b": 2}
    raw = httpx.Request("POST", "http://x", json=body).content
    mine = "address:127.0.0.1"
    begun = clock()
    digest = hashlib.sha256(b"POST /api/v1/calculator/add?\n" + raw).hexdigest()
    assert await store.begin(mine, "k", digest, begun) is None

    async def ask() -> httpx.Response:
        return await stored.http.post("/api/v1/calculator/add", json=body, headers={"Idempotency-Key": "k"})

    waiting = await ask()
    assert (waiting.status_code, waiting.headers["Retry-After"]) == (409, "1")
    clock.ahead = 331.0
    assert (await ask()).json() == {"value": 3.0}
    # The first was only slow, not dead: the key is not its own any more.
    await store.give_up(mine, "k", begun)
    await store.finish(mine, "k", StoredResponse("", begun, 200, (), b"wrong"))
    again = await ask()
    assert (again.json(), again.headers["Idempotency-Replayed"]) == ({"value": 3.0}, "true")


async def test_of_many_at_once_with_one_key_one_does_it_on_two_replicas(tmp_path: Path, database: str) -> None:
    (tmp_path / "two").mkdir()
    async with demo(tmp_path, database=database) as one, demo(tmp_path / "two", database=database) as two:
        # Both before one user service: the first's.
        two.user = one.user
        body = NEW | {"email": address()}

        async def ask(served: Demo) -> httpx.Response:
            return await served.http.post("/api/v1/users", json=body, headers={"Idempotency-Key": "k"})

        answers = await asyncio.gather(*(ask(served) for served in (one, two) * 8))
        assert [answer.text for answer in answers if answer.status_code not in {201, 409}] == []
        made = [answer for answer in answers if answer.status_code == 201]
        assert len({answer.json()["id"] for answer in made}) == 1
        assert sum("Idempotency-Replayed" not in answer.headers for answer in made) == 1


async def test_a_key_is_forgotten_after_a_day(stored: Demo, clock):
    body = NEW | {"email": address()}
    key = {"Idempotency-Key": "k"}
    assert (await stored.http.post("/api/v1/users", json=body, headers=key)).status_code == 201
    clock.ahead = 90_000
    assert reason(await stored.http.post("/api/v1/users", json=body, headers=key)) == (409, "EMAIL_TAKEN")


async def test_a_failure_that_may_pass_is_not_kept(served: Demo) -> None:
    key = {"Idempotency-Key": "k"}
    await served.calculator.stop()
    body = {"a": 1, "b": 2}
    assert (await served.http.post("/api/v1/calculator/add", json=body, headers=key)).status_code == 503
    again = await served.http.post("/api/v1/calculator/add", json=body, headers=key)
    assert (again.status_code, "Idempotency-Replayed" in again.headers) == (503, False)


async def test_what_a_client_has_already_is_not_sent_again(served: Demo) -> None:
    user_id = await served.user_id()
    for path in (f"/api/v1/users/{user_id}", f"/api/v2/users/{user_id}", "/api/versions"):
        first = await served.http.get(path)
        again = await served.http.get(path, headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b""), path
        assert again.headers["ETag"] == first.headers["ETag"], path
        other = await served.http.get(path, headers={"If-None-Match": '"other"'})
        assert other.status_code == 200, path


@pytest.mark.parametrize("value", ["GATEWAY_BURST", "GATEWAY_MAX_BATCH", "GATEWAY_BODY_SECONDS"])
async def test_a_limit_of_nothing_is_no_setting(tmp_path: Path, value: str) -> None:
    with pytest.raises(ValueError, match=f"{value}: must be above 0"):
        async with demo(tmp_path, settings={value: "0"}):
            pass
