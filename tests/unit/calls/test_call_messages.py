"""The messages of docs/reference/webrtc.md are those that the gateway reads and sends."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from services.gateway.realtime.calls import messages
from services.gateway.realtime.calls.call_frames import call_frame, signal_frame
from services.gateway.realtime.calls.domain import Call, CallState, Participant, hash_of
from services.gateway.realtime.calls.service import slot_of_call
from services.gateway.realtime.commands import InvalidCommandError, Signal, parse

DOCUMENT = Path(__file__).resolve().parents[3] / "docs/reference/webrtc.md"
SENT, CALL, SIGNAL = re.findall(r"^```json\n(.*?)^```", DOCUMENT.read_text("utf-8"), re.MULTILINE | re.DOTALL)
KINDS = {model.model_fields["kind"].annotation.__args__[0] for model in get_args(get_args(messages.SignalMessage)[0])}


@pytest.mark.parametrize("text", SENT.splitlines())
def test_documented_messages_are_read(text: str) -> None:
    command = parse(text)
    assert isinstance(command, Signal)
    assert command.content.kind == json.loads(text)["kind"]
    assert command.ref == json.loads(text).get("ref", "")


def test_every_kind_is_documented() -> None:
    listed = re.findall(r"^\| (`[a-z_]+`(?:, `[a-z_]+`)*) \| `", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    assert {name.strip("`") for row in listed for name in row.split(", ")} >= KINDS
    assert len(KINDS) == 9


def test_documented_frames_are_those_that_are_sent() -> None:
    document: dict[str, Any] = json.loads(CALL)
    ada, bob = [
        Participant(each["id"], each["user_id"], each["name"], f"socket-{number}", "one", hash_of("x"), number)
        for number, each in enumerate(document["participants"], 1)
    ]
    call = Call(
        document["call"],
        document["room"],
        document["caller"],
        document["callee"],
        1_796_119_200.0,
        CallState.ACCEPTED,
        (ada, bob),
        2,
        accepted_at=1_796_119_204.25,
    )
    sent = call_frame(call, "socket-2", ref=document["ref"], token=document["token"], alive_seconds=4.0)
    assert json.loads(sent) == document
    assert list(json.loads(sent)) == list(document)
    told = json.loads(SIGNAL)
    text = signal_frame("description", told["call"], told["from"], told["to"], {"description": told["description"]})
    assert json.loads(text) == told
    assert slot_of_call(told["call"]) == told["call"].partition(".")[0]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('{"type":"signal"}', "kind"),
        ('{"type":"signal","kind":7}', "kind"),
        ('{"type":"signal","kind":"ring"}', "room"),
        ('{"type":"signal","kind":"ring","room":"no such room!"}', "room"),
        ('{"type":"signal","kind":"accept","call":7}', "call"),
        ('{"type":"signal","kind":"description","call":"c","to":"p","description":{"type":"offer","sdp":7}}', ""),
        ('{"type":"signal","kind":"candidate","call":"c","to":"p","candidate":{"sdpMLineIndex":-1}}', ""),
        ('{"type":"signal","kind":"report","call":"c","peer":"p","state":"connected","rtt":true}', "rtt"),
        ('{"type":"signal","kind":"report","call":"c","peer":"p","state":"connected","local":"magic"}', "local"),
    ],
)
def test_invalid_messages_name_their_fields(text: str, field: str) -> None:
    with pytest.raises(InvalidCommandError) as caught:
        parse(text)
    failure = caught.value.failure
    assert (failure.code, failure.reason) == ("INVALID_ARGUMENT", "INVALID_MESSAGE")
    assert field in failure.fields or (not field and failure.fields)
