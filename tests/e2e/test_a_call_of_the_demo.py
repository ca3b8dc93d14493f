"""A call as `make up` runs the demo: its only gateway is killed in it, and comes back; STUN answers on loopback."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import websockets
from aioice import stun

from meshwright.model import Address
from support.demo.calls import Caller, caller, in_call
from support.demo.people import sign_up
from support.demo.up import DemoUp, first_answer, starting
from support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

OFFER = {"type": "offer", "sdp": "v=0\r\n"}


@dataclass
class Served:
    """The demo's gateway."""

    address: Address
    http: httpx.AsyncClient


async def mapped_address(url: str) -> tuple[str, int]:
    """What the STUN server at `stun:localhost:<port>` sees of this process."""
    loop = asyncio.get_running_loop()
    heard: asyncio.Future[bytes] = loop.create_future()

    class Client(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: object) -> None:
            heard.set_result(data)

    port = int(url.rpartition(":")[2])
    transport, _ = await loop.create_datagram_endpoint(Client, remote_addr=("127.0.0.1", port))
    try:
        transport.sendto(bytes(stun.Message(stun.Method.BINDING, stun.Class.REQUEST)))
        return stun.parse_message(await asyncio.wait_for(heard, 10)).attributes["XOR-MAPPED-ADDRESS"]
    finally:
        transport.close()


async def resumed(stack: contextlib.AsyncExitStack, served: Served, before: Caller, call: str) -> Caller:
    """The participant on a new connection, as soon as there is a gateway."""
    resume = {"call": call, "participant": before.participant, "token": before.token}

    async def connected() -> Caller | None:
        window = await stack.enter_async_context(caller(served, before.person, room=""))
        answer = await window.asked("resume", **resume)
        assert answer["type"] == "call", answer
        return window

    refused = (OSError, websockets.InvalidStatus, websockets.InvalidMessage)
    return await eventually(connected, 60, every=0.2, ignore=refused)


NOT_YET = (ValueError, KeyError)


async def traced(demo: DemoUp, http: httpx.AsyncClient, name: str, call: str, others: set[str]) -> bool:
    """Whether the trace store has a trace of the call with a span of that name, and with the others."""
    parameters = {"service": "gateway", "operation": name, "limit": "5", "lookback": "1h"}
    found = await http.get(f"{demo.url('traces')}/api/traces", params=parameters)
    (trace,) = found.json()["data"]
    names = {span["operationName"] for span in trace["spans"]}
    calls = {tag["value"] for span in trace["spans"] for tag in span["tags"] if tag["key"] == "call.id"}
    return names > others and calls == {call}


async def call_over_a_kill(demo: DemoUp, served: Served) -> str:
    """The id of a call in which the gateway was killed."""
    async with contextlib.AsyncExitStack() as stack:
        ada, bob = [await stack.enter_async_context(caller(served, await sign_up(served))) for _ in range(2)]  # type: ignore[arg-type]
        call = await in_call(ada, bob)
        # A process that is killed takes with it the spans of its last seconds.
        await eventually(lambda: traced(demo, served.http, "call accept", call, {"call ring"}), 30, ignore=NOT_YET)
        await demo.do("kill", "gateway-1")
        await asyncio.gather(ada.line.closed(), bob.line.closed())
        again = [await resumed(stack, served, window, call) for window in (ada, bob)]
        await again[0].until(call, lambda frame: all(each["present"] for each in frame["participants"]))
        sent = await again[1].asked("description", call=call, to=ada.participant, description=OFFER)
        assert sent["type"] == "signalled", sent
        assert (await again[0].first("description"))["from"] == bob.participant
        await again[0].asked("report", call=call, peer=bob.participant, state="connected", local="host", rtt=0.001)
        await again[0].asked("hang_up", call=call)
        await again[1].state(call, "ended")
        return call


async def test_a_call_outlives_the_only_gateway_and_is_one_trace(tmp_path: Path) -> None:
    async with (
        starting(tmp_path) as demo,
        httpx.AsyncClient(base_url=demo.url("gateway"), timeout=20, trust_env=False) as http,
    ):
        await first_answer(demo, http)
        served = Served(Address("127.0.0.1", demo.ports["gateway"]), http)
        person = await sign_up(served)  # type: ignore[arg-type]
        (server,) = (await http.get("/api/v3/ice", headers=person.headers)).json()["iceServers"]
        assert server == {"urls": [f"stun:localhost:{demo.ports['gateway']}"]}
        assert (await mapped_address(server["urls"][0]))[0] == "127.0.0.1"

        call = await call_over_a_kill(demo, served)
        wanted = {"call ring", "call accept", "call ice connected"}
        await eventually(lambda: traced(demo, http, "call end", call, wanted), 30, ignore=NOT_YET)
