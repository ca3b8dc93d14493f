"""Signing up, in, on and out; keys and their rotation; several replicas on one database."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from demo.user.v1 import user_pb2 as user_pb
from demo.user.v1 import user_pb2_grpc as user_rpc
from meshwright.auth import Auth, JwtVerifier
from meshwright.config import AuthConfig
from meshwright.errors import ValidationError
from meshwright.testing import Issuer
from services.common.runtime.errors import StoreUnavailableError
from services.common.storage.database import open_database
from services.gateway.api.users.client import UserClient
from services.gateway.auth import passwords
from services.gateway.auth.domain import KeyRotation
from services.gateway.auth.signing_keys import SigningKeys
from services.gateway.auth.store import AuthStore
from services.gateway.errors import ApiError
from services.gateway.tables import prepare
from support.demo.gateway import demo
from support.demo.people import PASSWORD, address, reason, sign_up

if TYPE_CHECKING:
    from pathlib import Path

    from support.demo.gateway import Demo


async def test_a_sign_up_is_a_user_and_a_token_that_names_it(stored: Demo) -> None:
    ada = await sign_up(stored)
    found = await stored.http.get(f"/api/v3/users/{ada.subject}")
    assert (found.status_code, found.json()["email"]) == (200, ada.email)
    jwks = (await stored.http.get("/.well-known/jwks.json")).json()
    verifier = JwtVerifier(jwks, issuer="http://localhost:8080", audience="meshwright")
    assert (await verifier.verify(ada.tokens["access_token"])).subject == ada.subject
    assert ada.tokens["expires_in"] == 300
    assert "d" not in jwks["keys"][0]


async def test_the_token_opens_other_services_that_trust_the_gateway(served: Demo) -> None:
    ada = await sign_up(served)
    config = AuthConfig("http://localhost:8080", f"http://{served.address}/.well-known/jwks.json")
    auth = Auth.configured(config)
    assert auth is not None
    assert (await auth.verifier.verify(ada.tokens["access_token"])).subject == ada.subject


async def test_discovery_names_the_keys(served: Demo) -> None:
    document = (await served.http.get("/.well-known/openid-configuration")).json()
    assert document["issuer"] == "http://localhost:8080"
    assert document["jwks_uri"] == "http://localhost:8080/.well-known/jwks.json"


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"password": "short"}, (400, "INVALID_SIGN_UP")),
        ({"tenant": "No Such Name"}, (400, "INVALID_SIGN_UP")),
        ({"email": "ada"}, (400, "INVALID_USER")),
    ],
)
async def test_a_sign_up_that_is_wrong_makes_nothing(served: Demo, changes, refused):
    body = {"name": "Ada", "email": address(), "password": PASSWORD} | changes
    assert reason(await served.http.post("/auth/sign-up", json=body)) == refused
    assert (await served.http.get("/api/v1/users")).json()["users"] == []


async def test_one_address_signs_up_once(stored: Demo) -> None:
    ada = await sign_up(stored)
    body = {"name": "Eve", "email": ada.email.upper(), "password": PASSWORD}
    assert reason(await stored.http.post("/auth/sign-up", json=body)) == (409, "EMAIL_TAKEN")


async def sign_in(stored: Demo, email: str) -> tuple[int, str]:
    answer = await stored.http.post("/auth/sign-in", json={"email": email, "password": PASSWORD})
    return answer.status_code, answer.json().get("subject", "")


async def test_an_account_follows_its_user(stored: Demo) -> None:
    ada, new = await sign_up(stored), address()
    path = f"/api/v3/users/{ada.subject}"
    changed = await stored.http.patch(path, json={"email": new.upper()}, headers=ada.headers)
    assert changed.status_code == 200
    assert await sign_in(stored, new) == (200, ada.subject)
    assert await sign_in(stored, ada.email) == (401, "")
    # The address is free again, and its next owner gets nothing else.
    eve = await sign_up(stored, email=ada.email)
    assert await sign_in(stored, ada.email) == (200, eve.subject)
    assert (await stored.http.delete(path, headers=ada.headers)).status_code == 204
    assert await sign_in(stored, new) == (401, "")
    refresh = {"refresh_token": ada.tokens["refresh_token"]}
    assert reason(await stored.http.post("/auth/refresh", json=refresh)) == (401, "REFRESH_TOKEN_INVALID")
    again = await sign_up(stored, email=new)
    assert again.subject != ada.subject


async def test_an_account_that_lost_sight_of_its_user_is_found_out(stored: Demo) -> None:
    ada, bob = await sign_up(stored), await sign_up(stored)
    # A gateway that died after the user service had done its part leaves the account as it was.
    users = user_rpc.UserServiceStub(stored.user_channel)
    await users.DeleteUser(user_pb.DeleteUserRequest(id=ada.subject))
    path = f"/api/v3/users/{ada.subject}"
    assert reason(await stored.http.delete(path, headers=ada.headers)) == (404, "USER_NOT_FOUND")
    assert await sign_in(stored, ada.email) == (401, "")
    await users.DeleteUser(user_pb.DeleteUserRequest(id=bob.subject))
    eve = await sign_up(stored, email=bob.email)
    assert await sign_in(stored, bob.email) == (200, eve.subject)


async def test_signing_in_tells_not_which_of_the_two_was_wrong(stored: Demo) -> None:
    ada = await sign_up(stored)
    good = await stored.http.post("/auth/sign-in", json={"email": ada.email.upper(), "password": PASSWORD})
    assert (good.status_code, good.json()["subject"]) == (200, ada.subject)
    assert good.headers["cache-control"] == "no-store"
    answers = []
    for email, password in ((ada.email, "wrong password"), (address(), PASSWORD)):
        bad = await stored.http.post("/auth/sign-in", json={"email": email, "password": password})
        answers.append({**bad.json(), "trace_id": ""})
        assert reason(bad) == (401, "WRONG_CREDENTIALS")
    assert answers[0] == answers[1]


async def test_an_address_that_no_database_could_hold_is_refused(stored: Demo) -> None:
    answer = await stored.http.post("/auth/sign-in", json={"email": "ada\0@example.org", "password": PASSWORD})
    assert (reason(answer)[0], answer.json()["errors"][0]["field"]) == (422, "email")


async def test_a_flood_of_sign_ins_is_asked_to_come_again(served: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "MOST_WAITING", 3)
    ada = await sign_up(served)
    body = {"email": ada.email, "password": PASSWORD}
    answers = await asyncio.gather(*(served.http.post("/auth/sign-in", json=body) for _ in range(20)))
    refused = [answer for answer in answers if answer.status_code != 200]
    assert {reason(answer) for answer in refused} == {(503, "BUSY")}
    assert refused[0].headers["Retry-After"] == "1"
    assert (await served.http.post("/auth/sign-in", json=body)).status_code == 200


async def test_a_refresh_token_serves_once_and_a_stolen_one_ends_the_session(stored: Demo) -> None:
    first = (await sign_up(stored)).tokens["refresh_token"]

    async def refresh(token: str):
        return await stored.http.post("/auth/refresh", json={"refresh_token": token})

    second = (await refresh(first)).json()["refresh_token"]
    third = (await refresh(second)).json()["refresh_token"]
    assert reason(await refresh(first)) == (401, "REFRESH_TOKEN_INVALID")
    assert reason(await refresh(third)) == (401, "REFRESH_TOKEN_INVALID")


async def test_of_two_refreshes_at_once_one_wins(stored: Demo) -> None:
    token = (await sign_up(stored)).tokens["refresh_token"]
    body = {"refresh_token": token}
    answers = await asyncio.gather(*(stored.http.post("/auth/refresh", json=body) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401, 401]


async def test_who_signs_out_cannot_go_on(stored: Demo) -> None:
    token = (await sign_up(stored)).tokens["refresh_token"]
    assert (await stored.http.post("/auth/sign-out", json={"refresh_token": token})).status_code == 204
    assert reason(await stored.http.post("/auth/refresh", json={"refresh_token": token}))[0] == 401


async def test_a_session_that_rests_too_long_ends(served: Demo, clock):
    token = (await sign_up(served)).tokens["refresh_token"]
    clock.ahead = 31 * 86400.0
    assert reason(await served.http.post("/auth/refresh", json={"refresh_token": token}))[0] == 401
    await served.edge.store.sweep(clock())


def everything_in(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.glob("gateway.db*"))


async def test_no_secret_is_readable_in_the_database(tmp_path: Path) -> None:
    async with demo(tmp_path, settings={"GATEWAY_KEY_PASSPHRASE": "of the keys"}) as running:
        ada = await sign_up(running)
        content = everything_in(tmp_path)
        assert ada.subject.encode() in content
        for secret in (PASSWORD, ada.tokens["refresh_token"], "BEGIN PRIVATE KEY", "BEGIN EC PRIVATE KEY"):
            assert secret.encode() not in content


async def test_keys_rotate_and_tokens_of_the_old_one_stay_good(database: str) -> None:
    engine = open_database("X", database)
    await prepare(engine)
    now = [1_800_000_000.0]
    rotation = KeyRotation(lifetime=1000.0, announce=100.0, keep=50.0)
    replicas = [
        SigningKeys(AuthStore(engine), rotation, clock=lambda: now[0], entropy=os.urandom, passphrase="x")
        for _ in range(2)
    ]

    async def signer(ring: SigningKeys) -> str:
        return jwt.get_unverified_header(await ring.sign({"sub": "ada"}, "JWT"))["kid"]

    async def known(ring: SigningKeys) -> list[str]:
        return [key["kid"] for key in (await ring.jwks())["keys"]]

    try:
        first = await asyncio.gather(*map(signer, replicas))
        assert first[0] == first[1]
        now[0] += 950
        old, new = await known(replicas[0])
        assert await signer(replicas[0]) == old == first[0]
        now[0] += 100
        assert [await signer(ring) for ring in replicas] == [new, new]
        assert await known(replicas[1]) == [old, new]
        now[0] += 51
        assert await known(replicas[0]) == await known(replicas[1]) == [new]
    finally:
        await engine.dispose()


async def test_replicas_that_start_at_once_share_their_keys(tmp_path: Path, database: str) -> None:
    async with demo(tmp_path, database=database) as one, demo(tmp_path, database=database) as other:
        found = await asyncio.gather(*(item.http.get("/.well-known/jwks.json") for item in (one, other)))
        assert found[0].json() == found[1].json()
        ada = await sign_up(one)
        answer = await other.http.get("/api/v3/orders", headers=ada.headers)
        assert reason(answer) == (501, "NO_SHOP")  # the token was good there


@pytest.mark.parametrize("cut_off", ["before the account", "before the answer"])
async def test_a_sign_up_that_was_cut_off_is_made_again_with_the_user_that_it_left(
    tmp_path: Path, database: str, cut_off: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"name": "Ada", "email": address(), "password": PASSWORD, "phone": "+491511234567"}
    async with demo(tmp_path, database=database) as running:
        with monkeypatch.context() as patch:
            if cut_off == "before the account":

                async def away(*_: object, **__: object) -> None:
                    raise StoreUnavailableError

                patch.setattr(AuthStore, "add_account", away)
            else:
                create = UserClient.create

                async def unheard(*args: Any, **more: Any) -> None:
                    await create(*args, **more)
                    raise ApiError("DEADLINE_EXCEEDED")

                patch.setattr(UserClient, "create", unheard)
            cut = await running.http.post("/auth/sign-up", json=body)
            assert cut.status_code in {503, 504}
        wanted = body | {"name": "Ada King", "email": body["email"].upper()}
        answers = await asyncio.gather(*(running.http.post("/auth/sign-up", json=wanted) for _ in range(3)))
        # Of several windows at once one has the account, and the user that it is of stays.
        (made,) = [answer for answer in answers if answer.status_code == 201]
        assert {reason(answer) for answer in answers if answer is not made} == {(409, "EMAIL_TAKEN")}
        users = (await running.http.get("/api/v3/users")).json()["users"]
        mine = [user for user in users if user["email"].lower() == body["email"]]
        assert [(user["id"], user["name"]) for user in mine] == [(made.json()["subject"], "Ada King")]
        assert reason(await running.http.post("/auth/sign-up", json=body)) == (409, "EMAIL_TAKEN")
        known = {"email": body["email"], "password": PASSWORD}
        signed_in = await running.http.post("/auth/sign-in", json=known)
        assert signed_in.json()["subject"] == made.json()["subject"]


async def test_operators_are_admins_and_founders_of_tenants_only_of_theirs(tmp_path: Path, database: str) -> None:
    def claims(tokens: dict) -> tuple[list[str], str]:
        found = jwt.decode(tokens["access_token"], options={"verify_signature": False})
        return found["roles"], found.get("tenant", "")

    async with demo(tmp_path, database=database) as running:
        grace, eve = await sign_up(running), await sign_up(running, tenant="eves")
        assert (claims(grace.tokens), claims(eve.tokens)) == (([], ""), (["admin"], "eves"))
    settings = {"GATEWAY_OPERATORS": f"{grace.subject},{eve.subject}"}
    async with demo(tmp_path, database=database, settings=settings) as running:
        for person, found in ((grace, (["admin"], "")), (eve, (["admin"], "eves"))):
            body = {"email": person.email, "password": PASSWORD}
            tokens = (await running.http.post("/auth/sign-in", json=body)).json()
            assert claims(tokens) == found


async def test_the_operator_signs_in_by_the_password_of_the_configuration_and_keeps_no_session(
    tmp_path: Path, database: str
) -> None:
    body = {"email": " Operator ", "password": PASSWORD}
    async with demo(tmp_path, database=database) as running:
        none = await running.http.post("/auth/sign-in", json=body)
        assert reason(none) == (401, "WRONG_CREDENTIALS")
    async with demo(tmp_path, database=database, settings={"GATEWAY_OPERATOR_PASSWORD": PASSWORD}) as running:
        wrong = await running.http.post("/auth/sign-in", json=body | {"password": f"{PASSWORD}!"})
        assert reason(wrong) == (401, "WRONG_CREDENTIALS")
        tokens = (await running.http.post("/auth/sign-in", json=body)).json()
        claims = jwt.decode(tokens["access_token"], options={"verify_signature": False})
        assert (claims["sub"], claims["roles"], claims.get("tenant")) == ("operator", ["admin"], None)
        again = await running.http.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
        assert reason(again) == (401, "REFRESH_TOKEN_INVALID")
        taken = await running.http.post("/auth/sign-up", json={"name": "Eve", **body})
        assert reason(taken) == (400, "INVALID_USER")


async def test_a_short_password_of_the_operator_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="GATEWAY_OPERATOR_PASSWORD: must be 10 to 128 characters long"):
        async with demo(tmp_path, settings={"GATEWAY_OPERATOR_PASSWORD": "short"}):
            pass


async def test_another_issuer_may_take_its_place(tmp_path: Path) -> None:
    issuer = Issuer()
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(issuer.jwks()))
    settings = {"MESHWRIGHT_AUTH_ISSUER": issuer.name, "MESHWRIGHT_AUTH_JWKS": str(file)}
    async with demo(tmp_path, settings=settings) as running:
        token = {"Authorization": f"Bearer {issuer.token('somebody')}"}
        body = {"name": "Ada", "email": address()}
        assert (await running.http.post("/api/v2/users", json=body, headers=token)).status_code == 201
        for method, path in (("GET", "/.well-known/jwks.json"), ("POST", "/auth/sign-in")):
            answer = await running.http.request(method, path, json={"email": "a", "password": "b"})
            assert answer.status_code == 404


async def test_an_access_token_ends_when_it_says(served: Demo, clock):
    ada = await sign_up(served)
    assert reason(await served.http.get("/api/v3/account", headers=ada.headers)) == (501, "NO_SHOP")
    clock.ahead = 306.0
    answer = await served.http.get("/api/v3/account", headers=ada.headers)
    assert reason(answer) == (401, "TOKEN_EXPIRED")
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
