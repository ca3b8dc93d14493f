"""Calls over two gateways: ring, answer, signals, the end, and what is refused."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from support.demo.calls import Caller, caller, in_call
from support.demo.people import sign_up
from support.waiting import eventually

if TYPE_CHECKING:
    from support.demo.realtime import Edge

OFFER = {"type": "offer", "sdp": "v=0\r\n"}
CANDIDATE = {"candidate": "candidate:1 1 udp 1 127.0.0.1 9 typ host", "sdpMid": "0", "sdpMLineIndex": 0}


async def two(edge: Edge, stack: contextlib.AsyncExitStack) -> tuple[Caller, Caller]:
    """A user at each gateway, in one room."""
    ada = await stack.enter_async_context(caller(edge.gateways[0], name="Ada"))
    bob = await stack.enter_async_context(caller(edge.gateways[1], name="Bob"))
    return ada, bob


async def test_a_call_is_rung_accepted_signalled_renegotiated_and_hung_up_over_two_gateways(edge: Edge) -> None:
    async with contextlib.AsyncExitStack() as stack:
        ada, bob = await two(edge, stack)
        call = await in_call(ada, bob)
        seen = await bob.state(call, "accepted")
        assert [each["name"] for each in seen["participants"]] == ["Ada", "Bob"]
        assert [each.get("polite") for each in seen["participants"]] == [True, None]
        assert [each.get("polite") for each in ada.call(call)["participants"]] == [None, False]
        for number, description in enumerate([OFFER, {"type": "offer", "sdp": "v=0\r\ns=again\r\n"}], 1):
            sent = await bob.asked("description", call=call, to=ada.participant, description=description)
            assert sent["type"] == "signalled", sent
            heard = await ada.first("description", number)
            assert (heard["from"], heard["to"], heard["description"]) == (bob.participant, ada.participant, description)
            await ada.signal(
                "description", call=call, to=bob.participant, description={"type": "answer", "sdp": f"{number}"}
            )
            assert (await bob.first("description", number))["description"]["sdp"] == str(number)
        for candidate in (CANDIDATE, {"candidate": ""}, None):
            await ada.signal("candidate", call=call, to=bob.participant, candidate=candidate)
        await bob.first("candidate", 3)
        assert [frame["candidate"] for frame in bob.signals("candidate")] == [CANDIDATE, {"candidate": ""}, None]
        assert (await ada.asked("hang_up", call=call))["state"] == "ended"
        ended = await bob.state(call, "ended")
        assert ended["reason"] == "hung_up"
        assert await bob.refusal("description", call=call, to=ada.participant, description=OFFER) == (
            "FAILED_PRECONDITION",
            "CALL_OVER",
        )


async def test_all_windows_of_a_user_ring_and_the_first_that_accepts_has_the_call(edge: Edge) -> None:
    async with contextlib.AsyncExitStack() as stack:
        ada, bob = await two(edge, stack)
        other = await stack.enter_async_context(caller(edge.gateways[0], bob.person))
        eve = await stack.enter_async_context(caller(edge.gateways[1]))
        call = (await ada.asked("ring", room="hall", to=bob.user_id))["call"]
        for window in (bob, other):
            assert (await window.state(call, "ringing"))["caller"] == ada.user_id
        await other.asked("accept", call=call)
        seen = await bob.state(call, "accepted")
        assert "participant" not in seen
        assert await bob.refusal("accept", call=call) == ("FAILED_PRECONDITION", "ALREADY_IN_CALL")
        assert await bob.refusal("hang_up", call=call) == ("PERMISSION_DENIED", "NOT_IN_CALL")
        assert eve.line.of("call") == []
        assert await eve.refusal("accept", call=call) == ("PERMISSION_DENIED", "NOT_CALLED")
        assert await eve.refusal("candidate", call=call, to=ada.participant, candidate=None) == (
            "PERMISSION_DENIED",
            "NOT_IN_CALL",
        )


async def test_of_two_windows_that_accept_at_two_gateways_at_once_one_has_the_call(edge: Edge) -> None:
    async with contextlib.AsyncExitStack() as stack:
        ada, bob = await two(edge, stack)
        other = await stack.enter_async_context(caller(edge.gateways[0], bob.person))
        for _ in range(3):
            call = (await ada.asked("ring", room="hall", to=bob.user_id))["call"]
            for window in (bob, other):
                await window.state(call, "ringing")
            answers = await asyncio.gather(*(window.asked("accept", call=call) for window in (bob, other)))
            assert sorted(answer["type"] for answer in answers) == ["call", "error"]
            (refused,) = [answer["reason"] for answer in answers if answer["type"] == "error"]
            assert refused == "ALREADY_IN_CALL"
            seen = await ada.state(call, "accepted")
            assert [each["user_id"] for each in seen["participants"]] == [ada.user_id, bob.user_id]
            await ada.asked("hang_up", call=call)
            for window in (bob, other):
                await window.state(call, "ended")


async def test_calls_are_declined_busy_and_missed(edge: Edge) -> None:
    async with contextlib.AsyncExitStack() as stack:
        ada, bob = await two(edge, stack)
        for kind, state in (("decline", "declined"), ("busy", "busy")):
            call = (await ada.asked("ring", room="hall", to=bob.user_id))["call"]
            await bob.state(call, "ringing")
            await bob.asked(kind, call=call)
            await ada.state(call, state)
        missed = (await ada.asked("ring", room="hall", to=bob.user_id))["call"]
        assert (await ada.state(missed, "missed"))["reason"] == "no_answer"
        await bob.state(missed, "missed")
        cancelled = (await ada.asked("ring", room="hall", to=bob.user_id))["call"]
        await ada.asked("hang_up", call=cancelled)
        assert (await bob.state(cancelled, "missed"))["reason"] == "cancelled"


async def test_a_user_in_a_call_is_busy_for_others(edge: Edge) -> None:
    async with contextlib.AsyncExitStack() as stack:
        ada, bob = await two(edge, stack)
        eve = await stack.enter_async_context(caller(edge.gateways[0]))
        call = await in_call(ada, bob)
        answer = await eve.asked("ring", room="hall", to=bob.user_id)
        assert (answer["state"], answer["reason"]) == ("busy", "in_another_call")
        assert (await bob.state(answer["call"], "busy"))["caller"] == eve.user_id
        assert bob.call(call)["state"] == "accepted"
        assert await ada.refusal("ring", room="hall", to=eve.user_id) == ("FAILED_PRECONDITION", "IN_ANOTHER_CALL")


async def test_two_who_ring_each_other_at_once_have_one_call(edge: Edge) -> None:
    async with contextlib.AsyncExitStack() as stack:
        ada, bob = await two(edge, stack)
        answers = await asyncio.gather(
            ada.asked("ring", room="hall", to=bob.user_id), bob.asked("ring", room="hall", to=ada.user_id)
        )
        (call,) = {answer["call"] for answer in answers}
        for window in (ada, bob):
            seen = await window.state(call, "accepted")
            assert {each["user_id"] for each in seen["participants"]} == {ada.user_id, bob.user_id}
        polite = [
            next(each["polite"] for each in window.call(call)["participants"] if "polite" in each)
            for window in (ada, bob)
        ]
        assert sorted(polite) == [False, True]


async def test_a_room_has_one_call_of_up_to_four_which_a_newcomer_hears_of(edge: Edge) -> None:
    async with contextlib.AsyncExitStack() as stack:
        windows = [await stack.enter_async_context(caller(edge.gateways[number % 2])) for number in range(4)]
        first = await windows[0].asked("ring", room="hall")
        call = first["call"]
        assert "callee" not in first
        assert (await windows[1].asked("ring", room="hall"))["call"] == call
        for window in windows[2:]:
            await window.state(call, "accepted")
            await window.asked("accept", call=call)
        late = await stack.enter_async_context(caller(edge.gateways[0]))
        seen = await late.until(call, lambda frame: len(frame["participants"]) == 4)
        assert seen["state"] == "accepted"
        assert await late.refusal("accept", call=call) == ("FAILED_PRECONDITION", "CALL_FULL")
        await windows[3].signal("candidate", call=call, to=windows[0].participant, candidate=CANDIDATE)
        assert (await windows[0].first("candidate"))["from"] == windows[3].participant
        await windows[0].line.say("leave", room="hall")
        await late.until(call, lambda frame: len(frame["participants"]) == 3)
        assert (await late.asked("accept", call=call))["state"] == "accepted"


async def test_only_members_of_the_room_call_and_are_called(edge: Edge) -> None:
    async with contextlib.AsyncExitStack() as stack:
        ada, bob = await two(edge, stack)
        outsider = await stack.enter_async_context(caller(edge.gateways[0], room=""))
        elsewhere = await stack.enter_async_context(caller(edge.gateways[0], room="other"))
        refused = ("FAILED_PRECONDITION", "NOT_IN_ROOM")
        assert await outsider.refusal("ring", room="hall", to=bob.user_id) == refused
        assert await outsider.refusal("ring", room="hall") == refused
        assert await ada.refusal("ring", room="hall", to=outsider.user_id) == (
            "FAILED_PRECONDITION",
            "USER_NOT_IN_ROOM",
        )
        assert await ada.refusal("ring", room="hall", to=elsewhere.user_id) == (
            "FAILED_PRECONDITION",
            "USER_NOT_IN_ROOM",
        )
        call = (await ada.asked("ring", room="hall"))["call"]
        for stranger in (outsider, elsewhere):
            for kind in ("accept", "decline", "busy"):
                assert await stranger.refusal(kind, call=call) == refused
            assert stranger.line.of("call") == []
        assert await bob.refusal("accept", call="nonsense") == ("NOT_FOUND", "NO_SUCH_CALL")
        assert await bob.refusal("accept", call=f"{'0' * 24}.0") == ("NOT_FOUND", "NO_SUCH_CALL")
        assert await ada.refusal("candidate", call=call, to="nobody-here", candidate=None) == (
            "FAILED_PRECONDITION",
            "NO_SUCH_PEER",
        )


async def test_signals_are_validated_and_bounded(edge: Edge) -> None:
    async with contextlib.AsyncExitStack() as stack:
        ada, bob = await two(edge, stack)
        call = await in_call(ada, bob)
        invalid = ("INVALID_ARGUMENT", "INVALID_MESSAGE")
        to = bob.participant
        large = {"type": "offer", "sdp": "x" * 49_153}
        assert await ada.refusal("description", call=call, to=to, description=large) == invalid
        assert ada.line.of("error")[-1]["fields"].keys() == {"description.sdp"}
        assert await ada.refusal("description", call=call, to=to, description={"type": "other"}) == invalid
        assert await ada.refusal("candidate", call=call, to=to, candidate={"candidate": "x" * 1025}) == invalid
        assert await ada.refusal("candidate", call=call, to=to) == invalid
        assert await ada.refusal("candidate", call=call, to=to, candidate={"candidate": "\ud800"}) == invalid
        assert await ada.refusal("telepathy", call=call) == invalid
        assert await ada.refusal("ring", room="hall", to=ada.user_id) != invalid  # it is in a call
        assert await ada.refusal("report", call=call, peer=to, state="connected", rtt=-1) == invalid
        assert await ada.refusal("report", call=call, peer=to, state="connected", rtt=float("inf")) == invalid
        fits = {"type": "offer", "sdp": "x" * 49_152}
        assert (await ada.asked("description", call=call, to=to, description=fits))["type"] == "signalled"
        await ada.line.connection.send(f'{{"type":"signal","kind":"description","x":"{"x" * 65_536}"}}')
        assert (await ada.line.closed())[0] == 1009


async def test_who_floods_with_signals_or_rings_is_refused_and_then_closed(edge: Edge) -> None:
    async with contextlib.AsyncExitStack() as stack:
        ada, bob = await two(edge, stack)
        reasons = set()
        for _ in range(8):
            answer = await ada.asked("ring", room="hall", to=bob.user_id)
            reasons.add(answer.get("reason"))
            if answer["type"] == "call":
                await ada.asked("hang_up", call=answer["call"])
        assert "RATE_LIMITED" in reasons
        call = (await bob.asked("ring", room="hall", to=ada.user_id))["call"]
        await ada.asked("accept", call=call)
        for _ in range(400):
            await ada.signal("candidate", call=call, to=bob.participant, candidate=CANDIDATE)
        assert await ada.line.closed() == (1008, "RATE_LIMITED")
        assert 0 < len(bob.signals("candidate")) <= 300


async def test_who_has_signed_up_alone_cannot_resume_as_another(edge: Edge) -> None:
    async with contextlib.AsyncExitStack() as stack:
        ada, bob = await two(edge, stack)
        eve = await stack.enter_async_context(caller(edge.gateways[0], await sign_up(edge.gateways[0])))
        call = await in_call(ada, bob)
        denied = ("PERMISSION_DENIED", "NOT_IN_CALL")
        assert await eve.refusal("resume", call=call, participant=bob.participant, token=bob.token) == denied
        assert await bob.refusal("resume", call=call, participant=bob.participant, token="guess") == denied
        assert "token" not in str([frame for frame in eve.line.heard if frame["type"] == "call"])
        await eventually(lambda: bob.call(call)["state"] == "accepted")
