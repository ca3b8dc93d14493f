"""Calls between telephones: forking, cancelling, refusals, repetitions; what passes within a call and what does not."""

from __future__ import annotations

import contextlib

import pytest

from integration.voice.exchange import BOB
from integration.voice.phone import phone
from support.waiting import eventually


@pytest.fixture
async def ada(switchboard):
    async with phone(switchboard.port, "ada", await switchboard.device()) as made:
        yield made


@pytest.fixture
async def bobs(switchboard):
    """Two telephones of one account, registered."""
    async with contextlib.AsyncExitStack() as stack:
        made = []
        for label in ("desk", "kitchen"):
            password = await switchboard.device(BOB, "bob", label)
            made.append(await stack.enter_async_context(phone(switchboard.port, "bob", password)))
            assert (await made[-1].register()).status_code == 200
        yield made


async def test_all_telephones_of_an_account_ring_the_first_gets_the_call_and_the_others_are_cancelled(
    switchboard, ada, bobs
):
    desk, kitchen = bobs
    invite = await ada.dial("bob")
    rings = [await each.request_of("INVITE") for each in bobs]
    for each, request in zip(bobs, rings, strict=True):
        assert request.uri == each.contact[1:-1]
        assert request.get_header("Max-Forwards") == "69"
        assert request.get_header("Proxy-Authorization") is None
        each.answer(request, 180)
    assert (await ada.response_of(invite, 180)).status_code == 180
    kitchen.answer(rings[1], 200)
    accepted = await ada.response_of(invite)
    assert (accepted.status_code, len(accepted.via)) == (200, 1)
    cancel = await desk.request_of("CANCEL")
    assert cancel.via[0].branch == rings[0].via[0].branch
    desk.answer(cancel, 200)
    desk.answer(rings[0], 487)
    assert (await desk.request_of("ACK")).via[0].branch == rings[0].via[0].branch
    ada.send(ada.within(invite, accepted, "ACK"))
    assert (await kitchen.request_of("ACK")).get_header_values("Route") == []
    assert switchboard.metric("sip_calls_talking") == 1
    bye = ada.within(invite, accepted, "BYE")
    ada.send(bye)
    ending = await kitchen.request_of("BYE")
    kitchen.answer(ending, 200)
    assert (await ada.response_of(bye)).status_code == 200
    assert switchboard.metric("sip_calls_talking") == 0
    assert switchboard.metric("sip_call_setup_seconds_count") == 1


async def test_the_callee_may_end_the_call_as_well(ada, bobs):
    invite = await ada.dial("bob")
    ring = await bobs[0].request_of("INVITE")
    bobs[0].answer(ring, 200)
    accepted = await ada.response_of(invite)
    kept = {"From": accepted.get_header("To"), "To": accepted.get_header("From"), "Call_ID": invite.call_id}
    bye = bobs[0].request("BYE", **kept, Route=accepted.get_header("Record-Route"))
    bobs[0].send(bye)
    came = await ada.request_of("BYE")
    ada.answer(came, 200)
    assert (await bobs[0].response_of(bye)).status_code == 200


async def test_a_caller_who_gives_up_stops_the_ringing(ada, bobs):
    invite = await ada.dial("bob")
    rings = [await each.request_of("INVITE") for each in bobs]
    for each, request in zip(bobs, rings, strict=True):
        each.answer(request, 180)
    await ada.response_of(invite, 180)
    ada.send(ada.of_same_hop(invite, "CANCEL", invite.get_header("To")))
    for each, request in zip(bobs, rings, strict=True):
        each.answer(await each.request_of("CANCEL"), 200)
        each.answer(request, 487)
    ended = await ada.response_of(invite)
    while ended.cseq.method == "CANCEL":  # its branch is the INVITE's
        assert ended.status_code == 200
        ended = await ada.response_of(invite)
    assert (ended.status_code, ended.cseq.method) == (487, "INVITE")
    ada.acknowledge(invite, ended)


@pytest.mark.parametrize(
    ("statuses", "told"),
    [((486, 404), 486), ((487, 486), 486), ((603, 404), 603), ((503, 486), 486), ((480, 480), 480)],
)
async def test_the_best_refusal_is_told_and_acknowledged_on_each_side(switchboard, ada, bobs, statuses, told):
    invite = await ada.dial("bob")
    for each, status in zip(bobs, statuses, strict=True):
        each.answer(await each.request_of("INVITE"), status)
        await each.request_of("ACK")
    refusal = await ada.response_of(invite)
    assert refusal.status_code == told
    # It is repeated until its ACK comes.
    assert (await ada.response_of(invite)).status_code == told
    ada.acknowledge(invite, refusal)
    await eventually(lambda: switchboard.proxy.pending == 0)


