"""JSON-RPC 2.0 at /rpc, by its specification (https://www.jsonrpc.org/specification)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from support.demo.gateway import Demo, demo
from support.demo.people import address

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

HEADERS = {"Content-Type": "application/json"}
MISSING = "00000000-0000-7000-8000-000000000000"


async def post(served: Demo, body: Any) -> Any:
    """The answer's JSON; None where there is none."""
    content = body if isinstance(body, str | bytes) else json.dumps(body)
    response = await served.http.post("/rpc", content=content, headers=HEADERS)
    if response.status_code == 204:
        assert response.content == b""
        return None
    assert response.status_code == 200, response.text
    return response.json()


def request(method: str, params: Any = None, **more: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": method, **({} if params is None else {"params": params}), **more}


async def test_params_go_by_position_or_by_name_and_ids_come_back_as_they_went(served: Demo) -> None:
    for params in ([42, 23], {"a": 42, "b": 23}, {"b": 23, "a": 42}):
        for number in (1, "one", 1.5, None, 0, ""):
            answer = await post(served, request("add", params, id=number))
            assert answer == {"jsonrpc": "2.0", "result": 65.0, "id": number}


async def test_a_notification_is_carried_out_and_not_answered(served: Demo) -> None:
    email = address()
    assert await post(served, request("createUser", {"name": "Ada", "email": email})) is None
    taken = await post(served, request("createUser", {"name": "Ada", "email": email}, id=1))
    assert taken["error"]["data"]["reason"] == "EMAIL_TAKEN"
    assert await post(served, request("nothing")) is None
    assert await post(served, request("add", ["x"])) is None


NO_REQUESTS = [
    ('{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]', -32700),
    ('[{"jsonrpc": "2.0", "method": "add", "params": [1,2], "id": "1"}, {"jsonrpc": "2.0", "method"', -32700),
    (b"\xff\xfe", -32700),
    ("NaN", -32700),
    ("[" * 2000, -32700),
    ({"jsonrpc": "2.0", "method": 1, "params": "bar"}, -32600),
    ([], -32600),
    (1, -32600),
    ("null", -32600),
    ('"add"', -32600),
    ({"jsonrpc": "1.0", "method": "add", "id": None}, -32600),
    ({"method": "add"}, -32600),
    (request("add", 7), -32600),
    (request("add", "ab"), -32600),
    ({**request("add", [1, 2]), "id": {"a": 1}}, -32600),
    ({**request("add", [1, 2]), "id": True}, -32600),
    ('{"jsonrpc": "2.0", "method": "add", "params": [1, 2], "id": 1e999}', -32600),
    ({**request("add", [1, 2]), "extra": 1}, -32600),
]


async def test_what_is_no_request_is_refused_without_an_id(served: Demo) -> None:
    for body, code in NO_REQUESTS:
        answer = await post(served, body)
        assert (answer["jsonrpc"], answer["error"]["code"], answer["id"]) == ("2.0", code, None), body
        assert answer["error"]["message"] == {-32700: "Parse error", -32600: "Invalid Request"}[code]


async def test_what_is_wrong_with_a_call_is_told_by_the_specifications_codes(served: Demo) -> None:
    calls = {
        -32601: request("foobar", id="1"),
        -32602: request("add", [1, 2, 3], id="1"),
        -32001: request("getUser", [MISSING], id="1"),
    }
    for code, call in calls.items():
        answer = await post(served, call)
        assert (answer["error"]["code"], answer["id"]) == (code, "1")
    for params in ([1], {"a": 1}, {"a": 1, "c": 2}, {"a": "x", "b": 2}, [None, 1], {"a": True, "b": 1}):
        assert (await post(served, request("add", params, id=1)))["error"]["code"] == -32602, params
    wrong = await post(served, request("createUser", {"name": "", "email": "nobody"}, id=1))
    assert wrong["error"]["code"] == -32602
    assert {item["field"] for item in wrong["error"]["data"]["errors"]} == {"name", "email"}


async def test_a_service_that_is_away_is_an_error_of_the_server(served: Demo) -> None:
    await served.calculator.stop()
    answer = await post(served, request("add", [1, 2], id=1))
    assert answer["error"]["code"] == -32009
    assert answer["error"]["data"] == {"code": "UNAVAILABLE", "reason": "", "status": 503}
    assert "127.0.0.1" not in json.dumps(answer)


async def test_a_bug_is_an_internal_error_that_tells_nothing(served: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_arguments: Any) -> float:
        raise ZeroDivisionError("of no concern to you")

    monkeypatch.setattr("services.gateway.api.calculator.client.CalculatorClient.add", broken)
    answer = await post(served, request("add", [1, 2], id=1))
    assert answer["error"] == {"code": -32603, "message": "Internal error"}


async def test_a_batch_is_answered_as_the_specification_has_it(served: Demo) -> None:
    batch = [
        request("add", [1, 2], id="1"),
        request("multiply", [7, 2]),
        {"foo": "boo"},
        request("foo.get", {"name": "myself"}, id="5"),
        request("multiply", [3, 3], id=9),
        1,
    ]
    answers = await post(served, batch)
    assert [(item["id"], item.get("result"), item.get("error", {}).get("code")) for item in answers] == [
        ("1", 3.0, None),
        (None, None, -32600),
        ("5", None, -32601),
        (9, 9.0, None),
        (None, None, -32600),
    ]
    assert await post(served, [request("add", [1, 2]), request("nothing")]) is None
    assert [item["error"]["code"] for item in await post(served, [1, 2, 3])] == [-32600] * 3


async def test_a_batch_has_a_largest_size(served: Demo) -> None:
    # The body's own limit is low in tests: short requests.
    small = [{"jsonrpc": "2.0", "method": "x", "id": 1}] * 45
    assert len(await post(served, json.dumps(small, separators=(",", ":")))) == 45
    many = json.dumps([1] * 51, separators=(",", ":"))
    assert (await post(served, many))["error"]["data"] == "a batch may hold 50 requests at most"


async def test_the_requests_of_a_batch_count_one_by_one(tmp_path: Path) -> None:
    async with demo(tmp_path, settings={"GATEWAY_RATE": "0.001", "GATEWAY_BURST": "10"}) as served:
        batch = [request("add", [1, 2], id=number) for number in range(6)]
        assert len(await post(served, batch)) == 6
        refused = await post(served, batch)
        assert (refused["error"]["code"], refused["id"]) == (-32007, None)
        assert refused["error"]["data"]["retry_after"] > 0
        assert len(await post(served, batch[:3])) == 3
        answer = await served.http.post("/rpc", json=batch[0])
        assert (answer.status_code, answer.headers["content-type"]) == (429, "application/problem+json")


async def test_users_live_by_json_rpc_alone(served: Demo) -> None:
    made = (await post(served, request("createUser", {"name": "Ada", "email": address()}, id=1)))["result"]
    assert (await post(served, request("getUser", {"id": made["id"]}, id=1)))["result"]["name"] == "Ada"
    changed = await post(served, request("updateUser", {"id": made["id"], "name": "Ada King"}, id=1))
    assert changed["result"]["name"] == "Ada King"
    assert (await post(served, request("validateUser", [made["id"]], id=1)))["result"]["is_valid"] is True
    assert (await post(served, request("getUserSummary", [made["id"]], id=1)))["result"]["points"] >= 0
    listed = (await post(served, request("listUsers", {"limit": 10}, id=1)))["result"]
    assert made["id"] in {user["id"] for user in listed["users"]}
    assert "error" not in await post(served, request("deleteUser", [made["id"]], id=1))
    assert (await post(served, request("getUser", [made["id"]], id=1)))["error"]["code"] == -32001


async def test_another_media_type_and_a_large_body_are_refused_before_they_are_read(served: Demo) -> None:
    assert (await served.http.post("/rpc", content="{}", headers={"Content-Type": "text/plain"})).status_code == 415
    assert (await served.http.post("/rpc", content="x" * 3000, headers=HEADERS)).status_code == 413
    assert (await served.http.get("/rpc")).status_code == 405
