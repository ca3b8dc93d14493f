"""What waits for a socket is bounded, and in order."""

from __future__ import annotations

import asyncio

from services.gateway.realtime.calls.sessions import MOST_SIGNALS, CallSession, SessionRegistry


class SlowSocket:
    """Takes frames when it is opened."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.sent: list[str] = []
        self.taken = asyncio.Event()

    async def __call__(self, frame: str) -> None:
        await self.opened.wait()
        self.sent.append(frame)
        self.taken.set()

    async def until(self, count: int) -> None:
        while len(self.sent) < count:
            self.taken.clear()
            await self.taken.wait()


async def test_a_state_comes_before_the_signals_that_follow_it_and_the_latest_state_replaces_one_that_waits() -> None:
    socket = SlowSocket()
    session = CallSession("ada", socket, lambda: 0.0)
    session.tell("other", "first")
    await asyncio.sleep(0)  # the first frame is on its way
    session.tell("call", "ringing")
    assert session.signal("offer")
    session.tell("call", "accepted")
    socket.opened.set()
    await socket.until(3)
    assert socket.sent == ["first", "accepted", "offer"]


async def test_a_signal_for_a_socket_that_takes_nothing_in_is_refused() -> None:
    socket = SlowSocket()
    session = CallSession("ada", socket, lambda: 0.0)
    taken = [session.signal(str(number)) for number in range(MOST_SIGNALS + 5)]
    assert taken == [True] * MOST_SIGNALS + [False] * 5
    for number in range(1000):
        session.tell("call", f"state {number}")
    socket.opened.set()
    await socket.until(MOST_SIGNALS + 1)
    assert socket.sent[-1] == "state 999"
    assert session.signal("again")
    await socket.until(MOST_SIGNALS + 2)


async def test_a_socket_that_has_ended_is_in_no_room_and_joins_none() -> None:
    registry = SessionRegistry()
    session = CallSession("ada", SlowSocket(), lambda: 0.0)
    with registry.present(session):
        registry.joined(session, "hall", "")
        assert session.rooms == {"hall": "ada"}
        assert list(registry.in_room("hall")) == [session]
        assert registry.get(session.connection) is session
    registry.joined(session, "hall", "late")
    assert (list(registry.in_room("hall")), registry.get(session.connection), session.rooms) == ([], None, {})
