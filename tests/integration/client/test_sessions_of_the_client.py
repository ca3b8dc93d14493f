"""Signing in and staying so: renewals, refusals, and a gateway that is away."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from services.client import DemoClient, LiveState, ProblemError, Tokens
from support.demo.people import PASSWORD, address
from support.waiting import eventually

if TYPE_CHECKING:
    from integration.client.network import Network


class Clock:
    """Now, and as much later as a test wants: only the client's clock is ahead."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


class Kept:
    """A store in memory."""

    def __init__(self) -> None:
        self.tokens: Tokens | None = None

    async def load(self) -> Tokens | None:
        return self.tokens

    async def save(self, tokens: Tokens | None) -> None:
        self.tokens = Tokens.of_document(tokens.document()) if tokens else None


async def test_a_wrong_password_is_refused_with_the_gateways_words(way: Network) -> None:
    async with DemoClient(way.url) as client:
        with pytest.raises(ProblemError) as caught:
            await client.session.sign_in(address(), PASSWORD)
        assert (caught.value.status, caught.value.code) == (401, "UNAUTHENTICATED")
        with pytest.raises(ProblemError) as caught:
            await client.session.sign_up("", "nobody", PASSWORD)
        assert {"name", "email"} <= caught.value.fields.keys()


async def test_tokens_are_renewed_in_time_once_by_many_and_told_to_the_socket(way: Network) -> None:
    clock = Clock()
    async with DemoClient(way.url, clock=clock) as client:
        await client.session.sign_up("Ada", address(), PASSWORD)
        await eventually(lambda: client.live.state is LiveState.LIVE)
        first = client.session.tokens
        assert first is not None
        heard: list[str] = []
        client.live.on("authenticated", lambda frame: heard.append(frame["user_id"]))
        clock.ahead = first.lifetime
        renewed = await asyncio.gather(*(client.session.token() for _ in range(5)))
        assert len(set(renewed)) == 1
        assert renewed[0] != first.access
        await eventually(lambda: heard == [first.subject])


async def test_a_session_is_taken_up_after_a_restart_and_ended_for_good_by_signing_out(way: Network) -> None:
    kept = Kept()
    async with DemoClient(way.url, kept) as client:
        await client.session.sign_up("Ada", address(), PASSWORD)
        subject = client.session.subject
    async with DemoClient(way.url, kept) as client:
        assert client.session.subject == subject
        await eventually(lambda: client.live.state is LiveState.LIVE)
        before = client.session.tokens
        assert before is not None
        await client.session.sign_out()
    assert kept.tokens is None
    kept.tokens = before
    async with DemoClient(way.url, kept) as client:
        # Its refresh token is good no more.
        assert await client.session.renew(before.access) == ""
        await eventually(lambda: client.live.state is LiveState.OFF)
        assert kept.tokens is None


async def test_a_gateway_that_is_away_is_told_apart_from_a_refusal(way: Network) -> None:
    target, way.target = way.target, None
    async with DemoClient(way.url) as client:
        with pytest.raises(ProblemError, match="does not answer") as caught:
            await client.session.sign_in(address(), PASSWORD)
        assert (caught.value.status, caught.value.is_transient) == (0, True)
        way.target = target
        await client.session.sign_up("Ada", address(), PASSWORD)
        assert client.session.subject
