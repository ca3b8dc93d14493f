"""A server with `auth`: no caller is let in unverified, and handlers know the caller."""

from __future__ import annotations

import json

import pytest
from aiohttp import web
from grpc_health.v1 import health_pb2, health_pb2_grpc

import meshwright
from demo.calculator.v1 import calculator_pb2 as pb
from demo.calculator.v1 import calculator_pb2_grpc as rpc
from integration.runtime.calculator import Everything, everything, failure, numbers
from meshwright import http
from meshwright.auth import Auth, JwtVerifier
from meshwright.auth.keys import open_keys
from meshwright.config import AuthConfig
from meshwright.errors import ValidationError
from meshwright.testing import Issuer

ADD = "/demo.calculator.v1.Calculator/Add"
NUMBERS = pb.Numbers(a=1, b=2)


def caller_seen() -> Everything:
    async def act(context) -> float:
        identity = meshwright.caller()
        return float(identity.subject) if identity else -1.0

    return Everything(act)


async def told(call) -> tuple[str, str]:
    details = meshwright.error_details(await failure(call))
    return details.code, details.reason


async def drained(stream) -> list:
    return [message async for message in stream]


async def test_a_call_without_a_token_is_refused_whatever_its_kind() -> None:
    auth = Auth(Issuer().verifier())
    async with everything(Everything(), auth=auth) as calculator:
        unary, streams = rpc.CalculatorStub(calculator.channel), rpc.NumberServiceStub(calculator.channel)
        refused = ("UNAUTHENTICATED", "TOKEN_MISSING")
        assert await told(unary.Add(NUMBERS)) == refused
        assert await told(drained(streams.GetPrimes(pb.PrimeRequest(limit=7)))) == refused
        assert await told(streams.SumNumbers(numbers(1))) == refused
        assert await told(drained(streams.Chat(iter([pb.ChatMessage(text="hi")])))) == refused


async def test_a_call_with_a_token_is_answered_whatever_its_kind() -> None:
    issuer = Issuer()
    async with everything(Everything(), auth=Auth(issuer.verifier())) as calculator:
        unary, streams = rpc.CalculatorStub(calculator.channel), rpc.NumberServiceStub(calculator.channel)
        who = issuer.metadata()
        assert (await unary.Add(NUMBERS, metadata=who)).value == 3
        primes = await drained(streams.GetPrimes(pb.PrimeRequest(limit=7), metadata=who))
        assert [prime.value for prime in primes] == [2, 3, 5, 7]
        assert (await streams.SumNumbers(numbers(1, 2), metadata=who)).value == 3
        chat = await drained(streams.Chat(iter([pb.ChatMessage(text="hi")]), metadata=who))
        assert [message.text for message in chat] == ["HI"]


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [("Basic YTpi", "TOKEN_INVALID"), ("Bearer", "TOKEN_INVALID"), ("Bearer x.y.z", "TOKEN_INVALID")],
)
async def test_what_is_no_token_is_refused(authorization, reason):
    async with everything(Everything(), auth=Auth(Issuer().verifier())) as calculator:
        call = rpc.CalculatorStub(calculator.channel).Add(NUMBERS, metadata=(("authorization", authorization),))
        assert await told(call) == ("UNAUTHENTICATED", reason)


async def test_the_handler_knows_who_calls_and_forgets_with_the_call() -> None:
    issuer = Issuer()
    auth = Auth(issuer.verifier(), public={"/demo.calculator.v1.Calculator/*"})
    async with everything(caller_seen(), auth=auth) as calculator:
        stub = rpc.CalculatorStub(calculator.channel)
        assert (await stub.Multiply(NUMBERS, metadata=issuer.metadata("7"))).value == 7
        assert (await stub.Multiply(NUMBERS)).value == -1
        assert (await stub.Multiply(NUMBERS, metadata=issuer.metadata("8", lifetime=-60))).value == -1
    assert meshwright.caller() is None


