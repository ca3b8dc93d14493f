"""`watch` against a Consul: wakes up at a change, survives its death, and never spins."""

from __future__ import annotations

import asyncio
import contextlib
import time
from functools import partial

import pytest

from meshwright.consul import Blocking, Consul, watch
from meshwright.errors import UnreachableError
from support.consul.proxy import proxied
from support.waiting import eventually


class Follower:
    """Collects what a watch yields, and what it reports."""

    def __init__(self, fetch, **options):
        self.seen = []
        self.reports = []
        self.task = asyncio.create_task(self._follow(fetch, options))

    async def _follow(self, fetch, options):
        async for answer in watch(fetch, report=self.reports.append, **options):
            self.seen.append(answer)

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})


@contextlib.asynccontextmanager
async def following(fetch, **options):
    follower = Follower(fetch, **options)
    try:
        yield follower
    finally:
        await follower.stop()


async def test_a_blocking_query_answers_when_its_key_changes(consul):
    await consul.kv_put("key", b"one")
    first = await consul.kv_get("key")
    waiting = asyncio.create_task(consul.kv_get("key", Blocking(first.index, wait=60.0)))
    await consul.kv_put("key", b"two")
    async with asyncio.timeout(5):
        answer = await waiting
    assert answer.value.value == b"two"
    assert answer.index > first.index


async def test_a_change_reaches_the_follower(consul):
    async with following(partial(consul.kv_list, "policy/")) as follower:
        await eventually(lambda: follower.seen)
        assert follower.seen[0].value == ()
        for number in range(5):
            await consul.kv_put(f"policy/{number}", b"x")
            await eventually(lambda number=number: len(follower.seen[-1].value) == number + 1)


async def test_a_wait_that_runs_out_is_not_a_change(any_consul):
    async with proxied(any_consul) as proxy, Consul(proxy.config) as consul:
        await consul.kv_put("key", b"x")
        async with following(partial(consul.kv_get, "key"), wait=0.01) as follower:
            await eventually(lambda: proxy.count("GET /v1/kv/key") >= 5)
            assert len(follower.seen) == 1


async def test_a_watch_goes_on_with_a_consul_that_restarted_empty(any_consul, consul):
    for number in range(30):
        await consul.kv_put(f"policy/{number}", b"x")
    async with following(partial(consul.kv_list, "policy/")) as follower:
        await eventually(lambda: follower.seen)
        before = follower.seen[-1].index
        await any_consul.restart(empty=True)
        # The new index is far below the old one: a watch that asked past the old one would hear nothing.
        await eventually(lambda: follower.seen[-1].value == ())
        assert follower.seen[-1].index < before
        await consul.kv_put("policy/new", b"y")
        await eventually(lambda: [pair.key for pair in follower.seen[-1].value] == ["policy/new"])


async def test_an_outage_is_reported_and_so_is_its_end(any_consul, consul):
    async with following(partial(consul.kv_list, "policy/")) as follower:
        await eventually(lambda: follower.seen)
        await any_consul.kill()
        await eventually(lambda: len(follower.reports) >= 2)
        assert all(isinstance(report, UnreachableError) for report in follower.reports)
        await any_consul.start()
        await eventually(lambda: follower.reports[-1] is None)
        assert follower.reports.count(None) == 1


async def test_a_watch_is_cancelled_at_once(any_consul):
    async with proxied(any_consul) as proxy, Consul(proxy.config) as consul:
        follower = Follower(partial(consul.kv_list, "policy/"), wait=300.0)
        await eventually(lambda: len(proxy.arrived) == 2)
        began = time.monotonic()
        await follower.stop()
        assert time.monotonic() - began < 1.0
        assert follower.task.cancelled()


async def test_forty_watches_leave_the_short_requests_their_connections(consul):
    async with contextlib.AsyncExitStack() as stack:
        followers = [
            await stack.enter_async_context(following(partial(consul.kv_list, f"{number}/"))) for number in range(40)
        ]
        await eventually(lambda: all(follower.seen for follower in followers))
        async with asyncio.timeout(5):
            await consul.kv_put("39/x", b"")
        await eventually(lambda: len(followers[39].seen) > 1)


async def test_more_blocking_queries_than_consul_allows_fail_instead_of_waiting_unseen(any_consul, monkeypatch):
    monkeypatch.setattr("meshwright.consul.transport.CONNECT_TIMEOUT", 0.2)
    monkeypatch.setattr("meshwright.consul.transport.BLOCKING_CONNECTIONS", 2)
    async with proxied(any_consul) as proxy, Consul(proxy.config) as small:
        index = (await small.kv_list("x")).index
        holders = [asyncio.create_task(small.kv_list("x", Blocking(index, 60.0))) for _ in range(2)]
        await eventually(lambda: proxy.count("GET /v1/kv/x") == 3)
        with pytest.raises(UnreachableError, match="no connection in time"):
            await small.kv_list("x", Blocking(index, 60.0))
        for holder in holders:
            holder.cancel()
        await asyncio.wait(holders)
