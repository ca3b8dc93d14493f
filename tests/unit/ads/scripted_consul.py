"""A Consul whose every answer the test decides, and a source that follows it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Any

from meshwright.consul import Blocking, CheckState, Indexed
from meshwright.controlplane.consul_source.source import Source
from meshwright.controlplane.metrics import Metrics
from meshwright.controlplane.model.catalog import Target
from meshwright.model import Address, Health, Instance, InstanceId, ServiceName
from support.controlplane.plane import plain_chain
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from meshwright.controlplane.model.catalog import Catalog


USER = ServiceName("user")
OWN = CheckState("n", "serfHealth", ServiceName(""), InstanceId(""), Health.PASSING, 1)


class Consul:
    """One topic per blocking query; `put` gives it a new value at a new index."""

    def __init__(self) -> None:
        self.index = 10
        self.topics: dict[str, Any] = {}
        """`Indexed` answers, or the error that Consul says instead."""
        self.chains: dict[str, Any] = {"consul": plain_chain("consul")}
        self.lists: dict[tuple[str, str], Any] = {}
        self.shows_nodes = True
        """Whether the token has node:read. With it, Consul's own check is always among the checks."""
        self.asked: Counter[str] = Counter()
        """How often the chain or the instances of a service were asked for."""
        self._moved = asyncio.Condition()
        self._waits = 0

    async def put(self, topic: str, value: Any) -> None:
        async with self._moved:
            self.index += 1
            self.topics[topic] = Indexed(value, self.index)
            self._moved.notify_all()

    def show(self, topic: str, value: Any) -> None:
        """What a change of the token's rules does: another answer at the same index, which wakes no query."""
        self.topics[topic] = Indexed(value, self.topics[topic].index)

    async def wait_runs_out(self) -> None:
        """Blocking queries are answered though nothing happened."""
        async with self._moved:
            self._waits += 1
            self._moved.notify_all()

    async def _blocking(self, topic: str, empty: Any, blocking: Blocking | None) -> Indexed[Any]:
        def answer() -> Indexed[Any]:
            found = self.topics.get(topic, Indexed(empty, 1))
            if isinstance(found, Exception):
                raise found
            return found

        async with self._moved:
            if blocking is not None and blocking.index:
                waits = self._waits
                await self._moved.wait_for(lambda: answer().index > blocking.index or self._waits > waits)
            return answer()

    async def check_states(self, blocking: Blocking | None = None) -> Indexed[Any]:
        answer = await self._blocking("checks", (), blocking)
        return Indexed((OWN, *answer.value) if self.shows_nodes else (), answer.index)

    async def services(self, blocking: Blocking | None = None) -> Indexed[Any]:
        answer = await self._blocking("services", {}, blocking)
        return Indexed({ServiceName("consul"): (), **answer.value}, answer.index)

    async def kv_list(self, _prefix: str, blocking: Blocking | None = None) -> Indexed[Any]:
        return await self._blocking("kv", (), blocking)

    async def kv_get(self, _key: str) -> Indexed[Any]:
        return Indexed(None, 1)

    async def config_entries(self, kind: str, blocking: Blocking | None = None) -> Indexed[Any]:
        return await self._blocking(kind, (), blocking)

    async def discovery_chain(self, name: str) -> Indexed[Any]:
        self.asked[name] += 1
        return _given(self.chains[name])

    async def instances(self, name: str, *, filter: str = "") -> Indexed[Any]:  # noqa: A002 (the name in the client)
        self.asked[name] += 1
        return _given(self.lists.get((name, filter), ()))


def _given(answer: Any) -> Indexed[Any]:
    if isinstance(answer, Exception):
        raise answer
    return Indexed(answer, 1)


def instance(version: str = "1") -> Instance:
    return Instance(InstanceId("user-1"), USER, Address("127.0.0.1", 1), meta={"version": version}, node="n")


class Following:
    """A source that is followed; `last` is what it said last."""

    def __init__(self, consul: Consul, recovery: float = 60.0) -> None:
        self.source = Source(consul, Metrics(), debounce=0.0, recovery=recovery)  # type: ignore[arg-type]
        self.last: Catalog | None = None

    async def follow(self) -> None:
        async for catalog in self.source.catalogs():
            self.last = catalog

    def instances(self, filter: str = "") -> tuple[Instance, ...]:  # noqa: A002 (the name in Target)
        return self.last.instances.get(Target(USER, filter), ()) if self.last else ()


@contextlib.asynccontextmanager
async def followed(consul: Consul, recovery: float = 60.0, *, known: bool = True) -> AsyncIterator[Following]:
    """A source at work; `known`: once it has said something."""
    made = Following(consul, recovery)
    task = asyncio.create_task(made.follow())
    try:
        if known:
            await eventually(lambda: made.last is not None)
        yield made
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def filtered_chain(expression: str) -> dict[str, Any]:
    chain = plain_chain(USER)
    (entry,) = chain["Targets"].values()
    entry["Subset"] = {"Filter": expression}
    return chain