async def test_an_invite_is_repeated_until_it_is_answered_and_a_telephone_that_never_does_is_given_up(
    switchboard, ada, bobs
):
    invite = await ada.dial("bob")
    for _ in range(3):
        await bobs[0].request_of("INVITE")
    bobs[1].answer(await bobs[1].request_of("INVITE"), 486)
    assert (await ada.response_of(invite)).status_code == 486
    assert switchboard.metric("sip_requests_total", method="INVITE", status="486") == 1


async def test_a_repeated_invite_rings_once_and_is_told_the_last_response_again(ada, bobs):
    invite = await ada.dial("bob")
    ring = await bobs[0].request_of("INVITE")
    bobs[0].answer(ring, 180)
    await ada.response_of(invite, 180)
    ada.send(invite)
    assert (await ada.response_of(invite, 180)).status_code == 180
    again = await bobs[0].request_of("INVITE") if not bobs[0].requests.empty() else ring
    assert again.via[0].branch == ring.via[0].branch


@pytest.mark.parametrize("name", ["carl", "nothing"])
async def test_a_name_that_is_reached_nowhere_is_unavailable_whether_there_is_such_an_account_or_not(
    switchboard, ada, name
):
    await switchboard.device(BOB, "carl")
    invite = await ada.dial(name)
    assert (await ada.response_of(invite)).status_code == 480


async def test_a_caller_without_the_right_password_and_one_who_pretends_to_be_another_are_refused(switchboard, bobs):
    async with phone(switchboard.port, "ada", "guess") as scanner:
        assert (await scanner.response_of(await scanner.dial("bob"))).status_code == 403
    async with phone(switchboard.port, "bob", bobs[0].password) as pretender:
        invite = pretender.request("INVITE", From="<sip:ada@127.0.0.1>;tag=1", To="<sip:bob@127.0.0.1>")
        invite.uri = f"sip:bob@127.0.0.1:{switchboard.port}"
        pretender.send(invite)
        assert (await pretender.response_of(invite)).status_code == 407
    assert bobs[0].requests.empty()


async def test_nothing_passes_into_a_call_from_outside(switchboard, ada, bobs):
    invite = await ada.dial("bob")
    bobs[0].answer(await bobs[0].request_of("INVITE"), 200)
    accepted = await ada.response_of(invite)
    async with phone(switchboard.port, "mallory") as stranger:
        for kept in (
            {"From": invite.get_header("From"), "To": "<sip:bob@127.0.0.1>;tag=guess", "Call_ID": invite.call_id},
            {"From": "<sip:x@x>;tag=guess", "To": accepted.get_header("To"), "Call_ID": invite.call_id},
            {"From": invite.get_header("From"), "To": accepted.get_header("To"), "Call_ID": "another"},
        ):
            bye = stranger.request("BYE", **kept)
            assert (await stranger.ask(bye)).status_code == 481
        forged = bytes(accepted).replace(
            b"SIP/2.0/UDP", b"SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKx\r\nVia: SIP/2.0/UDP", 1
        )
        stranger.send(forged)
    assert ada.requests.empty()
    assert switchboard.metric("sip_calls_talking") == 1


async def test_a_request_that_has_gone_through_too_many_hops_is_refused(ada, bobs):
    invite = await ada.dial("bob")
    bobs[0].answer(await bobs[0].request_of("INVITE"), 200)
    bye = ada.within(invite, await ada.response_of(invite), "BYE")
    bye.set_header("Max-Forwards", "0")
    assert (await ada.ask(bye)).status_code == 483


async def test_a_call_is_one_trace_of_its_transactions(switchboard, ada, bobs):
    invite = await ada.dial("bob")
    bobs[0].answer(await bobs[0].request_of("INVITE"), 200)
    accepted = await ada.response_of(invite)
    ada.send(ada.within(invite, accepted, "ACK"))
    ada.send(ada.within(invite, accepted, "BYE"))
    await bobs[0].request_of("BYE")
    spans = await switchboard.spans()
    (whole,) = [
        span for span in spans if span.name == "SIP INVITE" and span.attributes["sip.response.status_code"] == 200
    ]
    trace = [span for span in spans if span.context.trace_id == whole.context.trace_id]
    assert [span.name for span in trace] == ["SIP INVITE", "SIP ACK", "SIP BYE"]
