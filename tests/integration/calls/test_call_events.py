"""What a call leaves behind: events on NATS, and spans of one trace."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from nats.js.api import DiscardPolicy

from services.common.messaging.bus import BusConfig, open_bus
from services.gateway.realtime.calls.events import STREAM
from support.demo.calls import caller, in_call
from support.servers.nats import events_after
from support.waiting import eventually

if TYPE_CHECKING:
    from services.common.messaging.events import Event
    from support.demo.realtime import Edge

REPORT = {"local": "host", "remote": "srflx", "protocol": "udp", "rtt": 0.012, "tried": ["host", "srflx"]}


async def recorded(edge: Edge, count: int) -> list[Event]:
    """The first events of calls."""
    found: list[Event] = []
    async with (
        open_bus(BusConfig((edge.nats.url,)), "test") as bus,
        asyncio.timeout(30),
        contextlib.aclosing(events_after(bus, "call", 0)) as events,
    ):
        async for _, event in events:
            found.append(event)
            if len(found) == count:
                break
    return found


async def test_a_call_is_told_by_events_and_by_the_spans_of_one_trace_over_both_gateways(edge: Edge) -> None:
    async with contextlib.AsyncExitStack() as stack:
        ada = await stack.enter_async_context(caller(edge.gateways[0]))
        bob = await stack.enter_async_context(caller(edge.gateways[1]))
        call = await in_call(ada, bob)
        for _ in range(2):
            answer = await bob.asked("report", call=call, peer=ada.participant, state="connected", **REPORT)
            assert answer["type"] == "reported"
        await ada.asked("report", call=call, peer=bob.participant, state="connected", media=True)
        await bob.asked("hang_up", call=call)
        names = ["CallRang", "CallAccepted", "CallConnected", "CallMediaStarted", "ParticipantLeft", "CallEnded"]
        events = await recorded(edge, len(names))
        assert [event.name for event in events] == names
        assert {(event.subject, event.source, event.data["room"]) for event in events} == {(call, "call", "hall")}
        assert [event.sequence for event in events] == sorted({event.sequence for event in events})
        assert events[2].data["webrtc.ice.round_trip_time"] == 0.012

        wanted = {"call ring", "call accept", "call ice connected", "call first media", "call leave", "call end"}
        spans = lambda: [  # noqa: E731
            span for served in edge.gateways for span in served.spans.spans if span.name.startswith("call ")
        ]
        await eventually(lambda: {span.name for span in spans()} >= wanted)
        assert {span.context.trace_id for span in spans()} == {int(events[0].traceparent.split("-")[1], 16)}
        assert sorted(span.name for span in spans()) == sorted(wanted)
        (root,) = [span for span in spans() if span.parent is None]
        assert root.name == "call ring"
        (ice,) = [span for span in spans() if span.name == "call ice connected"]
        assert ice.attributes["webrtc.ice.local_candidate.type"] == "host"
        assert ice.attributes["webrtc.ice.remote_candidate.type"] == "srflx"
        assert ice.attributes["webrtc.ice.round_trip_time"] == 0.012
        assert ice.attributes["call.id"] == call
        assert ice.start_time < ice.end_time
        published = [
            span.name
            for served in edge.gateways
            for span in served.spans.spans
            if span.context.trace_id == root.context.trace_id
        ]
        assert "publish events.call.CallEnded" in published
        assert "token" not in str([event.data for event in events])


async def test_a_failed_connection_is_an_event_with_the_candidate_types_that_were_tried(edge: Edge) -> None:
    async with contextlib.AsyncExitStack() as stack:
        ada = await stack.enter_async_context(caller(edge.gateways[0]))
        bob = await stack.enter_async_context(caller(edge.gateways[1]))
        call = await in_call(ada, bob)
        await ada.asked("report", call=call, peer=bob.participant, state="failed", tried=["srflx", "host"])
        failed = (await recorded(edge, 3))[-1]
        assert (failed.name, failed.data["webrtc.ice.candidate_types"]) == ("CallConnectionFailed", "host,srflx")


async def test_an_event_that_nats_did_not_take_is_published_later_and_once(edge: Edge) -> None:
    async with contextlib.AsyncExitStack() as stack:
        ada = await stack.enter_async_context(caller(edge.gateways[0]))
        bob = await stack.enter_async_context(caller(edge.gateways[1]))
        bus = await stack.enter_async_context(open_bus(BusConfig((edge.nats.url,)), "test"))
        before = (await ada.asked("ring", room="hall", to=bob.user_id))["call"]
        await ada.asked("hang_up", call=before)
        taken = len(await recorded(edge, 3))
        full = (await bus.streams.stream_info(STREAM)).config
        # It refuses what comes; a publisher that is refused makes the stream as it should be.
        await bus.streams.update_stream(full.evolve(max_msgs=taken, discard=DiscardPolicy.NEW))
        call = (await ada.asked("ring", room="hall", to=bob.user_id))["call"]
        assert (await bus.streams.stream_info(STREAM)).state.messages == taken
        late = (await recorded(edge, taken + 1))[-1]
        assert (late.name, late.subject) == ("CallRang", call)
        await ada.asked("hang_up", call=call)
        events = await recorded(edge, taken + 3)
        assert [event.name for event in events[taken:]] == ["CallRang", "ParticipantLeft", "CallMissed"]
        assert (await bus.streams.stream_info(STREAM)).state.messages == taken + 3
