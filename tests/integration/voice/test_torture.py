"""Messages that try a parser: RFC 4475's, their halves and mutations. None ends the service or stays in its memory."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING

import pytest

from integration.voice.phone import phone
from integration.voice.torture import INVALID, VALID, wire
from support.waiting import eventually

if TYPE_CHECKING:
    from integration.voice.exchange import Exchange


def counted(switchboard: Exchange) -> dict[str, float]:
    """How often each status was answered, and how many messages were dropped as malformed."""
    registry = switchboard.telemetry.metrics.registry
    samples = [sample for family in registry.collect() for sample in family.samples]
    statuses = {s.labels["status"]: 0.0 for s in samples if s.name == "sip_requests_total"}
    for sample in samples:
        if sample.name == "sip_requests_total":
            statuses[sample.labels["status"]] += sample.value
    return statuses | {"malformed": switchboard.metric("sip_dropped_messages_total", reason="malformed")}


async def outcome(switchboard: Exchange, text: str) -> str:
    """The status of the answer, or `malformed`."""
    before = sum(counted(switchboard).values())
    async with phone(switchboard.port) as sender:
        sender.send(wire(text))
        await eventually(lambda: sum(counted(switchboard).values()) > before)
    return max((name for name, value in counted(switchboard).items() if value), key=len)


@pytest.mark.parametrize("name", VALID)
async def test_a_valid_message_is_understood(switchboard, name):
    assert await outcome(switchboard, VALID[name]) in {"200", "401", "407", "481", "501"}


@pytest.mark.parametrize("name", sorted(INVALID.keys() - {"response"}))
async def test_an_invalid_message_is_refused_or_dropped(switchboard, name):
    assert await outcome(switchboard, INVALID[name]) in {"400", "416", "505", "malformed"}


async def test_whatever_is_sent_the_service_goes_on(switchboard):
    chance = random.Random(4475)
    messages = [wire(text) for text in (*VALID.values(), *INVALID.values())]
    async with phone(switchboard.port, "ada", await switchboard.device()) as ada:
        for number in range(3000):
            message = bytearray(chance.choice(messages))
            for _ in range(chance.randrange(1, 6)):
                message[chance.randrange(len(message))] = chance.randrange(256)
            ada.send(bytes(message[: chance.randrange(1, len(message) + 1)]))
            if number % 100 == 0:
                await asyncio.sleep(0)  # lets the service receive
        await eventually(lambda: not switchboard.front.busy)
        assert (await ada.ask(ada.request("OPTIONS"))).status_code == 200


async def test_a_connection_with_garbage_is_closed_and_others_are_served(switchboard):
    reader, writer = await asyncio.open_connection("127.0.0.1", switchboard.port)
    writer.write(b"A" * 200_000)
    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()
    reader, writer = await asyncio.open_connection("127.0.0.1", switchboard.port)
    for text in VALID.values():
        writer.write(wire(text))
    writer.write(wire(VALID["lwsdisp"].replace("kdjuw", "last")))
    answers = await asyncio.wait_for(reader.readuntil(b"branch=z9hG4bKlast"), 10)
    assert answers.count(b"SIP/2.0 ") >= 5
    writer.close()


async def test_responses_of_old_transactions_are_forgotten(switchboard):
    async with phone(switchboard.port) as made:
        for _ in range(50):
            await made.ask(made.request("OPTIONS"))
        assert switchboard.front.transactions == 50
        switchboard.time.ahead = 33.0
        await made.ask(made.request("OPTIONS"))
        assert switchboard.front.transactions == 1