async def test_public_methods_need_no_token_and_their_neighbours_do() -> None:
    auth = Auth(Issuer().verifier(), public={ADD})
    async with everything(Everything(), auth=auth) as calculator:
        stub = rpc.CalculatorStub(calculator.channel)
        assert (await stub.Add(NUMBERS)).value == 3
        assert await told(stub.Multiply(NUMBERS)) == ("UNAUTHENTICATED", "TOKEN_MISSING")


async def test_health_is_asked_without_a_token() -> None:
    async with everything(Everything(), auth=Auth(Issuer().verifier())) as calculator:
        stub = health_pb2_grpc.HealthStub(calculator.channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_who_is_known_may_still_not_do_everything() -> None:
    issuer = Issuer()
    auth = Auth(issuer.verifier(), allow={ADD: lambda identity: "admin" in identity.claims.get("roles", ())})
    async with everything(Everything(), auth=auth) as calculator:
        stub = rpc.CalculatorStub(calculator.channel)
        assert await told(stub.Add(NUMBERS, metadata=issuer.metadata())) == ("PERMISSION_DENIED", "NOT_ALLOWED")
        assert (await stub.Add(NUMBERS, metadata=issuer.metadata(roles=["admin"]))).value == 3
        assert (await stub.Multiply(NUMBERS, metadata=issuer.metadata())).value == 2


async def test_a_rule_for_an_unserved_method_is_refused_at_the_start() -> None:
    auth = Auth(Issuer().verifier(), public={"/demo.calculator.v1.Calculator/Ad"})
    with pytest.raises(ValidationError, match="Calculator/Ad: is no method that is served here"):
        async with everything(Everything(), auth=auth):
            pass
    with pytest.raises(ValueError, match="neither /package"):
        Auth(Issuer().verifier(), public={"demo.calculator.v1.Calculator/Add"})


async def test_keys_are_fetched_from_the_issuer_and_again_when_they_change() -> None:
    issuer = Issuer()

    async def jwks(_request: web.Request) -> web.Response:
        return web.Response(text=json.dumps(issuer.jwks()), content_type="application/json")

    app = web.Application()
    app.router.add_get("/jwks.json", jwks)
    async with http.serving(app, "127.0.0.1", 0) as address:
        config = AuthConfig(issuer.name, f"http://{address}/jwks.json", (issuer.audience,))
        async with everything(Everything(), auth=Auth.configured(config)) as calculator:
            stub = rpc.CalculatorStub(calculator.channel)
            assert (await stub.Add(NUMBERS, metadata=issuer.metadata())).value == 3
        keys = open_keys(config.jwks, min_interval=0.0)
        auth = Auth(JwtVerifier(keys, issuer=config.issuer, audience=config.audience))
        async with everything(Everything(), auth=auth) as calculator:
            stub = rpc.CalculatorStub(calculator.channel)
            assert (await stub.Add(NUMBERS, metadata=issuer.metadata())).value == 3
            issuer.rotate()
            assert (await stub.Add(NUMBERS, metadata=issuer.metadata())).value == 3


async def test_keys_that_cannot_be_fetched_are_nobodys_fault() -> None:
    config = AuthConfig("https://issuer.test", "http://127.0.0.1:1/jwks.json", ("meshwright",))
    auth = Auth.configured(config)
    async with everything(Everything(), auth=auth) as calculator:
        stub = rpc.CalculatorStub(calculator.channel)
        call = stub.Add(NUMBERS, metadata=Issuer().metadata())
        assert await told(call) == ("UNAVAILABLE", "KEYS_UNAVAILABLE")


def test_an_issuer_without_keys_is_refused_in_the_environment() -> None:
    assert Auth.configured(meshwright.load_config(AuthConfig, {})) is None
    with pytest.raises(ValidationError, match="MESHWRIGHT_AUTH_JWKS: is required"):
        meshwright.load_config(AuthConfig, {"MESHWRIGHT_AUTH_ISSUER": "https://issuer.test"})
