"""The WebSocket: who may, what is said and heard, what is refused, across gateways and what is behind them."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
import websockets

from meshwright.calls.server.call import ServerCall
from support.demo.people import sign_up
from support.demo.realtime import Edge, chat_processes, gateway
from support.demo.sockets import Line, line
from support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from support.servers.nats import NatsServer


async def refused(edge: Edge, **options) -> tuple[int, str]:
    """Status and reason of a handshake that is answered with a problem."""
    with pytest.raises(websockets.InvalidStatus) as caught:
        async with line(edge.gateways[0].address, **options):
            pass
    response = caught.value.response
    return response.status_code, json.loads(response.body)["reason"]


def socket_status(span) -> int | None:
    """What the handshake was answered with; None for spans of other requests."""
    return span.attributes.get("http.response.status_code") if span.attributes.get("url.path") == "/ws" else None


async def test_people_at_different_gateways_talk_in_one_room(edge: Edge) -> None:
    ada, bob = await sign_up(edge.gateways[0]), await sign_up(edge.gateways[1])
    async with line(edge.gateways[0].address, ada) as one, line(edge.gateways[1].address, bob) as two:
        await one.join(name="Ada", ref="j1")
        there = await two.join(name="Bob")
        assert one.of("joined")[0]["ref"] == "j1"
        assert {person["name"] for person in there["people"]} >= {"Ada"}
        assert (await one.first("presence"))["name"] == "Bob"
        await one.say("say", room="hall", text="hello", client_id="m1", ref="s1")
        said = await one.first("said")
        await eventually(lambda: two.texts == ["hello"] == one.texts)
        heard = two.of("message")[0]
        assert (said["id"], said["client_id"], said["ref"]) == (heard["id"], "m1", "s1")
        assert (heard["user_id"], heard["name"]) == (ada.subject, "Ada")
        await one.say("say", room="hall", text="hello", client_id="m1")
        assert (await one.first("said", 2))["id"] == said["id"]
        await two.say("leave", room="hall")
        await two.first("left")
        await eventually(lambda: [change["present"] for change in one.of("presence")] == [True, False])
        assert one.texts == ["hello"]


async def test_a_socket_is_one_span_and_what_is_said_on_it_is_inside(edge: Edge) -> None:
    served = edge.gateways[0]
    ada = await sign_up(served)
    assert await refused(edge, origin="https://evil.example") == (403, "ORIGIN_NOT_ALLOWED")
    async with line(served.address, ada) as one:
        await one.join()
        await one.say("say", room="hall", text="hello")
        await one.first("said")
        assert "GET /ws" not in [span.name for span in served.spans.servers if socket_status(span) == 101]
    await eventually(lambda: 101 in [socket_status(span) for span in served.spans.servers])
    (connection,) = [span for span in served.spans.servers if socket_status(span) == 101]
    assert (connection.name, connection.attributes["http.route"]) == ("GET /ws", "/ws")
    assert 403 in [socket_status(span) for span in served.spans.servers]
    inside = [
        span.name for span in served.spans.clients if span.parent and span.parent.span_id == connection.context.span_id
    ]
    assert {name.rpartition("/")[2] for name in inside} >= {"Post", "Connect", "History"}


async def test_history_comes_first_and_a_stay_goes_on_after_the_last_message_seen(edge: Edge) -> None:
    ada = await sign_up(edge.gateways[0])
    async with line(edge.gateways[0].address, ada) as one:
        await one.join()
        for number in range(5):
            await one.say("say", room="hall", text=str(number))
        await eventually(lambda: len(one.texts) == 5)
        seen = one.of("message")[2]["id"]
    async with line(edge.gateways[1].address, ada) as other:
        await other.join(history=2)
        assert other.texts == ["3", "4"]
        await other.say("leave", room="hall")
        await other.first("left")
        await other.join(resume_after=seen)
        await eventually(lambda: other.texts == ["3", "4", "3", "4"])
        await other.say("join", room="other", resume_after="nonsense")
        assert await other.error() == ("INVALID_ARGUMENT", "INVALID_CHAT")


@pytest.mark.parametrize("way", ["subprotocol", "message"])
async def test_browsers_have_other_ways_to_bring_their_token(edge: Edge, way: str) -> None:
    ada = await sign_up(edge.gateways[0])
    token = ada.tokens["access_token"]
    offered = ["meshwright.v1", f"bearer.{token}"] if way == "subprotocol" else None
    origin = f"http://{edge.gateways[0].address}"
    async with line(edge.gateways[0].address, subprotocols=offered, origin=origin) as one:
        if way == "message":
            await one.say("authenticate", token=token)
        assert (await one.first("welcome"))["user_id"] == ada.subject
        assert one.connection.subprotocol == ("meshwright.v1" if offered else None)


async def test_a_client_without_a_valid_token_is_refused(edge: Edge) -> None:
    assert await refused(edge, origin="https://evil.example") == (403, "ORIGIN_NOT_ALLOWED")
    assert await refused(edge, subprotocols=["bearer.nonsense"]) == (401, "TOKEN_INVALID")
    async with line(edge.gateways[0].address) as one:
        await one.say("join", room="hall")
        assert await one.closed() == (4401, "TOKEN_MISSING")
    async with line(edge.gateways[0].address) as one:
        await one.say("authenticate", token="nonsense")
        assert (await one.closed())[0] == 4401
    async with line(edge.gateways[0].address) as one:
        await one.connection.send("{")
        assert (await one.closed())[0] == 4401


async def test_a_token_is_not_called_bad_while_the_keys_of_its_issuer_are_unavailable(
    edge: Edge, tmp_path: Path
) -> None:
    away = "http://127.0.0.1:9"
    settings = {"MESHWRIGHT_AUTH_ISSUER": away, "MESHWRIGHT_AUTH_JWKS": f"{away}/jwks"}
    ada = await sign_up(edge.gateways[0])
    token = ada.tokens["access_token"]
    async with gateway(tmp_path, "other", edge.gateways[0].live, settings=settings) as served:
        async with line(served.address) as one:
            await one.say("authenticate", token=token)
            assert await one.closed() == (1013, "KEYS_UNAVAILABLE")
        with pytest.raises(websockets.InvalidStatus) as caught:
            async with line(served.address, ada):
                pass
        assert caught.value.response.status_code == 503


async def test_a_token_that_ends_ends_the_socket_unless_a_new_one_comes(edge: Edge) -> None:
    gateway = edge.gateways[0]
    ada, bob = await sign_up(gateway), await sign_up(gateway)
    async with line(gateway.address, ada) as one:
        first = one.of("welcome")[0]["expires_at"]
        await one.say("authenticate", token=bob.tokens["access_token"], ref="b")
        assert await one.error() == ("PERMISSION_DENIED", "ANOTHER_USER")
        renewed = await gateway.http.post("/auth/refresh", json={"refresh_token": ada.tokens["refresh_token"]})
        await one.say("authenticate", token=renewed.json()["access_token"])
        assert (await one.first("authenticated"))["expires_at"] >= first
        await one.join()


async def test_what_is_wrong_with_a_message_is_said_and_the_socket_goes_on(edge: Edge) -> None:
    ada = await sign_up(edge.gateways[0])
    async with line(edge.gateways[0].address, ada) as one:
        wrong = ['{"type"', "[]", '"x"', "{}", '{"type": 7}', '{"type": "dance"}', '{"type": "join"}']
        wrong += ['{"type":"join","room":7,"history":-1}', '{"type":"subscribe","types":["NEWS"]}']
        wrong += [
            '{"type":"say","room":"hall","text":"x"}',
            '{"type":"leave","room":"hall"}',
            '{"type":"ping","ref":7}',
        ]
        wrong += ['{"type":"join","room":"no such room!"}', '{"type":"signal","ref":"r"}', "[" * 5000]
        for text in wrong:
            await one.connection.send(text)
        await one.connection.send(b"\x00\xff")
        await eventually(lambda: len(one.of("error")) == len(wrong) + 1)
        assert {frame["reason"] for frame in one.of("error")} == {
            *("NO_JSON", "NO_OBJECT", "UNKNOWN_TYPE", "INVALID_MESSAGE", "NOT_IN_ROOM", "NO_TEXT"),
            "INVALID_CHAT",
        }
        fields = next(frame["fields"] for frame in one.of("error") if "history" in frame.get("fields", {}))
        assert fields == {"room": "must be a string", "history": "must be 0 to 100"}
        await one.say("ping", ref="still there")
        assert (await one.first("pong"))["ref"] == "still there"
        await one.connection.send("x" * 70_000)
        assert (await one.closed())[0] == 1009


async def test_notifications_arrive_once_and_go_on_where_they_were(edge: Edge) -> None:
    ada = await sign_up(edge.gateways[0])
    async with line(edge.gateways[0].address, ada) as one:
        await one.say("subscribe", types=["INFO"], ref="s")
        assert (await one.first("subscribed"))["ref"] == "s"
        await edge.notify(ada.subject, "first")
        seen = (await one.first("notification"))["id"]
    await edge.notify(ada.subject, "second")
    async with line(edge.gateways[1].address, ada) as other:
        await other.say("subscribe", resume_after=seen)
        await other.first("subscribed")
        await edge.notify(ada.subject, "third")
        await other.first("notification", 2)
        assert [note["title"] for note in other.of("notification")] == ["second", "third"]
        await other.say("subscribe")
        assert await other.error() == ("FAILED_PRECONDITION", "ALREADY_SUBSCRIBED")
        await other.say("unsubscribe")
        await other.first("unsubscribed")


async def test_nothing_is_lost_or_doubled_when_a_service_behind_stops(edge: Edge) -> None:
    ada = await sign_up(edge.gateways[0])
    async with line(edge.gateways[0].address, ada) as one:
        await one.join()
        await one.say("subscribe")
        await one.first("subscribed")
        await _talk(one, 0, 5)
        await asyncio.gather(edge.chats.stop(0), edge.notes.stop(0))
        await _talk(one, 5, 10)
        await edge.notify(ada.subject, "after")
        await one.first("notification")
        assert [note["title"] for note in one.of("notification")] == ["after"]
    assert one.texts == [str(number) for number in range(10)]


async def test_nothing_is_lost_or_doubled_when_a_chat_is_killed(tmp_path: Path, nats: NatsServer, edge: Edge) -> None:
    async with chat_processes(nats, tmp_path) as (children, addresses):
        live = edge.gateways[0].live
        other = type(live)(live.nats_url, addresses, live.notification, live.settings)
        async with gateway(tmp_path, "three", other) as served:
            people = [await sign_up(served) for _ in range(4)]
            async with line(served.address, people[0]) as one, line(served.address, people[1]) as two:
                await one.join()
                await two.join()
                await _talk(one, 0, 5)
                await children[0].kill()
                await _talk(one, 5, 10)
                await eventually(lambda: len(two.texts) == 10, 20)
                expected = [str(number) for number in range(10)]
                assert (one.texts, two.texts) == (expected, expected)


async def test_nothing_is_lost_or_doubled_while_nats_is_restarted(edge: Edge) -> None:
    ada = await sign_up(edge.gateways[0])
    async with line(edge.gateways[0].address, ada) as one:
        await one.join()
        await _talk(one, 0, 3)
        await edge.nats.kill()
        await one.say("say", room="hall", text="away", client_id="away")
        assert await one.error() == ("UNAVAILABLE", "BUS_UNAVAILABLE")
        assert one.of("error")[-1]["client_id"] == "away"
        await edge.nats.start()
        await _talk(one, 3, 6)
    assert one.texts == [str(number) for number in range(6)]


async def _talk(one: Line, start: int, end: int) -> None:
    """Say the numbers, each until it is answered, as a client should: with a mark of its own."""
    for number in range(start, end):

        async def answered(number: int = number) -> bool:
            mark = f"n{number}"
            await one.say("say", room="hall", text=str(number), client_id=mark)
            before = len(one.heard)
            await eventually(lambda: any(frame.get("client_id") == mark for frame in one.heard[before:]))
            return any(frame["client_id"] == mark for frame in one.of("said"))

        await eventually(answered, 20)
    await eventually(lambda: str(end - 1) in one.texts, 20)


async def test_a_sockets_header_goes_on_with_all_that_is_said_on_it(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[tuple[str, str | None]] = []
    begin = ServerCall.begin

    def noting(call: ServerCall) -> None:
        found.append((call.method.name.rpartition("/")[2], dict(call.metadata).get("x-preview")))
        begin(call)

    monkeypatch.setattr(ServerCall, "begin", noting)
    served = edge.gateways[0]
    ada = await sign_up(served)
    found.clear()
    headers = ada.headers | {"x-preview": "yes"}
    async with websockets.connect(f"ws://{served.address}/ws", additional_headers=headers, proxy=None) as raw:
        await raw.send(json.dumps({"type": "join", "room": "hall", "name": "Ada"}))
        await raw.send(json.dumps({"type": "subscribe"}))
        wanted = {("Connect", "yes"), ("Subscribe", "yes")}
        await eventually(lambda: wanted <= set(found))
        await raw.send(json.dumps({"type": "say", "room": "hall", "text": "hello"}))
        await eventually(lambda: ("Post", "yes") in found)
    assert {value for _, value in found} == {"yes"}
