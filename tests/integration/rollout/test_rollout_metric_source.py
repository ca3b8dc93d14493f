"""Figures fetched from what a Consul lists, and from something that speaks Prometheus' API."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from meshwright.consul import Consul, Registration
from meshwright.model import Address, InstanceId, ServiceName
from meshwright.rollout.adapters import ConsulMetricSource
from meshwright.rollout.api.observed import ApiUse, MetricQuery
from meshwright.rollout.api.spec import Metric, Rollout
from meshwright.rollout.api.vocabulary import AnalysisSource, MetricKind
from meshwright.telemetry.metrics import Metrics
from support.consul.servers import dev_consul
from support.kubernetes.rollouts import rollout

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GET = "/demo.user.v1.UserService/Get"
RATE = Metric("rate", MetricKind.SUCCESS_RATE, minimum=0.9)
P50 = Metric("p50", MetricKind.LATENCY, quantile=0.5, maximum=1.0)
QUERY = Metric("query", MetricKind.QUERY, query="up", minimum=1)


class Clock:
    """Unix time that a test moves."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Instance:
    """An instance that is listed in Consul and has a page of metrics."""

    name: str
    service: str
    version: str
    metrics: Metrics = field(default_factory=Metrics)
    runner: web.AppRunner | None = None

    async def start(self, consul: Consul) -> None:
        async def page(_: web.Request) -> web.Response:
            return web.Response(body=self.metrics.page())

        app = web.Application()
        app.router.add_get("/metrics", page)
        self.runner = web.AppRunner(app)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        port = self.runner.addresses[0][1]
        meta = {"version": self.version, "metrics_port": str(port)}
        address = Address("127.0.0.1", port)
        await consul.register(
            Registration(InstanceId(self.name), ServiceName(self.service), address, meta=meta, check_interval=600.0)
        )

    async def stop(self) -> None:
        if self.runner is not None:
            await self.runner.cleanup()
            self.runner = None

    def count(self, status: str, times: int = 1, *, side: str = "server", seconds: float = 0.003) -> None:
        for _ in range(times):
            self.metrics.method(side, "user", GET).end(status, self.version, seconds)  # type: ignore[arg-type]


@dataclass
class Place:
    consul: Consul
    clock: Clock
    measurements: ConsulMetricSource
    instances: list[Instance] = field(default_factory=list)

    async def add(self, name: str, service: str = "user", version: str = "2.0.0") -> Instance:
        found = Instance(name, service, version)
        await found.start(self.consul)
        self.instances.append(found)
        return found

    async def measure(self, metric: Metric, version: str = "2.0.0", seconds: float = 30.0) -> tuple[Any, Any]:
        (found,) = await self.measurements.measure(rollout(), [MetricQuery(metric, version, seconds)])
        return found.value, found.calls

    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    """A dev Consul and measurements whose clock the test moves."""
    clock = Clock()
    async with dev_consul() as server, Consul(server.config) as consul:
        found = Place(consul, clock, ConsulMetricSource(consul, clock=clock))
        yield found
        for instance in found.instances:
            await instance.stop()


async def test_a_window_of_calls_over_all_instances_of_a_version(place: Place) -> None:
    one, two = await place.add("a"), await place.add("b")
    stable = await place.add("c", version="1.0.0")
    one.count("OK", 50)
    assert await place.measure(RATE) == (None, 0), "what was counted before is not of this window"
    place.pass_time(5)
    one.count("OK", 6)
    two.count("INTERNAL", 2)
    stable.count("OK", 3)
    assert await place.measure(RATE) == (0.75, 8)
    place.pass_time(1)
    assert await place.measure(RATE, "1.0.0") == (1.0, 3)
    place.pass_time(1)
    value, _ = await place.measure(P50)
    assert value == pytest.approx(0.00375)


async def test_what_lies_before_the_window_does_not_count(place: Place) -> None:
    one = await place.add("a")
    await place.measure(RATE)
    place.pass_time(5)
    one.count("INTERNAL", 10)
    await place.measure(RATE)
    place.pass_time(20)
    one.count("OK", 10)
    assert await place.measure(RATE, seconds=10) == (1.0, 10)
    assert await place.measure(RATE, seconds=60) == (0.5, 20)


async def test_an_instance_that_is_gone_counts_until_its_window_is_over(place: Place) -> None:
    one, two = await place.add("a"), await place.add("b")
    await place.measure(RATE)
    place.pass_time(2)
    one.count("INTERNAL", 5)
    await place.measure(RATE)
    await one.stop()
    await place.consul.deregister(InstanceId("a"))
    place.pass_time(2)
    two.count("OK", 5)
    assert await place.measure(RATE) == (0.5, 10)
    place.pass_time(31)
    assert await place.measure(RATE) == (None, 0)


async def test_a_query_needs_prometheus(place: Place) -> None:
    (found,) = await place.measurements.measure(rollout(), [MetricQuery(QUERY, "2.0.0", 30)])
    assert "prometheus" in found.error


