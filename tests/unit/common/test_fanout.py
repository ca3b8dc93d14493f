"""Inboxes are bounded and count what they leave out; a fan-out reaches whom it should."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.messaging.fanout import NEAR, Fanout, Inbox, read_backlog

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


@dataclass(frozen=True)
class Item:
    sequence: int


class EndError(Exception):
    pass


@given(st.integers(1, 5), st.lists(st.booleans(), max_size=60))
def test_whatever_is_put_is_taken_in_order_or_counted_as_left_out_right_where_it_was(size, steps):
    inbox = Inbox[Item](size)
    put = seen = 0
    for is_put in steps:
        if is_put:
            put += 1
            inbox.put(Item(put))
        elif taken := inbox.take():
            gap, item = taken
            if gap:
                assert (gap.first.sequence, gap.last.sequence) == (seen + 1, seen + gap.count)
                seen += gap.count
            assert item.sequence == seen + 1
            seen += 1
    while taken := inbox.take():
        gap, item = taken
        seen += (gap.count if gap else 0) + 1
        assert item.sequence == seen
    assert seen == put


def test_an_inbox_never_holds_more_than_its_size() -> None:
    inbox = Inbox[Item](3)
    for number in range(100):
        inbox.put(Item(number))
    held = []
    while taken := inbox.take():
        held.append(taken[1].sequence)
    assert held == [97, 98, 99]


def test_what_is_not_wanted_takes_no_room() -> None:
    inbox = Inbox[Item](1, lambda item: item.sequence % 2 == 0)
    inbox.put(Item(2))
    inbox.put(Item(3))
    assert inbox.take() == (None, Item(2))


async def test_waiting_ends_when_an_item_comes_or_it_is_woken_or_closed() -> None:
    inbox = Inbox[Item](1)
    for act in (lambda: inbox.put(Item(1)), inbox.wake):
        waiting = asyncio.create_task(inbox.wait())
        await asyncio.sleep(0)
        assert not waiting.done()
        act()
        await waiting
        inbox.take()
    waiting = asyncio.create_task(inbox.wait())
    await asyncio.sleep(0)
    inbox.close(EndError())
    with pytest.raises(EndError):
        await waiting
    inbox.put(Item(2))
    with pytest.raises(EndError):
        inbox.take()


async def test_a_fan_out_reaches_each_inbox_of_a_key_while_it_is_open() -> None:
    fanout = Fanout[Item]()
    ada, bob = Inbox[Item](9), Inbox[Item](9)
    with fanout.open(("ada", "all"), ada):
        with fanout.open(("bob", "all"), bob):
            fanout.deliver("all", Item(1))
            fanout.deliver("ada", Item(2))
            assert (fanout.count("all"), fanout.count("ada"), fanout.count("nobody")) == (2, 1, 0)
        fanout.deliver("all", Item(3))
    fanout.deliver("all", Item(4))
    assert [taken[1].sequence for taken in iter(ada.take, None)] == [1, 2, 3]
    assert [taken[1].sequence for taken in iter(bob.take, None)] == [1]
    assert fanout.count("all") == 0


async def test_a_closed_fan_out_ends_what_is_open_and_what_opens_later() -> None:
    fanout = Fanout[Item]()
    now, later = Inbox[Item](1), Inbox[Item](1)
    with fanout.open(("k",), now):
        fanout.close(EndError())
        with pytest.raises(EndError):
            await now.wait()
    with fanout.open(("k",), later), pytest.raises(EndError):
        await later.wait()


async def test_what_opens_for_a_place_from_before_an_end_is_ended() -> None:
    fanout = Fanout[Item]()
    before, after = fanout.era, Inbox[Item](1)
    fanout.end(EndError())
    with fanout.open(("k",), Inbox[Item](1), before) as _, fanout.open(("k",), after, fanout.era):
        fanout.deliver("k", Item(1))
        assert after.take() == (None, Item(1))
    old = Inbox[Item](1)
    with fanout.open(("k",), old, before), pytest.raises(EndError):
        await old.wait()


async def test_the_way_back_is_read_in_stretches_until_the_tail_is_near() -> None:
    tail = 5 * NEAR
    asked = []

    async def read(after: int, until: int) -> AsyncGenerator[Item]:
        nonlocal tail
        asked.append((after, until))
        for number in range(after + 1, until + 1):
            yield Item(number)
        tail += (tail - after) // 2  # the stream grows half as fast as it is read

    async with contextlib.aclosing(read_backlog(read, 0, lambda: tail)) as items:
        got = [item.sequence async for item in items]
    assert got == list(range(1, asked[-1][1] + 1))
    assert len(asked) > 1
    assert tail - asked[-1][1] <= NEAR
