"""Reading chains and instances where Consul refuses some of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from meshwright.consul import ConsulError, Indexed
from meshwright.controlplane.consul_source.reader import CONCURRENCY, Reader
from meshwright.controlplane.metrics import Metrics
from meshwright.controlplane.model.catalog import Target
from meshwright.controlplane.problems import Problems
from meshwright.errors import UnreachableError
from meshwright.model import Address, Instance, InstanceId, ServiceName
from support.controlplane.plane import plain_chain


class Consul:
    """Answers from dictionaries; an exception in them is raised."""

    def __init__(self) -> None:
        self.chains: dict[str, Any] = {}
        self.lists: dict[tuple[str, str], Any] = {}
        self.asked: list[str] = []
        self.most = self.now = 0

    async def discovery_chain(self, name: str) -> Indexed[dict[str, Any]]:
        return await self._answer(f"chain {name}", self.chains[name])

    async def instances(self, name: str, *, filter: str = "") -> Indexed[Any]:  # noqa: A002 (the name in the client)
        return await self._answer(f"instances {name} {filter}".strip(), self.lists[name, filter])

    async def _answer(self, asked: str, answer: Any) -> Indexed[Any]:
        self.asked.append(asked)
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0)
        self.now -= 1
        if isinstance(answer, Exception):
            raise answer
        return Indexed(dict(answer) if isinstance(answer, dict) else tuple(answer), 1)


def instance(name: str) -> Instance:
    return Instance(InstanceId(name), ServiceName(name.partition("-")[0]), Address("127.0.0.1", 1))


NAMES = frozenset(map(ServiceName, ("order", "user")))
NO = ConsulError("GET /v1/...", 500, "cannot compile")


@pytest.fixture
def consul() -> Consul:
    made = Consul()
    for name in NAMES:
        made.chains[name] = plain_chain(name)
        made.lists[name, ""] = (instance(f"{name}-1"),)
    return made


@pytest.fixture
def problems() -> Problems:
    return Problems()


@pytest.fixture
def reader(consul: Consul, problems: Problems) -> Reader:
    return Reader(consul, Metrics(), problems)  # type: ignore[arg-type]


async def read(reader: Reader, *stale: str) -> None:
    services = frozenset(map(ServiceName, stale))
    await reader.read_chains(NAMES, services)
    await reader.read_instances(reader.chains.values(), services)


async def test_only_what_is_missing_or_stale_is_read_and_equal_values_keep_their_object(
    consul: Consul, reader: Reader
) -> None:
    await read(reader)
    assert sorted(consul.asked) == ["chain order", "chain user", "instances order", "instances user"]
    chains, lists = dict(reader.chains), dict(reader.instances)
    consul.asked.clear()
    await read(reader)
    assert consul.asked == []
    await read(reader, "user")
    assert consul.asked == ["chain user", "instances user"]
    assert all(reader.chains[name] is chain for name, chain in chains.items())
    assert all(reader.instances[target] is found for target, found in lists.items())


async def test_a_refused_chain_keeps_its_last_good_value_and_the_others_go_on(
    consul: Consul, reader: Reader, problems: Problems
) -> None:
    await read(reader)
    consul.chains["user"] = NO
    consul.lists["order", ""] = ()
    await read(reader, "user", "order")
    assert set(reader.chains) == NAMES
    assert reader.instances[Target(ServiceName("order"))] == ()
    assert reader.refused == {"user"}
    assert [problem.path for problem in problems.all] == ["chain of user"]
    consul.chains["user"] = plain_chain("user")
    await read(reader, "user")
    assert problems.all == ()


async def test_a_chain_that_was_refused_from_the_start_is_left_out(consul: Consul, reader: Reader) -> None:
    consul.chains["user"] = NO
    await read(reader)
    assert set(reader.chains) == {"order"}


async def test_a_filter_that_consul_refuses_keeps_the_last_good_list(consul: Consul, reader: Reader) -> None:
    await read(reader)
    good = reader.instances[Target(ServiceName("user"))]
    consul.lists["user", ""] = NO
    await read(reader, "user")
    assert reader.instances[Target(ServiceName("user"))] is good
    assert reader.refused == {"user"}


async def test_a_consul_that_does_not_answer_ends_the_reading(consul: Consul, reader: Reader) -> None:
    consul.chains["user"] = UnreachableError("away")
    with pytest.raises(UnreachableError):
        await read(reader)


async def test_what_is_not_needed_any_more_is_forgotten(reader: Reader) -> None:
    await read(reader)
    await reader.read_chains(frozenset({ServiceName("user")}), frozenset())
    await reader.read_instances(reader.chains.values(), frozenset())
    assert reader.services == {"user"}


async def test_no_more_queries_are_sent_at_a_time_than_promised(consul: Consul, reader: Reader) -> None:
    names = frozenset(ServiceName(f"service-{number}") for number in range(100))
    for name in names:
        consul.chains[name] = plain_chain(name)
    await reader.read_chains(names, frozenset())
    assert len(reader.chains) == 100
    assert consul.most == CONCURRENCY


async def test_a_problem_goes_with_what_it_was_about(consul: Consul) -> None:
    problems = Problems()
    reader = Reader(consul, Metrics(), problems)  # type: ignore[arg-type]
    consul.chains["order"] = NO
    bad = plain_chain("user")
    (target,) = bad["Targets"].values()
    target["Subset"] = {"Filter": "bad"}
    consul.chains["user"], consul.lists["user", "bad"] = bad, NO
    await read(reader)
    assert [problem.path for problem in problems.all] == ["chain of order", "instances of user where bad"]
    await reader.read_chains(frozenset({ServiceName("user")}), frozenset())
    assert [problem.path for problem in problems.all] == ["instances of user where bad"]
    consul.chains["user"] = plain_chain("user")
    await reader.read_chains(frozenset({ServiceName("user")}), frozenset({ServiceName("user")}))
    await reader.read_instances(reader.chains.values(), frozenset())
    assert problems.all == ()
