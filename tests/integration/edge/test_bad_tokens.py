"""Tokens that are not good: each is refused with 401, a reason for programs, and what RFC 6750 wants in the header."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from support.demo.people import PASSWORD, address, reason, sign_up

if TYPE_CHECKING:
    import httpx

    from support.demo.gateway import Demo
    from support.demo.people import Person


async def ask(served: Demo, token: str) -> httpx.Response:
    return await served.http.get("/api/v3/account", headers={"Authorization": f"Bearer {token}"})


def segment(document: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


async def forged(served: Demo, person: Person, **changes: Any) -> str:
    """The person's token with other claims, signed by the gateway's own key."""
    claims = jwt.decode(person.tokens["access_token"], options={"verify_signature": False}) | changes
    claims = {name: value for name, value in claims.items() if value is not None}
    assert served.edge.issuer
    return await served.edge.issuer.keys.sign(claims, "at+jwt")


async def test_a_token_without_a_signature_or_with_anothers_is_refused(served: Demo) -> None:
    person = await sign_up(served)
    good = person.tokens["access_token"]
    header, claims = jwt.get_unverified_header(good), jwt.decode(good, options={"verify_signature": False})
    head, body, signature = good.split(".")
    stranger = ec.generate_private_key(ec.SECP256R1())
    known = await served.http.get("/.well-known/jwks.json")
    public = jwt.PyJWK(known.json()["keys"][0]).key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    flipped = ("A" if signature[0] != "A" else "B") + signature[1:]
    bad = {
        "none": f"{segment({**header, 'alg': 'none'})}.{body}.",
        "None": f"{segment({**header, 'alg': 'None'})}.{body}.{signature}",
        "a stranger's": jwt.encode(claims, stranger, "ES256", headers={"kid": header["kid"]}),
        "an unknown key": jwt.encode(claims, stranger, "ES256", headers={"kid": "nobody"}),
        "no key": jwt.encode(claims, stranger, "ES256"),
        "the public key as a secret": _hmac(header, claims, public),
        "another algorithm": jwt.encode(
            claims, rsa.generate_private_key(65537, 2048), "RS256", headers={"kid": header["kid"]}
        ),
        "other claims": f"{head}.{segment({**claims, 'sub': 'root', 'roles': ['admin']})}.{signature}",
        "a spoilt signature": f"{head}.{body}.{flipped}",
        "no signature": f"{head}.{body}.",
        "two parts": f"{head}.{body}",
        "five parts": f"{good}.x.y",
        "no JSON": f"{head}.!!!.{signature}",
        "not a token": "nonsense",
        "long": "x" * 20_000,
        "nested": f"{base64.urlsafe_b64encode(b'[' * 9000).decode()}.{body}.{signature}",
        "a key to fetch": jwt.encode(claims, stranger, "ES256", headers={"jku": "http://evil.example", "kid": "e"}),
    }
    for what, token in bad.items():
        response = await ask(served, token)
        assert response.status_code == 401, (what, response.text)
        assert response.json()["reason"] in {"TOKEN_INVALID", "TOKEN_UNKNOWN_KEY", "TOKEN_MALFORMED"}, what
        assert response.headers["WWW-Authenticate"].startswith("Bearer"), what
        assert 'error="invalid_token"' in response.headers["WWW-Authenticate"], what
    good_one = await ask(served, good)
    assert (good_one.status_code, good_one.json()["reason"]) == (501, "NO_SHOP")


def _hmac(header: dict, claims: dict, secret: bytes) -> str:
    """What a verifier falls for that lets the token choose: HS256 with the public key as the secret."""
    import hashlib  # noqa: PLC0415
    import hmac  # noqa: PLC0415

    signed = f"{segment({**header, 'alg': 'HS256'})}.{segment(claims)}"
    mac = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


CHANGES = [
    ({"exp": 1}, "TOKEN_EXPIRED"),
    ({"exp": None}, "TOKEN_INVALID"),
    ({"nbf": 4_000_000_000, "exp": 4_100_000_000}, "TOKEN_NOT_YET_VALID"),
    ({"aud": "another"}, "TOKEN_INVALID"),
    ({"aud": None}, "TOKEN_INVALID"),
    ({"iss": "https://evil.example"}, "TOKEN_INVALID"),
    ({"iss": None}, "TOKEN_INVALID"),
    ({"sub": None}, "TOKEN_INVALID"),
    ({"sub": ""}, "TOKEN_INVALID"),
    ({"aud": 7}, "TOKEN_INVALID"),
    ({"aud": [7]}, "TOKEN_INVALID"),
    ({"exp": float("nan")}, "TOKEN_INVALID"),
    ({"exp": float("inf")}, "TOKEN_INVALID"),
    ({"exp": 10**400}, "TOKEN_INVALID"),
    ({"nbf": 10**400}, "TOKEN_INVALID"),
]


async def test_a_token_of_the_wrong_time_audience_or_issuer_is_refused(served: Demo) -> None:
    person = await sign_up(served)
    for changes, expected in CHANGES:
        assert reason(await ask(served, await forged(served, person, **changes))) == (401, expected), changes


async def test_a_header_of_another_form_is_refused(served: Demo) -> None:
    for header in ("Bearer", "Basic YTpi", "bearer x y", "Token abc", "Bearer \x7f"):
        response = await served.http.get("/api/v3/account", headers={"Authorization": header})
        assert response.status_code == 401, header
        assert response.headers["WWW-Authenticate"].startswith("Bearer"), header


async def test_of_two_tokens_none_is_taken(served: Demo) -> None:
    good = (await sign_up(served)).tokens["access_token"]
    twice = [("Authorization", f"Bearer {good}"), ("Authorization", f"Bearer {good}")]
    assert reason(await served.http.get("/api/v3/account", headers=twice)) == (401, "TOKEN_INVALID")


async def test_a_bad_token_is_refused_also_where_none_is_needed_and_not_where_one_gets_a_new_one(served: Demo) -> None:
    bad = {"Authorization": "Bearer nonsense"}
    assert (await served.http.get("/api/v1/users", headers=bad)).status_code == 401
    assert (await served.http.get("/.well-known/jwks.json", headers=bad)).status_code == 200
    body = {"email": "nobody@example.org", "password": "x" * 12}
    assert reason(await served.http.post("/auth/sign-in", json=body, headers=bad)) == (401, "WRONG_CREDENTIALS")
    # Nor does one that could not even be sent on keep a user from signing up.
    for value in (b"Bearer \xe9", b"Bearer \x7f", b"Bearer " + b"x" * 20_000):
        body = {"name": "Ada", "email": address(), "password": PASSWORD}
        made = await served.http.post("/auth/sign-up", json=body, headers={"Authorization": value})
        assert made.status_code == 201, value[:10]
