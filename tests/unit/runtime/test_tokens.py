"""Which tokens a verifier takes, and why it refuses the others."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from meshwright.auth import JwtVerifier
from meshwright.auth.keys import ReadKeys, parse
from meshwright.errors import UnauthenticatedError, UnavailableError, ValidationError
from meshwright.testing import Issuer

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_800_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=["ES256", "RS256"])
def issuer(request: pytest.FixtureRequest) -> Issuer:
    return Issuer(algorithm=request.param, clock=Clock())


async def refusal(verifier: JwtVerifier, token: str) -> tuple[str, str]:
    with pytest.raises(UnauthenticatedError) as caught:
        await verifier.verify(token)
    assert verifier.known(token) is None
    return caught.value.reason, caught.value.message


def unsigned(header: dict, claims: dict) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims)]
    return ".".join(parts)


async def test_a_good_token_names_its_subject_and_claims(issuer: Issuer) -> None:
    verifier = issuer.verifier()
    identity = await verifier.verify(issuer.token("ada", tenant="acme"))
    assert (identity.subject, identity.claims["tenant"]) == ("ada", "acme")
    with pytest.raises(TypeError):
        identity.claims["sub"] = "eve"


@pytest.mark.parametrize(
    ("claims", "refused"),
    [
        ({"lifetime": -5.0}, ("TOKEN_EXPIRED", "the token has expired")),
        ({"nbf": NOW + 6}, ("TOKEN_NOT_YET_VALID", "the token is not valid yet")),
        ({"iat": NOW + 6}, ("TOKEN_NOT_YET_VALID", "the token is not valid yet")),
        ({"aud": "somebody"}, ("TOKEN_INVALID", "the token has an invalid audience")),
        ({"aud": None}, ("TOKEN_INVALID", "the token has an invalid audience")),
        ({"iss": "https://else.test"}, ("TOKEN_INVALID", "the token is of another issuer")),
        ({"exp": None}, ("TOKEN_INVALID", "the token has no expiry")),
        ({"exp": "tomorrow"}, ("TOKEN_INVALID", "the token's exp is no time")),
        ({"sub": None}, ("TOKEN_INVALID", "the token names no subject")),
    ],
)
async def test_a_token_that_is_not_right_is_refused_with_what_is_wrong(issuer: Issuer, claims, refused):
    assert await refusal(issuer.verifier(), issuer.token(**claims)) == refused


async def test_clocks_may_differ_a_little(issuer: Issuer) -> None:
    verifier = issuer.verifier()
    assert (await verifier.verify(issuer.token(lifetime=-4.0))).subject == "user-1"
    assert (await verifier.verify(issuer.token(nbf=NOW + 4))).subject == "user-1"


async def test_one_of_several_audiences_suffices(issuer: Issuer) -> None:
    verifier = JwtVerifier(issuer.jwks(), issuer=issuer.name, audience=["a", "b"], clock=issuer.clock)
    assert (await verifier.verify(issuer.token(aud=["b", "c"]))).subject == "user-1"


async def test_an_algorithm_of_none_is_refused(issuer: Issuer) -> None:
    claims = {"iss": issuer.name, "aud": issuer.audience, "sub": "eve", "exp": NOW + 60}
    for alg in ("none", "None", "nOnE"):
        token = unsigned({"alg": alg, "typ": "JWT", "kid": issuer.kid}, claims) + "."
        assert (await refusal(issuer.verifier(), token))[0] == "TOKEN_INVALID"


async def test_a_public_key_does_not_serve_as_a_shared_secret(issuer: Issuer) -> None:
    secret = issuer.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    claims = {"iss": issuer.name, "aud": issuer.audience, "sub": "eve", "exp": NOW + 60}
    text = unsigned({"alg": "HS256", "typ": "JWT", "kid": issuer.kid}, claims)
    signature = base64.urlsafe_b64encode(hmac.new(secret, text.encode(), hashlib.sha256).digest()).rstrip(b"=")
    told = await refusal(issuer.verifier(), f"{text}.{signature.decode()}")
    assert told == ("TOKEN_INVALID", "the token's algorithm is not its key's")


async def test_another_key_under_the_same_id_is_refused(issuer: Issuer) -> None:
    other = Issuer(algorithm=issuer.algorithm, clock=issuer.clock)
    claims = jwt.decode(other.token(), options={"verify_signature": False})
    forged = jwt.encode(claims, other.key, algorithm=other.algorithm, headers={"kid": issuer.kid})
    assert await refusal(issuer.verifier(), forged) == ("TOKEN_INVALID", "the token's signature is wrong")


@pytest.mark.parametrize("token", ["", "garbage", "a.b.c", "..", "e30.e30.e30", "\x00\xff", "a." * 9000])
async def test_garbage_is_refused(issuer: Issuer, token):
    assert (await refusal(issuer.verifier(), token))[0] == "TOKEN_INVALID"


async def test_a_token_whose_header_names_odd_things_is_refused(issuer: Issuer) -> None:
    for header in ({"kid": "unknown"}, {"kid": ""}, {"crit": ["urgent"], "urgent": True}):
        token = jwt.encode({"sub": "eve"}, issuer.key, algorithm=issuer.algorithm, headers={"kid": issuer.kid} | header)
        assert (await refusal(issuer.verifier(), token))[0] == "TOKEN_INVALID"


async def test_what_is_remembered_ends_when_the_token_does(issuer: Issuer) -> None:
    verifier, token = issuer.verifier(), issuer.token(lifetime=60.0)
    identity = await verifier.verify(token)
    assert verifier.known(token) is identity
    issuer.clock.now += 64.9
    assert verifier.known(token) is identity
    issuer.clock.now += 0.1
    assert verifier.known(token) is None
    assert (await refusal(verifier, token))[0] == "TOKEN_EXPIRED"


async def test_only_so_many_tokens_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshwright.auth.verifier.REMEMBERED", 2)
    issuer = Issuer(clock=Clock())
    verifier = issuer.verifier()
    tokens = [issuer.token(f"user-{number}") for number in range(3)]
    for token in tokens:
        await verifier.verify(token)
    assert [verifier.known(token) is not None for token in tokens] == [False, True, True]


def test_keys_that_must_not_verify_are_left_out(issuer: Issuer) -> None:
    short = jwt.algorithms.RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key(), as_dict=True)
    private = jwt.get_algorithm_by_name(issuer.algorithm).to_jwk(issuer.key, as_dict=True)
    good = issuer.jwks()["keys"][0]
    document = {
        "keys": [
            {"kty": "oct", "k": "c2VjcmV0", "kid": "shared", "alg": "HS256"},
            short | {"kid": "short"},
            private | {"kid": "private"},
            good | {"kid": "for encryption", "use": "enc"},
            {"kty": "EC", "crv": "P-256", "x": "?", "kid": "broken"},
            7,
            good,
        ]
    }
    assert list(parse(document).keys) == [issuer.kid]


@pytest.mark.parametrize("document", [None, [], {}, {"keys": {}}])
def test_what_is_no_key_set_is_refused(document):
    with pytest.raises(ValueError, match="is not a JWKS document"):
        parse(document)


class Source:
    """Keys that are read from an issuer, and how often; None: it cannot be reached."""

    def __init__(self, issuer: Issuer) -> None:
        self.issuer: Issuer | None = issuer
        self.reads = 0
        self.clock = Clock()
        self.keys = ReadKeys(self.read, "test", max_age=300.0, min_interval=10.0, clock=self.clock)
        self.verifier = JwtVerifier(self.keys, issuer=issuer.name, audience=issuer.audience, clock=issuer.clock)

    async def read(self) -> dict:
        self.reads += 1
        if self.issuer is None:
            raise OSError("no route")
        return self.issuer.jwks()


async def test_keys_are_read_once_for_many_tokens(issuer: Issuer) -> None:
    source = Source(issuer)
    for number in range(5):
        await source.verifier.verify(issuer.token(f"user-{number}"))
    assert source.reads == 1


async def test_a_new_key_is_found_when_a_token_names_it(issuer: Issuer) -> None:
    source = Source(issuer)
    await source.verifier.verify(issuer.token())
    issuer.rotate()
    source.clock.now += 10
    assert (await source.verifier.verify(issuer.token("new"))).subject == "new"
    assert source.reads == 2


async def test_made_up_key_ids_do_not_make_us_read_without_end(issuer: Issuer) -> None:
    source = Source(issuer)
    await source.verifier.verify(issuer.token())
    source.clock.now += 10
    for _ in range(20):
        stranger = Issuer(issuer.name, clock=issuer.clock)
        assert (await refusal(source.verifier, stranger.token()))[0] == "TOKEN_INVALID"
    assert source.reads == 2


async def test_a_key_that_was_withdrawn_verifies_no_longer_even_what_is_remembered(issuer: Issuer) -> None:
    source = Source(issuer)
    token = issuer.token(lifetime=3600)
    await source.verifier.verify(token)
    issuer.rotate(keep=False)
    assert source.verifier.known(token) is not None
    source.clock.now += 300
    assert source.verifier.known(token) is None
    assert (await refusal(source.verifier, token))[0] == "TOKEN_INVALID"


async def test_an_issuer_that_is_away_does_not_take_its_keys_with_it(issuer: Issuer) -> None:
    source = Source(issuer)
    await source.verifier.verify(issuer.token())
    source.issuer = None
    source.clock.now += 300
    for number in range(3):
        assert (await source.verifier.verify(issuer.token(f"user-{number}"))).subject == f"user-{number}"
    assert source.reads == 2


async def test_without_any_keys_no_token_is_refused_for_good(issuer: Issuer) -> None:
    source = Source(issuer)
    source.issuer = None
    with pytest.raises(UnavailableError) as caught:
        await source.verifier.verify(issuer.token())
    assert caught.value.reason == "KEYS_UNAVAILABLE"
    source.issuer = issuer
    source.clock.now += 1
    assert (await source.verifier.verify(issuer.token())).subject == "user-1"


async def test_keys_come_from_a_file_too(issuer: Issuer, tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(issuer.jwks()))
    verifier = JwtVerifier(file, issuer=issuer.name, audience=issuer.audience, clock=issuer.clock)
    assert (await verifier.verify(issuer.token())).subject == "user-1"


def test_another_kind_of_address_is_refused() -> None:
    with pytest.raises(ValidationError, match="must be a file or an http"):
        JwtVerifier("ftp://keys", issuer="x", audience="y")
