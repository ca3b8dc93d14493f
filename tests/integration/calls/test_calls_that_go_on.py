"""Connections and gateways that are lost in a call: who resumes goes on, who does not is gone in time."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import pytest

from meshwright.model import Address
from support.demo import realtime
from support.demo.calls import QUICK, Caller, caller, in_call
from support.processes import Process, promised_port, python, running
from support.waiting import crowd, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.demo.realtime import Edge
    from support.servers.nats import NatsServer

OFFER = {"type": "offer", "sdp": "v=0\r\n"}


async def resumed(stack: contextlib.AsyncExitStack, edge: Edge, gateway: int, before: Caller, call: str) -> Caller:
    """The same participant on a new connection, without having joined the room."""
    window = await stack.enter_async_context(caller(edge.gateways[gateway], before.person, room=""))
    answer = await window.asked("resume", call=call, participant=before.participant, token=before.token)
    assert (answer["type"], answer["participant"]) == ("call", before.participant), answer
    return window


def present(frame: dict, participant: str) -> bool:
    return next(each["present"] for each in frame["participants"] if each["id"] == participant)


async def test_a_participant_resumes_at_another_gateway_and_the_next_renegotiation_reaches_it(edge: Edge) -> None:
    async with contextlib.AsyncExitStack() as stack:
        bob = await stack.enter_async_context(caller(edge.gateways[1]))
        async with caller(edge.gateways[0]) as ada:
            call = await in_call(ada, bob)
        seen = await bob.until(call, lambda frame: not present(frame, ada.participant))
        assert seen["state"] == "accepted"
        lost = await bob.refusal("description", call=call, to=ada.participant, description=OFFER)
        assert lost == ("UNAVAILABLE", "PEER_AWAY")
        again = await resumed(stack, edge, 1, ada, call)
        await bob.until(call, lambda frame: present(frame, ada.participant))
        sent = await bob.asked("description", call=call, to=ada.participant, description=OFFER)
        assert sent["type"] == "signalled"
        assert (await again.first("description"))["description"] == OFFER
        await again.asked("hang_up", call=call)
        await bob.state(call, "ended")


async def test_a_gateway_that_stops_in_a_call_loses_neither_the_call_nor_the_next_renegotiation(edge: Edge) -> None:
    one = edge.gateways[0]
    async with contextlib.AsyncExitStack() as stack:
        ada = await stack.enter_async_context(caller(one))
        bob = await stack.enter_async_context(caller(edge.gateways[1]))
        call = await in_call(ada, bob)
        one.stopping.set()
        assert await ada.line.closed() == (1012, "STOPPING")
        await one.stop_gateway()
        await bob.until(call, lambda frame: not present(frame, ada.participant))
        again = await resumed(stack, edge, 1, ada, call)
        await bob.until(call, lambda frame: present(frame, ada.participant))
        assert (await again.asked("description", call=call, to=bob.participant, description=OFFER))[
            "type"
        ] == "signalled"
        await bob.first("description")
        assert bob.call(call)["state"] == "accepted"


async def test_a_peer_that_vanishes_ends_a_call_of_two_within_the_grace(edge: Edge) -> None:
    async with contextlib.AsyncExitStack() as stack:
        bob = await stack.enter_async_context(caller(edge.gateways[1]))
        async with caller(edge.gateways[0]) as ada:
            call = await in_call(ada, bob)
        ended = await bob.state(call, "ended", 3 + 1.5)
        assert ended["reason"] == "vanished"


async def test_a_connection_that_is_open_and_silent_is_away_and_then_gone(edge: Edge) -> None:
    async with contextlib.AsyncExitStack() as stack:
        ada = await stack.enter_async_context(caller(edge.gateways[0]))
        bob = await stack.enter_async_context(caller(edge.gateways[1]))
        call = await in_call(ada, bob)
        ada.alive = False
        await bob.until(call, lambda frame: not present(frame, ada.participant))
        await ada.line.say("ping")
        ada.alive = True
        await bob.until(call, lambda frame: present(frame, ada.participant))
        ada.alive = False
        ended = await bob.state(call, "ended")
        assert ended["reason"] == "vanished"


async def test_one_of_three_that_vanishes_leaves_the_others_in_their_call(edge: Edge) -> None:
    async with contextlib.AsyncExitStack() as stack:
        bob = await stack.enter_async_context(caller(edge.gateways[1]))
        eve = await stack.enter_async_context(caller(edge.gateways[0]))
        async with caller(edge.gateways[0]) as ada:
            call = (await ada.asked("ring", room="hall"))["call"]
            for window in (bob, eve):
                await window.asked("accept", call=call)
        seen = await bob.until(call, lambda frame: len(frame["participants"]) == 2)
        assert seen["state"] == "accepted"
        assert ada.participant not in {each["id"] for each in seen["participants"]}


async def test_a_call_outlives_a_restart_of_nats(edge: Edge) -> None:
    async with contextlib.AsyncExitStack() as stack:
        ada = await stack.enter_async_context(caller(edge.gateways[0]))
        bob = await stack.enter_async_context(caller(edge.gateways[1]))
        call = await in_call(ada, bob)
        await edge.nats.kill()
        unavailable = await ada.refusal("candidate", call=call, to=bob.participant, candidate=None)
        assert unavailable == ("UNAVAILABLE", "PEER_AWAY")
        await edge.nats.start()

        async def delivered() -> bool:
            sent = await ada.asked("candidate", call=call, to=bob.participant, candidate=None)
            return sent["type"] == "signalled"

        await eventually(delivered, 20, every=0.3)
        await bob.first("candidate")
        assert (await ada.asked("hang_up", call=call))["state"] == "ended"
        await bob.state(call, "ended")


async def test_a_call_whose_bucket_is_lost_is_told_to_be_over(edge: Edge) -> None:
    async with contextlib.AsyncExitStack() as stack:
        ada = await stack.enter_async_context(caller(edge.gateways[0]))
        bob = await stack.enter_async_context(caller(edge.gateways[1]))
        call = await in_call(ada, bob)
        await edge.nats.lose()
        for window in (ada, bob):
            assert (await window.state(call, "ended", 30))["reason"] == "lost"

        async def rings() -> bool:
            return (await ada.asked("ring", room="hall", to=bob.user_id))["type"] == "call"

        await eventually(rings, 20, every=1.0)


@contextlib.asynccontextmanager
async def gateway_process(edge: Edge, folder: Path) -> AsyncIterator[tuple[Process, Address]]:
    """A third gateway, as a process that may be killed: it knows the users and calls of the others, and no services."""
    address = Address("127.0.0.1", promised_port())
    given = {
        "MESHWRIGHT_PORT": str(address.port),
        "MESHWRIGHT_REGISTER": "false",
        "NATS_URL": edge.nats.url,
        "GATEWAY_DATABASE_URL": f"sqlite:///{folder}/gateway.db",
        **QUICK,
    }
    async with (
        running(python("-m", "services.gateway"), folder / "gateway.log", given) as child,
        httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as http,
    ):

        async def answers() -> bool:
            assert child.running, child.tail()
            return (await http.get("/api/versions")).status_code == httpx.codes.OK

        await eventually(answers, 30, ignore=(httpx.TransportError,))
        yield child, address


@dataclass
class Served:
    address: Address


async def test_a_gateway_that_is_killed_in_a_call_loses_neither_the_call_nor_the_next_renegotiation(
    edge: Edge, tmp_path: Path
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        child, address = await stack.enter_async_context(gateway_process(edge, tmp_path))
        bob = await stack.enter_async_context(caller(edge.gateways[1]))
        async with caller(edge.gateways[0]) as ada:
            call = await in_call(ada, bob)
        killed = await stack.enter_async_context(caller(Served(address), ada.person, room=""))
        resume = {"call": call, "participant": ada.participant, "token": ada.token}
        assert (await killed.asked("resume", **resume))["participant"] == ada.participant
        await bob.until(call, lambda frame: present(frame, ada.participant))
        await bob.asked("description", call=call, to=ada.participant, description=OFFER)
        await killed.first("description")

        await child.kill()
        lost = await bob.refusal("description", call=call, to=ada.participant, description=OFFER)
        assert lost == ("UNAVAILABLE", "PEER_AWAY")
        again = await resumed(stack, edge, 0, ada, call)
        assert (await bob.asked("description", call=call, to=ada.participant, description=OFFER))["type"] == "signalled"
        await again.first("description")


async def test_the_participants_of_a_gateway_that_is_killed_are_gone_within_the_grace(
    edge: Edge, tmp_path: Path
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        child, address = await stack.enter_async_context(gateway_process(edge, tmp_path))
        bob = await stack.enter_async_context(caller(edge.gateways[1]))
        async with caller(edge.gateways[0]) as ada:
            call = await in_call(ada, bob)
        killed = await stack.enter_async_context(caller(Served(address), ada.person, room=""))
        await killed.asked("resume", call=call, participant=ada.participant, token=ada.token)
        await bob.until(call, lambda frame: present(frame, ada.participant))
        await child.kill()
        # Noticed after GONE_SECONDS of silence, which is longer than these tests' grace.
        ended = await bob.state(call, "ended", 3.5 + 3)
        assert ended["reason"] == "vanished"


@pytest.mark.slow
@pytest.mark.parametrize("way", ["silent", "closed"])
async def test_with_the_default_times_a_peer_that_vanishes_ends_the_call_within_fifteen_seconds(
    nats: NatsServer, tmp_path: Path, way: str
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        edge = await stack.enter_async_context(realtime.edge(nats, tmp_path))
        bob = await stack.enter_async_context(caller(edge.gateways[1]))
        ada = await stack.enter_async_context(caller(edge.gateways[0]))
        call = await in_call(ada, bob)
        if way == "closed":
            await ada.line.connection.close()
        ada.alive = False
        vanished = time.monotonic()
        ended = await bob.state(call, "ended", 30)
        assert ended["reason"] == "vanished"
        assert 10 < time.monotonic() - vanished < 15 * crowd()
