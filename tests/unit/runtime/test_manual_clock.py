from __future__ import annotations

import asyncio

from meshwright.testing import ManualClock


async def test_sleepers_wake_in_order_each_at_its_time() -> None:
    clock = ManualClock(100.0)
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, *naps: float) -> None:
        for nap in naps:
            await clock.sleep(nap)
            woken.append((name, clock()))

    tasks = [asyncio.create_task(sleeper("late", 3)), asyncio.create_task(sleeper("often", 1, 1, 1))]
    await asyncio.sleep(0)
    await clock.advance(2.5)
    assert woken == [("often", 101.0), ("often", 102.0)]
    assert clock() == 102.5
    await clock.advance(1)
    await asyncio.gather(*tasks)
    assert woken[2:] == [("late", 103.0), ("often", 103.0)]


async def test_a_sleep_of_nothing_returns() -> None:
    await asyncio.wait_for(ManualClock().sleep(0), 1)


async def test_a_cancelled_sleeper_does_not_disturb_the_clock() -> None:
    clock = ManualClock()
    sleeper = asyncio.create_task(clock.sleep(1))
    await asyncio.sleep(0)
    sleeper.cancel()
    await clock.advance(2)
    assert clock() == 2
