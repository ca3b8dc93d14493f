"""Names that are no paths, redirects, and requests that the token's rules refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from meshwright.client import channel
from meshwright.config import ConsulConfig, ServiceConfig, load_config
from meshwright.consul import Consul, ConsulError, Registration
from meshwright.errors import ValidationError
from meshwright.http import serving
from meshwright.model import Address, InstanceId, ServiceName, path_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

ODD = {
    "": "is empty",
    "/svc": "begins with a slash",
    "a//b": "empty segment",
    "hello-1/../victim": "the segment '..'",
    "..": "the segment '..'",
    "a/.": "the segment '.'",
    "https://x.example/y": "empty segment",
    "a\x01": "U+0001",
    "a\n": "U+000A",
    "a\u200bb": "U+200B",
    "a\xa0b": "U+00A0",
    "a\ud800": "U+D800",
}
FINE = ("hello", "a/b", "a b", "é", "a..b", "...", "a%2e", "x/", "svc.v1", "a?b#c")


@pytest.mark.parametrize(("name", "why"), ODD.items())
def test_a_name_that_consul_would_take_for_another_is_refused_with_the_reason(name: str, why: str) -> None:
    assert why in path_problem(name)
    with pytest.raises(ValidationError, match="service: "):
        Registration(InstanceId("one"), ServiceName(name), Address("127.0.0.1", 1))
    with pytest.raises(ValidationError, match="id: "):
        Registration(InstanceId(name), ServiceName("hello"), Address("127.0.0.1", 1))


@pytest.mark.parametrize("name", FINE)
def test_an_unusual_name_is_a_name(name: str) -> None:
    assert path_problem(name) == ""
    Registration(InstanceId(name), ServiceName(name), Address("127.0.0.1", 1))


@pytest.mark.parametrize("name", ["register", "deregister", "deregister/x", "maintenance/x", "maintenance"])
def test_an_id_that_is_an_endpoint_of_consuls_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="an endpoint of its own"):
        Registration(InstanceId(name), ServiceName(name), Address("127.0.0.1", 1))
    with pytest.raises(ValidationError, match=r"MESHWRIGHT_INSTANCE: .*an endpoint of its own"):
        load_config(ServiceConfig, {"MESHWRIGHT_SERVICE": name, "MESHWRIGHT_INSTANCE": name})


@pytest.mark.parametrize("name", [name for name in ODD if name.strip() == name != "" and name.isprintable()])
def test_a_process_with_such_a_name_does_not_start(name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        load_config(ServiceConfig, {"MESHWRIGHT_SERVICE": name, "MESHWRIGHT_INSTANCE": name})
    assert [problem.path for problem in caught.value.violations] == ["MESHWRIGHT_SERVICE", "MESHWRIGHT_INSTANCE"]
    with pytest.raises(ValidationError, match="the name of a service"):
        channel(name, load_config(ServiceConfig, {}, service="caller"))


REQUESTS: dict[str, Callable[[Consul, str], Coroutine[None, None, object]]] = {
    "instances": lambda consul, name: consul.instances(name),
    "chain": lambda consul, name: consul.discovery_chain(name),
    "entries": lambda consul, name: consul.config_entries(name),
    "entry": lambda consul, name: consul.config_entry("service-defaults", name),
    "delete_entry": lambda consul, name: consul.delete_config_entry("service-defaults", name),
    "deregister": lambda consul, name: consul.deregister(InstanceId(name)),
    "agent_service": lambda consul, name: consul.agent_service(InstanceId(name)),
    "maintenance": lambda consul, name: consul.maintenance(InstanceId(name), True),
    "kv_get": lambda consul, name: consul.kv_get(name),
    "kv_list": lambda consul, name: consul.kv_list(name),
    "kv_put": lambda consul, name: consul.kv_put(name, b""),
    "kv_delete": lambda consul, name: consul.kv_delete(name),
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS.keys())
@pytest.mark.parametrize("name", ["hello-1/../victim", "/a", "a\x01"])
async def test_no_request_is_sent_with_such_a_name(
    request_: Callable[[Consul, str], Coroutine[None, None, object]], name: str
) -> None:
    async with Consul(ConsulConfig(address="127.0.0.1:1")) as consul:
        with pytest.raises(ValidationError, match="what Consul is asked for"):
            await request_(consul, name)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_error_that_names_where_to(status: int) -> None:
    followed: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        followed.append(request.path)
        return web.Response(status=status, headers={"Location": "/v1/agent/service/deregister/victim"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    async with serving(app, "127.0.0.1", 0, grace=0.1) as address, Consul(ConsulConfig(address=str(address))) as consul:
        with pytest.raises(
            ConsulError, match=f"{status} .*a redirect to /v1/agent/service/deregister/victim"
        ) as caught:
            await consul.deregister(InstanceId("hello-1"))
        assert caught.value.status == status
        assert "CONSUL_HTTP_ADDR" in str(caught.value)
    assert followed == ["/v1/agent/service/deregister/hello-1"]


@pytest.mark.parametrize(
    ("request_", "right"),
    [
        ("PUT /v1/agent/service/register", "service:write"),
        ("GET /v1/agent/service/hello-1", "service:read"),
        ("GET /v1/agent/self", "agent:read"),
        ("PUT /v1/config", "service:write"),
        ("GET /v1/discovery-chain/user", "service:read"),
        ("GET /v1/kv/meshwright/policy/", "key:read"),
        ("DELETE /v1/kv/meshwright/policy/user", "key:write"),
    ],
)
def test_what_is_forbidden_says_which_right_it_needs(request_: str, right: str) -> None:
    assert str(ConsulError(request_, 403, "Permission denied")).endswith(
        f"Permission denied; does the token have {right}?"
    )
    assert "does the token" not in str(ConsulError(request_, 500, "no leader"))
