"""Signing in by way of another issuer: a local one that speaks OpenID Connect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from services.gateway.auth import social_login
from services.gateway.auth.oidc import challenge
from support.demo.gateway import Demo, demo
from support.demo.people import address, reason, sign_up
from support.servers import oidc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from support.servers.oidc import Provider

CALLBACK = "/auth/social/local/callback"


@pytest.fixture
def provider() -> Iterator[Provider]:
    with oidc.provider() as made:
        made.register(f"http://localhost:8080{CALLBACK}")
        yield made


@pytest.fixture
async def linked(tmp_path: Path, clock, database: str, provider: Provider) -> AsyncIterator[Demo]:
    """A gateway at which people of `provider` may sign in."""
    async with demo(tmp_path, clock=clock, database=database, settings=provider.settings) as running:
        yield running


@pytest.fixture
def ada(provider: Provider) -> dict[str, Any]:
    claims = {"name": "Ada Lovelace", "email": address(), "email_verified": True}
    provider.person("ada", **claims)
    return claims


async def test_a_first_sign_in_creates_a_user_and_the_next_one_finds_it(
    linked: Demo, provider: Provider, ada: dict[str, Any]
) -> None:
    first = await oidc.log_in(linked, provider, "ada")
    assert first.status_code == 200, first.text
    assert first.headers["cache-control"] == "no-store"
    subject = first.json()["subject"]
    headers = {"Authorization": f"Bearer {first.json()['access_token']}"}
    user = (await linked.http.get(f"/api/v3/users/{subject}", headers=headers)).json()
    assert (user["name"], user["email"]) == (ada["name"], ada["email"])
    assert [item["provider"] for item in user["identities"]] == ["local"]
    assert "identities" not in (await linked.http.get(f"/api/v2/users/{subject}", headers=headers)).json()
    again = await oidc.log_in(linked, provider, "ada")
    assert again.json()["subject"] == subject
    changed = await linked.http.patch(
        f"/api/v3/users/{subject}", json={"name": "Ada King"}, headers=headers | {"If-Match": "*"}
    )
    assert changed.status_code == 200, changed.text
    assert (await linked.http.delete(f"/api/v3/users/{subject}", headers=headers)).status_code == 204
    assert (await oidc.log_in(linked, provider, "ada")).json()["subject"] != subject


async def test_the_flow_is_held_together_by_state_nonce_and_pkce(
    linked: Demo, provider: Provider, ada: dict[str, Any]
) -> None:
    await oidc.log_in(linked, provider, "ada")
    await oidc.log_in(linked, provider, "ada")
    for asked, redeemed in zip(provider.asked, provider.redeemed, strict=True):
        assert asked["code_challenge"] == challenge(redeemed["code_verifier"])
        assert asked["code_challenge_method"] == "S256"
        assert asked["redirect_uri"] == redeemed["redirect_uri"]
        assert redeemed["client_secret"] == provider.client_secret
        assert "code_verifier" not in asked
    for once in ("state", "nonce", "code_challenge"):
        assert len({asked[once] for asked in provider.asked}) == len(provider.asked) == 2


@pytest.mark.parametrize("claims", [{}, {"email": "ada@example.org"}, {"email": "a@b.c", "email_verified": "true"}])
async def test_an_unverified_address_makes_no_user(linked: Demo, provider: Provider, claims: dict[str, Any]) -> None:
    provider.person("ada", name="Ada", **claims)
    assert reason(await oidc.log_in(linked, provider, "ada")) == (400, "EMAIL_NOT_VERIFIED")
    assert (await linked.http.get("/api/v1/users")).json()["users"] == []


async def test_the_address_of_a_user_is_not_enough_to_be_that_user(linked: Demo, provider: Provider) -> None:
    ada = await sign_up(linked)
    provider.person("ada", name="Ada", email=ada.email.upper(), email_verified=True)
    assert reason(await oidc.log_in(linked, provider, "ada")) == (409, "EMAIL_TAKEN")
    joined = await oidc.log_in(linked, provider, "ada", person=ada)
    assert joined.json()["subject"] == ada.subject
    assert (await oidc.log_in(linked, provider, "ada")).json()["subject"] == ada.subject
    eve = await sign_up(linked)
    assert reason(await oidc.log_in(linked, provider, "ada", person=eve)) == (409, "IDENTITY_TAKEN")


async def test_a_login_is_for_the_browser_that_began_it_and_once(
    linked: Demo, provider: Provider, ada: dict[str, Any]
) -> None:
    begun = await linked.http.post("/auth/social/local")
    cookie = begun.headers["set-cookie"].lower()
    assert all(part in cookie for part in ("httponly", "samesite=lax", "path=/auth/social"))
    back = (await provider.consent(begun.json()["authorization_url"], "ada")).raw_path.decode()
    kept = dict(linked.http.cookies)
    linked.http.cookies.clear()
    unknown = (400, "LOGIN_UNKNOWN")
    assert reason(await linked.http.get(back)) == unknown
    linked.http.cookies.update(kept)
    assert reason(await linked.http.get(f"{CALLBACK}?code=x&state=other")) == unknown
    assert (await linked.http.get(back)).status_code == 200
    linked.http.cookies.update(kept)
    assert reason(await linked.http.get(back)) == unknown
    assert len(provider.redeemed) == 1


async def test_a_login_that_takes_too_long_is_refused(linked: Demo, provider: Provider, ada: dict[str, Any], clock):
    begun = await linked.http.post("/auth/social/local")
    back = (await provider.consent(begun.json()["authorization_url"], "ada")).raw_path.decode()
    clock.ahead = social_login.LOGIN_SECONDS + 1
    assert reason(await linked.http.get(back)) == (400, "LOGIN_UNKNOWN")


async def test_a_login_that_the_issuer_refuses_is_told(linked: Demo, provider: Provider, ada: dict[str, Any]) -> None:
    refused = (401, "SOCIAL_LOGIN_REFUSED")
    for wrong in ("error=access_denied", "code=made-up", "code=&error="):
        state = provider_state(await linked.http.post("/auth/social/local"))
        assert reason(await linked.http.get(f"{CALLBACK}?state={state}&{wrong}")) == refused


async def test_a_code_of_another_login_is_refused(linked: Demo, provider: Provider, ada: dict[str, Any]) -> None:
    begun = await linked.http.post("/auth/social/local")
    stolen = (await provider.consent(begun.json()["authorization_url"], "ada")).params["code"]
    state = provider_state(await linked.http.post("/auth/social/local"))
    answer = await linked.http.get(f"{CALLBACK}?state={state}&code={stolen}")
    assert reason(answer) == (401, "SOCIAL_LOGIN_REFUSED")


async def test_an_issuer_that_is_away_or_says_what_it_should_not_is_told_as_such(
    tmp_path: Path, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    for wrong in ("http://localhost:9", f"{provider.issuer}/", f"{provider.issuer}/nothing"):
        folder = tmp_path / str(abs(hash(wrong)))
        folder.mkdir()
        async with demo(folder, settings=provider.settings | {"GATEWAY_SOCIAL_ISSUER": wrong}) as served:
            answer = await served.http.post("/auth/social/local")
            assert reason(answer) == (503, "PROVIDER_UNAVAILABLE")
        assert wrong in caplog.text


async def test_a_client_secret_that_is_wrong_is_our_own_fault_and_logged(
    tmp_path: Path, provider: Provider, ada: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with demo(tmp_path, settings=provider.settings | {"GATEWAY_SOCIAL_CLIENT_SECRET": "wrong"}) as served:
        assert reason(await oidc.log_in(served, provider, "ada")) == (503, "PROVIDER_UNAVAILABLE")
    assert "invalid_client" in caplog.text


async def test_an_unknown_issuer_is_told_with_those_that_are_known(linked: Demo) -> None:
    answer = await linked.http.post("/auth/social/elsewhere")
    assert (answer.status_code, "known: local" in answer.json()["detail"]) == (404, True)


async def test_a_login_that_is_to_be_linked_needs_a_token_that_is_good(linked: Demo, clock):
    ada = await sign_up(linked)
    clock.ahead = 400.0
    assert reason(await linked.http.post("/auth/social/local", headers=ada.headers)) == (401, "TOKEN_EXPIRED")


async def test_a_browser_that_navigates_is_sent_to_the_page(
    linked: Demo, provider: Provider, ada: dict[str, Any]
) -> None:
    begun = await linked.http.post("/auth/social/local")
    back = (await provider.consent(begun.json()["authorization_url"], "ada")).raw_path.decode()
    page = await linked.http.get(back, headers={"Accept": "text/html,*/*;q=0.8"})
    assert page.status_code == 303
    there = page.next_request
    assert there is not None
    assert (there.url.path, there.url.params["login"]) == ("/", "local")
    assert (await linked.http.get(back)).status_code == 200


def provider_state(begun: Any) -> str:
    """The state of a login that begins."""
    state: str = begun.cookies["login_state"]
    return state