async def test_callers_are_named_when_they_were_watched_long_enough(place: Place) -> None:
    await place.add("u")
    gateway, idle = await place.add("g", "gateway", "1"), await place.add("i", "idle", "1")
    gateway.count("OK", 9, side="client")
    asked = (rollout(), ["demo.user.v1", "demo.user.v2"], 10.0)
    assert await place.measurements.callers(*asked) is None, "nobody was watched yet"
    place.pass_time(5)
    assert await place.measurements.callers(*asked) is None
    place.pass_time(5)
    assert await place.measurements.callers(*asked) == ()
    gateway.count("OK", 4, side="client")
    place.pass_time(5)
    assert await place.measurements.callers(*asked) == (ApiUse("demo.user.v1", "gateway", 4),)
    del idle


async def test_callers_are_believed_where_they_saw_worse_than_the_servers_say(place: Place) -> None:
    canary, gateway = await place.add("a"), await place.add("g", "gateway", "2.0.0")
    await place.measure(RATE)
    place.pass_time(2)
    canary.count("OK", 20)
    gateway.count("OK", 10, side="client")
    gateway.count("UNKNOWN", 10, side="client")
    assert await place.measure(RATE) == (0.5, 20)
    place.pass_time(2)
    canary.count("INTERNAL", 20)
    assert await place.measure(RATE) == (0.5, 40), "and servers where they say worse"


async def test_a_caller_that_appears_later_is_found(place: Place) -> None:
    canary = await place.add("a")
    await place.measure(RATE)
    gateway = await place.add("g", "gateway", "2.0.0")
    gateway.count("OK", side="client")
    place.pass_time(11)
    await place.measure(RATE)
    canary.count("OK", 8)
    gateway.count("INTERNAL", 8, side="client")
    place.pass_time(2)
    assert await place.measure(RATE) == (0.0, 8)


@contextlib.asynccontextmanager
async def prometheus(answers: dict[str, Any], asked: list[str]) -> AsyncIterator[Rollout]:
    async def query(request: web.Request) -> web.Response:
        text = request.query["query"]
        asked.append(text)
        return web.json_response(next(answer for part, answer in answers.items() if part in text))

    app = web.Application()
    app.router.add_get("/api/v1/query", query)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    analysis = replace(rollout().analysis, source=AnalysisSource.PROMETHEUS, prometheus=address)
    yield replace(rollout(), analysis=analysis)
    await runner.cleanup()


def table(*rows: tuple[dict[str, str], str]) -> dict[str, Any]:
    result = [{"metric": labels, "value": [1, value]} for labels, value in rows]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


def vector(*values: str) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": "vector", "result": [{"value": [1, one]} for one in values]}}


SERVER = {"side": "server", "version": "2.0.0"}
CLIENT = {"side": "client", "version": "2.0.0"}


async def test_prometheus_is_asked_what_both_sides_counted(place: Place) -> None:
    counts = table(
        ({**SERVER, "status": "OK"}, "14"),
        ({**SERVER, "status": "INTERNAL"}, "2"),
        ({**CLIENT, "status": "OK"}, "6"),
        ({**CLIENT, "status": "UNKNOWN"}, "2"),
        ({"side": "client", "status": "DEADLINE_EXCEEDED"}, "4"),
        ({**SERVER, "version": "1.0.0", "status": "OK"}, "100"),
        ({**CLIENT, "version": "1.0.0", "status": "OK"}, "100"),
        ({**SERVER, "status": "NOT_FOUND"}, "NaN"),
    )
    times = table(
        ({**SERVER, "le": "0.1"}, "16"), ({**SERVER, "le": "+Inf"}, "16"),
        ({**CLIENT, "le": "0.1"}, "0"), ({**CLIENT, "le": "1.0"}, "8"), ({**CLIENT, "le": "+Inf"}, "8"),
    )  # fmt: skip
    asked: list[str] = []
    async with prometheus({"status) (": counts, "le) (": times}, asked) as wanted:
        rate, median = await place.measurements.measure(
            wanted, [MetricQuery(RATE, "2.0.0", 30), MetricQuery(P50, "2.0.0", 30)]
        )
    assert (rate.value, rate.calls, rate.counted_by, rate.error) == (0.5, 12, "its callers", "")
    assert (median.value, median.counted_by) == (pytest.approx(0.55), "its callers")
    assert all("[30s]" in query for query in asked)


@pytest.mark.parametrize(
    ("answer", "value", "error"),
    [
        (vector("3"), 3.0, ""),
        (vector(), None, ""),
        (vector("NaN"), None, ""),
        (vector("1", "2"), None, "2 series"),
        ({"status": "success", "data": {"resultType": "scalar", "result": [1, "7"]}}, 7.0, ""),
        ({"status": "error", "error": "parse error"}, None, "parse error"),
        ({"status": "success"}, None, "data"),
    ],
)
async def test_what_a_query_answers(place: Place, answer: dict[str, Any], value: float | None, error: str) -> None:
    async with prometheus({"": answer}, []) as wanted:
        (found,) = await place.measurements.measure(wanted, [MetricQuery(QUERY, "2.0.0", 30)])
    assert found.value == value
    assert error in found.error
    assert bool(error) == bool(found.error)


async def test_a_prometheus_that_is_away_is_an_answer(place: Place) -> None:
    async with prometheus({}, []) as wanted:
        pass
    (found,) = await place.measurements.measure(wanted, [MetricQuery(QUERY, "2.0.0", 30)])
    assert "Prometheus at http://127.0.0.1" in found.error
