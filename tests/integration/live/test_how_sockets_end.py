"""How a WebSocket ends: an instance that stops, a client that is slow, loud, or one of too many."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import socket
from typing import TYPE_CHECKING

import pytest
import websockets

from demo.chat.v1 import chat_pb2 as chat_pb
from services.common.messaging import bus
from services.gateway.http import http_server
from support.demo.people import reason, sign_up
from support.demo.realtime import Edge, edge, gateway
from support.demo.sockets import NARROW, bare, line, narrowly_bound, raw_frame, transport_of
from support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from support.demo.people import Person
    from support.servers.nats import NatsServer


async def test_a_gateway_that_stops_sends_its_clients_to_another_without_a_lost_message(edge: Edge) -> None:
    one, two = edge.gateways
    ada, bob = await sign_up(one), await sign_up(two)
    async with contextlib.AsyncExitStack() as stack:
        speaker = await stack.enter_async_context(line(two.address, bob))
        listener = await stack.enter_async_context(line(one.address, ada))
        await speaker.join()
        await listener.join()
        await listener.say("subscribe")
        note = (await listener.first("subscribed"))["id"]

        async def speak() -> None:
            for number in range(60):
                await speaker.say("say", room="hall", text=str(number), client_id=str(number))
                await speaker.first("said", number + 1)

        speaking = asyncio.create_task(speak())
        await eventually(lambda: len(listener.texts) >= 10)
        one.stopping.set()
        assert await listener.closed() == (1012, "STOPPING")
        with pytest.raises(websockets.InvalidStatus) as caught:
            await stack.enter_async_context(line(one.address, ada))
        assert caught.value.response.status_code == 503
        await edge.notify(ada.subject, "meanwhile")

        again = await stack.enter_async_context(line(two.address, ada))
        await again.join(resume_after=listener.of("message")[-1]["id"])
        await again.say("subscribe", resume_after=note)
        await speaking
        await eventually(lambda: len(listener.texts) + len(again.texts) >= 60)
        assert listener.texts + again.texts == [str(number) for number in range(60)]
        assert (await again.first("notification"))["title"] == "meanwhile"


async def narrow_edge(
    stack: contextlib.AsyncExitStack, nats: NatsServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Edge, Person, Person]:
    """Two gateways whose sockets buffer little, and a user who has signed up at each."""
    monkeypatch.setattr(http_server, "bind", narrowly_bound(http_server.bind))
    running = await stack.enter_async_context(edge(nats, folder, GATEWAY_SOCKET_RATE="5000"))
    ada, bob = [await sign_up(gateway) for gateway in running.gateways]
    return running, ada, bob


async def test_a_client_that_does_not_read_is_told_what_it_missed_and_holds_up_no_other(
    tmp_path: Path, nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Every message is to be stored, however long a busy disk takes for it.
    monkeypatch.setattr(bus, "ANSWER_SECONDS", 60.0)
    async with contextlib.AsyncExitStack() as stack:
        running, ada, bob = await narrow_edge(stack, nats, tmp_path, monkeypatch)
        one, two = running.gateways
        uri = f"ws://{one.address}/ws"
        peer = socket.socket()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NARROW)
        peer.connect((one.address.host, one.address.port))
        # It sends no pings: it would not read the answers in time.
        slow = await stack.enter_async_context(
            websockets.connect(
                uri, sock=peer, additional_headers=ada.headers, compression=None, max_queue=1, ping_interval=None
            )
        )
        await slow.recv()
        await slow.send('{"type":"join","room":"hall"}')
        quick = await stack.enter_async_context(line(two.address, bob))
        await quick.join()

        async def both_there() -> bool:
            people = await running.chats.replicas[0].channel.unary_unary(
                "/demo.chat.v1.ChatService/GetPresence",
                request_serializer=chat_pb.GetPresenceRequest.SerializeToString,
                response_deserializer=chat_pb.Presence.FromString,
            )(chat_pb.GetPresenceRequest(room="hall"))
            return people.total == 2

        await eventually(both_there)
        count = 1500
        for start in range(0, count, 50):
            for number in range(start, start + 50):
                await quick.say("say", room="hall", text=f"{number} {'x' * 1900}", client_id=str(number))
            await quick.first("said", start + 50)
            heard_by_quick = start + 50
            await eventually(lambda: len(quick.texts) >= heard_by_quick, 30)  # noqa: B023 - awaited in this turn
        assert len(quick.texts) == count
        heard, missed = [], 0
        async with asyncio.timeout(30):
            while not heard or heard[-1] != count - 1:
                frame = json.loads(await slow.recv())
                if frame["type"] == "message":
                    heard.append(int(frame["text"].split()[0]))
                elif frame["type"] == "missed":
                    missed += frame["count"]
        assert missed
        assert len(heard) + missed == count
        assert heard == sorted(set(heard))


async def test_too_many_messages_are_refused_and_a_client_that_goes_on_is_closed(
    tmp_path: Path, nats: NatsServer
) -> None:
    async with edge(nats, tmp_path, GATEWAY_SOCKET_RATE="5") as running:
        ada = await sign_up(running.gateways[0])
        async with line(running.gateways[0].address, ada) as one:
            with contextlib.suppress(websockets.ConnectionClosed):
                for _ in range(200):
                    await one.say("ping")
            assert await one.closed() == (1008, "RATE_LIMITED")
            assert len(one.of("pong")) >= 10
            assert {frame["reason"] for frame in one.of("error")} == {"RATE_LIMITED"}


async def test_rooms_and_sockets_are_limited(tmp_path: Path, edge: Edge) -> None:
    live = edge.gateways[0].live
    few = type(live)(
        live.nats_url, live.chat, live.notification, {"GATEWAY_SOCKETS": "3", "GATEWAY_SOCKETS_PER_USER": "2"}
    )
    async with contextlib.AsyncExitStack() as stack:
        served = await stack.enter_async_context(gateway(tmp_path, "few", few))
        ada, bob = await sign_up(served), await sign_up(served)
        first = await stack.enter_async_context(line(served.address, ada))
        for number in range(21):
            await first.say("join", room=f"room{number}")
        assert await first.error() == ("RESOURCE_EXHAUSTED", "TOO_MANY_ROOMS")
        await first.first("joined", 20)
        await stack.enter_async_context(line(served.address, ada))
        third = await websockets.connect(f"ws://{served.address}/ws", additional_headers=ada.headers, proxy=None)
        await asyncio.wait_for(third.wait_closed(), 10)
        assert (third.close_code, third.close_reason) == (1008, "TOO_MANY_SOCKETS")
        await stack.enter_async_context(line(served.address, bob))
        with pytest.raises(websockets.InvalidStatus) as caught:
            await stack.enter_async_context(line(served.address, bob))
        assert caught.value.response.status_code == 503


async def test_a_peer_that_answers_no_ping_is_given_up_and_its_place_is_free(edge: Edge, tmp_path: Path) -> None:
    live = edge.gateways[0].live
    two = type(live)(live.nats_url, live.chat, live.notification, {"GATEWAY_SOCKETS": "2"})
    async with gateway(tmp_path, "brisk", two, ping_seconds=0.5) as served:
        ada = await sign_up(served)
        async with line(served.address, ada) as alive:
            async with bare(served.address, ada) as (reader, _):
                with pytest.raises(websockets.InvalidStatus):
                    async with line(served.address, ada):
                        pass
                await asyncio.wait_for(reader.read(), 10)
            async with line(served.address, ada):
                await alive.say("ping")
                await alive.first("pong")


async def test_a_peer_that_is_gone_is_given_up_though_much_was_on_its_way_to_it(
    edge: Edge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "bind", narrowly_bound(http_server.bind))
    live = edge.gateways[0].live
    async with gateway(tmp_path, "brisk", live, ping_seconds=1.0) as served:
        ada, bob = await sign_up(served), await sign_up(served)
        async with line(edge.gateways[1].address, bob) as quick, bare(served.address, ada, NARROW) as (_, writer):
            await quick.join()
            transport_of(writer).pause_reading()
            writer.write(raw_frame(1, b'{"type":"join","room":"hall"}'))
            await quick.first("presence")
            for number in range(150):
                await quick.say("say", room="hall", text=f"{number} {'x' * 1900}")
            await eventually(lambda: [change["present"] for change in quick.of("presence")] == [True, False], 15)


async def test_a_slow_client_of_a_gateway_that_stops_has_all_up_to_some_message_and_can_go_on_after_it(
    tmp_path: Path, nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        running, ada, bob = await narrow_edge(stack, nats, tmp_path, monkeypatch)
        one, two = running.gateways
        reader, writer = await stack.enter_async_context(bare(one.address, ada, NARROW))
        quick = await stack.enter_async_context(line(two.address, bob))
        await quick.join()
        writer.write(raw_frame(1, b'{"type":"join","room":"hall"}'))
        await quick.first("presence")
        transport_of(writer).pause_reading()
        count = 200
        for number in range(count):
            await quick.say("say", room="hall", text=f"<{number}> {'x' * 1900}")
        await eventually(lambda: len(quick.texts) == count)
        one.stopping.set()
        # It has left the room: the gateway sends only what waited.
        await eventually(lambda: False in [change["present"] for change in quick.of("presence")])
        transport_of(writer).resume_reading()
        received = await asyncio.wait_for(reader.read(), 15)
        heard = [int(number) for number in re.findall(rb"<(\d+)>", received)]
        assert heard == list(range(len(heard)))
        assert 0 < len(heard) < count


async def test_a_socket_whose_words_wait_for_a_bus_that_does_not_answer_stays_open(edge: Edge, tmp_path: Path) -> None:
    async with (
        gateway(tmp_path, "brisk", edge.gateways[0].live, ping_seconds=0.5) as served,
        line(served.address, await sign_up(served)) as one,
    ):
        await one.join()
        with edge.nats.frozen():
            for number in range(2):
                await one.say("say", room="hall", text="hello", client_id=str(number))
            await one.first("error", 2)
        assert {frame["code"] for frame in one.of("error")} <= {"UNAVAILABLE", "DEADLINE_EXCEEDED"}
        await one.say("ping")
        await one.first("pong")


async def test_a_token_ends_while_the_socket_is_open(
    edge: Edge, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    live = edge.gateways[0].live
    async with gateway(tmp_path, "brief", live, settings={"GATEWAY_ACCESS_SECONDS": "1"}) as served:
        ada = await sign_up(served)
        async with line(served.address, ada) as one:
            assert await one.closed() == (4401, "TOKEN_EXPIRED")


async def test_the_rest_of_the_gateway_works_while_chat_and_nats_are_away(edge: Edge) -> None:
    ada = await sign_up(edge.gateways[0])
    async with line(edge.gateways[0].address, ada) as one:
        await edge.chats.stop(0)
        await edge.chats.stop(1)
        await edge.nats.kill()
        await one.say("join", room="hall")
        await one.first("interrupted")
        http = edge.gateways[0].http
        assert (await http.get("/api/versions")).status_code == 200
        assert (await http.get(f"/api/v3/users/{ada.subject}", headers=ada.headers)).status_code == 200
        polled = await http.get("/api/messages?room=hall", headers=ada.headers)
        assert reason(polled)[0] == 503


async def test_viewers_without_a_token_leave_room_for_sockets_with_one(edge: Edge, tmp_path: Path) -> None:
    live = edge.gateways[0].live
    four = type(live)(live.nats_url, live.chat, live.notification, {"GATEWAY_SOCKETS": "4"})
    async with gateway(tmp_path, "small", four) as served, contextlib.AsyncExitStack() as stack:
        ada = await sign_up(served)
        viewers = []
        for _ in range(2):
            viewer = await stack.enter_async_context(served.http.stream("GET", "/api/live/chart", timeout=None))
            viewers.append(viewer.aiter_lines())
            assert (await anext(viewers[-1])).startswith("retry:")
        assert reason(await served.http.get("/api/live/chart")) == (503, "TOO_MANY_SOCKETS")
        for _ in range(2):
            await stack.enter_async_context(line(served.address, ada))
        with pytest.raises(websockets.InvalidStatus):
            await stack.enter_async_context(line(served.address, ada))


async def test_handshakes_count_as_requests(edge: Edge, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = {"GATEWAY_RATE": "0.01", "GATEWAY_BURST": "3"}
    async with gateway(tmp_path, "strict", edge.gateways[0].live, settings=settings) as served:
        ada = await sign_up(edge.gateways[0])
        taken = []
        for person in (ada, ada, ada, ada, None, None, None, None):
            try:
                async with line(served.address, person):
                    taken.append(101)
            except websockets.InvalidStatus as refused:
                taken.append(refused.response.status_code)
        assert taken == [101, 101, 101, 429, 101, 101, 101, 429]
    assert not [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
