"""aiortc as two independent peers: they find each other by what the gateway hands on, over the real socket."""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack
from aiortc.sdp import candidate_from_sdp

from services.common.runtime.tasks import cancel_and_wait
from support.demo.calls import Caller, caller, in_call
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiortc import RTCDataChannel

    from support.demo.realtime import Edge

TRICKLED = re.compile(r"^a=(candidate:.*|end-of-candidates)\r\n", re.MULTILINE)


@dataclass
class Peer:
    """A peer connection, negotiated over a window's socket: its candidates are trickled, not sent in descriptions."""

    window: Caller
    call: str
    other: str
    connection: RTCPeerConnection = field(default_factory=lambda: RTCPeerConnection(RTCConfiguration(iceServers=[])))
    channels: list[RTCDataChannel] = field(default_factory=list)
    heard: list[Any] = field(default_factory=list)
    tracks: list[Any] = field(default_factory=list)
    trickled: int = 0

    def __post_init__(self) -> None:
        self.connection.on("datachannel", self.on_channel)
        self.connection.on("track", self.tracks.append)

    def on_channel(self, channel: RTCDataChannel) -> None:
        self.channels.append(channel)
        channel.on("message", self.heard.append)

    async def describe(self) -> None:
        """Sends the local description without its candidates, and each of them by itself."""
        made = self.connection.localDescription
        sdp = TRICKLED.sub("", made.sdp)
        await self.window.asked(
            "description", call=self.call, to=self.other, description={"type": made.type, "sdp": sdp}
        )
        for section in re.split(r"(?=^m=)", made.sdp, flags=re.MULTILINE)[1:]:
            mid = re.search(r"^a=mid:(\S+)", section, re.MULTILINE)
            assert mid
            for line in re.findall(r"^a=(candidate:.*)\r$", section, re.MULTILINE):
                candidate = {"candidate": line, "sdpMid": mid[1]}
                await self.window.asked("candidate", call=self.call, to=self.other, candidate=candidate)
        await self.window.asked("candidate", call=self.call, to=self.other, candidate=None)

    async def offer(self) -> None:
        await self.connection.setLocalDescription(await self.connection.createOffer())
        await self.describe()

    async def negotiate(self) -> None:
        """Takes in what the other one sends, and answers offers, until it is cancelled."""
        taken = 0
        while True:
            await eventually(lambda: len(self.window.line.of("signal")) > taken, 120)  # noqa: B023 - awaited at once
            signal = self.window.line.of("signal")[taken]
            taken += 1
            if signal["kind"] == "candidate":
                await self.candidate(signal["candidate"])
                continue
            assert not TRICKLED.search(signal["description"]["sdp"])
            await self.connection.setRemoteDescription(RTCSessionDescription(**signal["description"]))
            if signal["description"]["type"] == "offer":
                await self.connection.setLocalDescription(await self.connection.createAnswer())
                await self.describe()

    async def candidate(self, given: dict[str, Any] | None) -> None:
        if given is None:
            await self.connection.addIceCandidate(None)
            return
        made = candidate_from_sdp(given["candidate"].removeprefix("candidate:"))
        made.sdpMid = given["sdpMid"]
        self.trickled += 1
        await self.connection.addIceCandidate(made)

    async def report(self) -> None:
        """Reports what aiortc knows of the connection."""
        state = {"connected": "connected", "failed": "failed"}.get(self.connection.connectionState, "checking")
        await self.window.asked(
            "report", call=self.call, peer=self.other, state=state, local="host", remote="host", protocol="udp"
        )


@contextlib.asynccontextmanager
async def negotiating(*peers: Peer) -> AsyncIterator[None]:
    """Negotiates for as long as the context lasts. A negotiation that fails fails the test."""
    tasks = [asyncio.create_task(peer.negotiate()) for peer in peers]
    try:
        yield
    finally:
        await cancel_and_wait(*tasks)


async def test_a_data_channel_opens_and_audio_is_added_after_a_gateway_has_stopped(edge: Edge) -> None:
    async with contextlib.AsyncExitStack() as stack:
        ada = await stack.enter_async_context(caller(edge.gateways[0]))
        bob = await stack.enter_async_context(caller(edge.gateways[1]))
        call = await in_call(ada, bob)
        one, two = Peer(ada, call, bob.participant), Peer(bob, call, ada.participant)
        for peer in (one, two):
            stack.push_async_callback(peer.connection.close)
        channel = two.connection.createDataChannel("chat")
        async with negotiating(one, two):
            await two.offer()
            await eventually(lambda: channel.readyState == "open" and one.channels, 30)
            channel.send("hello")
            await eventually(lambda: one.heard == ["hello"])
            assert min(one.trickled, two.trickled) > 0
            await two.report()

        edge.gateways[0].stopping.set()
        await ada.line.closed()
        channel.send("without the gateway")
        await eventually(lambda: one.heard[-1] == "without the gateway")
        again = await stack.enter_async_context(caller(edge.gateways[1], ada.person, room=""))
        await again.asked("resume", call=call, participant=ada.participant, token=ada.token)
        one.window = again
        bob.line.heard[:] = [frame for frame in bob.line.heard if frame["type"] != "signal"]
        async with negotiating(one, two):
            one.connection.addTrack(AudioStreamTrack())
            await one.offer()
            await eventually(lambda: two.tracks, 30)
            frame = await asyncio.wait_for(two.tracks[0].recv(), 30)
            assert frame.samples
            channel.send("still open")
            await eventually(lambda: one.heard == ["hello", "without the gateway", "still open"])
        assert bob.call(call)["state"] == "accepted"
