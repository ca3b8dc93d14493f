"""The rules of a watch, on a scripted Consul."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from meshwright.consul import Backoff, Blocking, ConsulError, Indexed, watch
from meshwright.consul.watch import next_index
from meshwright.errors import UnreachableError, ValidationError, Violation

FAST = Backoff(first=0.0, cap=0.0)


class Script:
    """Answers in turn, then blocks for ever; remembers what was asked."""

    def __init__(self, *answers):
        self.asked = []
        self.ended = asyncio.Event()
        self._answers = list(answers)

    async def __call__(self, blocking: Blocking):
        self.asked.append(blocking.index)
        if not self._answers:
            self.ended.set()
            await asyncio.Event().wait()
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def play(*answers, **options):
    """What a watch on those answers yields, and the indexes it asked for."""
    script = Script(*answers)
    seen = []

    async def follow() -> None:
        async for answer in watch(script, backoff=FAST, **options):
            seen.append(answer)  # noqa: PERF401 (the loop never ends)

    task = asyncio.create_task(follow())
    ended = asyncio.create_task(script.ended.wait())
    await asyncio.wait({task, ended}, return_when=asyncio.FIRST_COMPLETED)
    ended.cancel()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return seen, script.asked


def at(index: int, value: str = "x") -> Indexed[str]:
    return Indexed(value, index)


async def test_each_query_asks_past_the_last_answer() -> None:
    seen, asked = await play(at(5), at(9, "y"))
    assert seen == [at(5), at(9, "y")]
    assert asked == [0, 5, 9]


async def test_the_same_answer_is_not_passed_on_twice() -> None:
    seen, _ = await play(at(5), at(5), at(5), at(6, "y"))
    assert seen == [at(5), at(6, "y")]


async def test_an_equal_value_at_a_new_index_is_passed_on() -> None:
    seen, _ = await play(at(5), at(6))
    assert seen == [at(5), at(6)]


async def test_an_index_that_goes_backwards_starts_over_from_zero() -> None:
    seen, asked = await play(at(50), at(7, "y"), at(7, "y"))
    assert asked == [0, 50, 0, 7]
    assert seen == [at(50), at(7, "y")]


async def test_after_an_error_the_watch_starts_over_because_it_may_have_been_a_restart() -> None:
    _, asked = await play(at(50), UnreachableError("gone"), at(50), ConsulError("GET /x", 500, "no leader"), at(51))
    assert asked == [0, 50, 0, 50, 0, 51]


async def test_failures_are_reported_one_by_one_and_recovery_once() -> None:
    reports = []
    gone, refused = UnreachableError("gone"), ConsulError("GET /x", 500, "no leader")
    await play(gone, refused, at(1), at(2), report=reports.append)
    assert reports == [gone, refused, None]


async def test_what_is_not_consuls_fault_ends_the_watch() -> None:
    problem = ValidationError("the token for Consul", [Violation("CONSUL_HTTP_TOKEN_FILE", "cannot read it")])
    with pytest.raises(ValidationError, match="cannot read it"):
        await play(problem)


async def test_answers_that_come_at_once_are_paced() -> None:
    asked = 0

    async def restless(blocking: Blocking) -> Indexed[int]:
        nonlocal asked
        asked += 1
        return Indexed(asked, asked)

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.3):
            async for _ in watch(restless, burst=5, rate=10.0):
                pass
    assert 5 <= asked <= 5 + 3 + 1


@pytest.mark.parametrize(("asked", "answered", "expected"), [(0, 1, 1), (5, 9, 9), (5, 5, 5), (9, 5, 0), (9, 1, 0)])
def test_the_next_index(asked, answered, expected):
    assert next_index(asked, answered) == expected
