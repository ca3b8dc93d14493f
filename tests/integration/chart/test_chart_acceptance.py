"""`helm test`: which pods render, and that each check sees what is there and says what is missing."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from integration.chart.prometheus import rendered
from meshwright import http
from meshwright.acceptance import MissingError
from meshwright.consul import Consul, Registration
from meshwright.model import Address, InstanceId, ServiceName
from meshwright_operator import acceptance
from services import acceptance as demo_acceptance
from support.consul.servers import dev_consul

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator
    from types import ModuleType

BASIC = ("registry", "call", "event", "rollout", "lease", "policy")


def hooks(*settings: str) -> dict[str, dict[str, Any]]:
    """The pods that `helm test` runs, by their check, in the order of their weights."""
    pods = [
        each
        for each in rendered(*settings)
        if each["kind"] == "Pod" and each["metadata"]["annotations"].get("helm.sh/hook") == "test"
    ]
    pods.sort(key=lambda pod: int(pod["metadata"]["annotations"]["helm.sh/hook-weight"]))
    return {pod["spec"]["containers"][0]["name"]: pod for pod in pods}


def arguments(pod: dict[str, Any]) -> list[str]:
    module, *rest = pod["spec"]["containers"][0]["args"]
    assert module == of_check(rest[0]).__name__
    return rest


def of_check(name: str) -> ModuleType:
    """The module that has the check."""
    return demo_acceptance if name in demo_acceptance.CHECKS else acceptance


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ((), BASIC),
        (("demo.services=basic",), BASIC),
        (("demo.enabled=false",), ("rollout", "lease", "policy")),
        (("operator.enabled=false",), ("registry", "call", "event", "policy")),
        (("operator.clusterwide=true",), ("registry", "call", "event", "rollout", "policy")),
        (("networkPolicy.enabled=false",), ("registry", "call", "event", "rollout", "lease")),
        (("consul.external=consul.example:8500", "jaeger.external=http://jaeger.example:4317"), BASIC),
    ],
)
def test_tests_that_do_not_apply_are_not_rendered_and_all_others_can_be_parsed(
    settings: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    found = hooks(*settings)
    assert tuple(found) == expected
    for name, pod in found.items():
        assert of_check(name).parser().parse_args(arguments(pod)).check == name


def test_only_what_asks_the_api_server_has_a_token_and_a_stranger_has_no_label_of_the_release() -> None:
    found = hooks()
    with_token = {name for name, pod in found.items() if pod["spec"]["automountServiceAccountToken"]}
    assert with_token == {"rollout", "lease"}
    assert found["policy"]["metadata"]["labels"] == {"app.kubernetes.io/name": "stranger"}
    assert found["call"]["metadata"]["labels"]["app.kubernetes.io/instance"] == "mw"


def test_the_account_of_the_tests_may_do_this_and_nothing_else() -> None:
    (role,) = [each for each in rendered() if each["kind"] == "Role" and each["metadata"]["name"].startswith("mw-test")]
    assert role["rules"] == [
        {"apiGroups": ["meshwright.dev"], "resources": ["versionedrollouts"], "verbs": ["create"]},
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "resourceNames": ["meshwright-operator"],
            "verbs": ["get"],
        },
    ]


def test_the_gateway_which_registers_nowhere_is_not_looked_for_in_consul() -> None:
    assert arguments(hooks("demo.services=basic")["registry"]) == ["registry", "calculator", "user"]


def test_external_parts_are_asked_where_they_are() -> None:
    outside = ("jaeger.external=http://otel.example:4317", "jaeger.query=http://jaeger.example:16686")
    assert arguments(hooks(*outside)["call"])[-2:] == ["--traces", "http://jaeger.example:16686"]
    assert "http" not in arguments(hooks(outside[0])["call"])[-1]
    assert not [part for part in arguments(hooks("consul.external=c:8500")["policy"]) if "consul" in part]


def options(*given: str) -> argparse.Namespace:
    parsed: argparse.Namespace = of_check(given[0]).parser().parse_args(["--patience", "1", *given])
    return parsed


class Release:
    """The gateway, and Jaeger, as the checks see them."""

    def __init__(self) -> None:
        self.result = 3.0
        self.services: list[str] = ["gateway", "calculator"]
        self.generation = 2
        self.views = 200
        self.published = 0
        self.publishes = 1
        self.left: list[str] = []

    def app(self) -> web.Application:
        made = web.Application()
        made.router.add_post("/api/v1/calculator/add", self.add)
        made.router.add_get("/api/v3/traces/{id}", self.newer)
        made.router.add_get("/api/traces/{id}", self.older)
        made.router.add_post("/auth/sign-up", self.sign_up)
        made.router.add_get("/api/v3/views/{id}", self.view)
        made.router.add_delete("/api/v3/users/{id}", self.leave)
        made.router.add_get("/metrics", self.metrics)
        return made

    async def add(self, request: web.Request) -> web.Response:
        assert request.headers["traceparent"].endswith("-01")
        return web.json_response({"value": self.result})

    async def newer(self, _: web.Request) -> web.Response:
        if self.generation == 1:
            return web.Response(text="<html>", content_type="text/html")
        spans = [
            {"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": name}}]}, "scopeSpans": []}
            for name in self.services
        ]
        return web.json_response({"result": {"resourceSpans": spans}})

    async def older(self, _: web.Request) -> web.Response:
        processes = {f"p{index}": {"serviceName": name} for index, name in enumerate(self.services)}
        return web.json_response({"data": [{"processes": processes}] if processes else []})

    async def sign_up(self, _: web.Request) -> web.Response:
        self.published += self.publishes
        return web.json_response({"access_token": "t"}, status=201, headers={"location": "/api/v3/users/u-1"})

    async def view(self, request: web.Request) -> web.Response:
        assert request.headers["authorization"] == "Bearer t"
        return web.json_response({}, status=self.views)

    async def leave(self, request: web.Request) -> web.Response:
        self.left.append(request.match_info["id"])
        return web.Response(status=204)

    async def metrics(self, _: web.Request) -> web.Response:
        return web.Response(text=f'{demo_acceptance.OUTBOX}{{source="user"}} {self.published}\n')


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[tuple[Release, str]]:
    release = Release()
    async with http.serving(release.app(), "127.0.0.1", 0) as address:
        yield release, str(address)


@pytest.mark.parametrize("generation", [1, 2])
async def test_a_call_and_its_trace_are_looked_for_in_either_generation_of_jaeger(generation: int) -> None:
    async with serving() as (release, address):
        release.generation = generation
        asked = options("call", "--gateway", f"http://{address}", "--traces", f"http://{address}")
        assert "has calculator, gateway" in await demo_acceptance.call(asked)
        release.services = ["gateway"]
        with pytest.raises(MissingError, match=r"has spans of \['gateway'\]"):
            await demo_acceptance.call(asked)
        release.result = 4
        with pytest.raises(MissingError, match=r"1 \+ 2 is 4"):
            await demo_acceptance.call(asked)
    with pytest.raises(MissingError, match="after 1 s"):
        await demo_acceptance.call(asked)


async def test_an_event_arrives_at_the_read_side_and_the_user_is_taken_away_again() -> None:
    async with serving() as (release, address):
        asked = options("event", "--gateway", f"http://{address}", "--views")
        assert "arrived at the read side" in await demo_acceptance.event(asked)
        release.views = 404
        with pytest.raises(MissingError, match="the read side answered 404"):
            await demo_acceptance.event(asked)
        assert release.left == ["u-1", "u-1"]


async def test_without_a_read_side_the_stream_takes_the_event(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as (release, address), dev_consul() as registry, Consul(registry.config) as consul:
        monkeypatch.setenv("CONSUL_HTTP_ADDR", str(registry.config.address))
        place = Address.parse(address)
        meta = {"metrics_port": str(place.port), "version": "1.0.0"}
        name = ServiceName("user")
        await consul.register(Registration(InstanceId("user-1"), name, place, meta=meta, grpc_check=None))
        asked = options("event", "--gateway", f"http://{address}")
        assert "in its stream on NATS" in await demo_acceptance.event(asked)
        release.publishes = 0
        with pytest.raises(MissingError, match="no instance of user has published an event"):
            await demo_acceptance.event(asked)
        assert await acceptance.registry(options("registry", "user")) == "Consul has 1 user"
        with pytest.raises(MissingError, match="no passing instance of order"):
            await acceptance.registry(options("registry", "user", "order"))


def test_a_part_that_is_away_is_named_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSUL_HTTP_ADDR", "127.0.0.1:1")
    for check in (("registry", "user"), ("event", "--gateway", "http://127.0.0.1:1")):
        with pytest.raises(SystemExit, match=rf"{check[0]}: FAILED: .*127\.0\.0\.1:1"):
            of_check(check[0]).main(["--patience", "0.1", *check])


async def test_a_policy_is_enforced_or_not_or_has_a_hole() -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        open_, closed = f"127.0.0.1:{port}", "127.0.0.1:1"
        assert "does not reach" in await acceptance.policy(options("policy", "--open", open_, closed))
        assert (await acceptance.policy(options("policy", open_))).startswith("NOT ENFORCED")
        with pytest.raises(MissingError, match="and should not"):
            await acceptance.policy(options("policy", "--enforced", open_))
        with pytest.raises(MissingError, match=f"reaches {open_}, and should not"):
            await acceptance.policy(options("policy", open_, closed))
        with pytest.raises(MissingError, match="every pod must reach it"):
            await acceptance.policy(options("policy", "--open", closed, closed))
