"""The `MetricSource` port: the /metrics pages of the instances in Consul, or Prometheus.

The pages of the last windows are kept in memory. After a restart the first window is shorter, or empty: that delays a
verdict and never causes one. A removed instance counts with its last page while that is in the window.

Pages of callers count as much as those of the service itself (`meshwright.rollout.analysis.sides`).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Any

import aiohttp

from meshwright.model import Address, folded, path_problem
from meshwright.rollout.analysis import call_metrics
from meshwright.rollout.analysis.sides import Sides, answer, sides
from meshwright.rollout.api.observed import ApiUse
from meshwright.rollout.api.vocabulary import AnalysisSource, MetricKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from meshwright.consul import Consul
    from meshwright.model import Instance, InstanceId
    from meshwright.rollout.api.observed import Measurement, MetricQuery
    from meshwright.rollout.api.spec import Rollout

PORT = "metrics_port"
"""The key in an instance's meta."""
_KEPT = 600.0
"""Seconds for which pages are kept."""
_PAGES_A_SECOND = 10.0
"""The rate, in pages per second, at which all services are scraped to find the callers of a service."""
_FRESH = 0.5
"""Seconds for which a page is reused."""


class ConsulMetricSource:
    """`meshwright.rollout.ports.MetricSource`. `clock` is unix time, as the rollouts' `now`."""

    def __init__(self, consul: Consul, *, timeout: float = 1.0, clock: Callable[[], float] = time.time) -> None:
        """`timeout`: seconds for reading one page."""
        self._consul = consul
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._clock = clock
        self._pages: dict[InstanceId, deque[call_metrics.Page]] = defaultdict(deque)
        self._owners: dict[InstanceId, str] = {}
        self._callers: dict[str, set[str]] = defaultdict(set)
        """By service: the services that call it."""
        self._looked: dict[str, float] = {}
        self._watched_since: dict[str, tuple[float, float]] = {}

    async def measure(self, rollout: Rollout, queries: Sequence[MetricQuery]) -> tuple[Measurement, ...]:
        """One measurement for each query."""
        if rollout.analysis.source is AnalysisSource.PROMETHEUS:
            return await self._ask(rollout, queries)
        await self._scrape(await self._to_ask(rollout.service))
        now = self._clock()
        owners = {folded(rollout.service)} | self._callers[folded(rollout.service)]
        windows: dict[float, Sides] = {}
        answers = []
        for query in queries:
            if query.metric.kind is MetricKind.QUERY:
                answers.append(query.answer(None, error="a query needs source prometheus"))
                continue
            if query.seconds not in windows:
                counted = self._increases(owners, now - query.seconds)
                windows[query.seconds] = sides((one for _, one in counted), rollout.service)
            answers.append(answer(query, windows[query.seconds]))
        return tuple(answers)

    async def _to_ask(self, service: str) -> set[str]:
        """The services to scrape: the service and its callers; at times all, to find new callers."""
        now = self._clock()
        if now - self._looked.get(service, -math.inf) < len(self._pages) / _PAGES_A_SECOND:
            return {service} | self._callers[folded(service)]
        self._looked[service] = now
        return {service, *(await self._consul.services()).value}

    async def callers(self, rollout: Rollout, apis: Sequence[str], seconds: float) -> tuple[ApiUse, ...] | None:
        """The callers of these APIs within the last `seconds`; None until all services were scraped for that long."""
        services = (await self._consul.services()).value
        await self._scrape(services)
        now = self._clock()
        found: dict[tuple[str, str], float] = defaultdict(float)
        for owner, counted in self._increases({folded(name) for name in services}, now - seconds):
            for api, calls in call_metrics.used_apis(counted, rollout.service, apis).items():
                caller = f"HTTP clients of {owner}" if api.startswith("/") else owner
                found[api, caller] += calls
        uses = tuple(ApiUse(api, caller, calls) for (api, caller), calls in sorted(found.items()))
        watched = self._watched(f"{rollout.namespace}/{rollout.name}", now, seconds)
        return uses if uses or watched >= seconds else None

    def _watched(self, rollout: str, now: float, seconds: float) -> float:
        """Seconds for which callers were scraped without a gap."""
        since, last = self._watched_since.get(rollout, (now, now))
        if now - last > seconds:
            since = now
        self._watched_since[rollout] = (since, now)
        return now - since

    async def _scrape(self, services: Iterable[str]) -> None:
        names = {folded(service) for service in services if not path_problem(service)}
        listed = await asyncio.gather(*(self._consul.instances(service) for service in sorted(names)))
        due = [
            instance
            for found in listed
            for instance in found.value
            if PORT in instance.meta and not self._is_fresh(instance.id)
        ]
        if not due:
            return
        async with aiohttp.ClientSession(timeout=self._timeout) as session:
            await asyncio.gather(*(self._fetch(session, instance) for instance in due))
        self._forget()

    def _is_fresh(self, instance: InstanceId) -> bool:
        pages = self._pages.get(instance)
        return bool(pages) and self._clock() - pages[-1].at < _FRESH  # type: ignore[index]

    async def _fetch(self, session: aiohttp.ClientSession, instance: Instance) -> None:
        """Fetches one page. An instance that does not answer gets none; Consul decides on its health."""
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, ValueError):
            address = Address(instance.address.host, int(instance.meta[PORT]))
            async with session.get(f"http://{address}/metrics") as answer:
                answer.raise_for_status()
                page = call_metrics.parse_page(await answer.text(), self._clock())
            self._pages[instance.id].append(page)
            owner = self._owners[instance.id] = str(instance.service)
            for called in call_metrics.called_services(page):
                self._callers[folded(called)].add(folded(owner))

    def _increases(self, services: set[str], since: float) -> list[tuple[str, dict[call_metrics.Series, float]]]:
        """The increase of each instance's counters since then."""
        found = []
        for instance, pages in self._pages.items():
            if folded(self._owners[instance]) not in services or not pages or pages[-1].at < since:
                continue
            before = None
            for page in pages:
                if page.at <= since or before is None:
                    before = page
            first = pages[0]
            base = before if before is not None and before is not pages[-1] else None
            if base is first and first.at > since and first.started is not None and first.started >= since:
                base = None
            found.append((self._owners[instance], call_metrics.increase(base, pages[-1], since)))
        return found

    def _forget(self) -> None:
        horizon = self._clock() - _KEPT
        for instance in list(self._pages):
            pages = self._pages[instance]
            while pages and pages[0].at < horizon:
                pages.popleft()
            if not pages:
                del self._pages[instance], self._owners[instance]

    async def _ask(self, rollout: Rollout, queries: Sequence[MetricQuery]) -> tuple[Measurement, ...]:
        async with aiohttp.ClientSession(timeout=self._timeout) as session:
            found = await asyncio.gather(*(self._prometheus(session, rollout, query) for query in queries))
        return tuple(found)

    async def _prometheus(self, session: aiohttp.ClientSession, rollout: Rollout, query: MetricQuery) -> Measurement:
        address = rollout.analysis.prometheus
        try:
            if query.metric.kind is MetricKind.QUERY:
                return query.answer(await _number(session, address, call_metrics.promql(query, rollout.service)))
            counted = await _counted(session, address, rollout.service, query.seconds)
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError, AttributeError) as error:
            return query.answer(None, error=f"Prometheus at {address}: {str(error) or type(error).__name__}")
        return answer(query, sides([counted], rollout.service))


async def _counted(
    session: aiohttp.ClientSession, address: str, service: str, seconds: float
) -> dict[call_metrics.Series, float]:
    """A service's counters in Prometheus, in the form of one page."""
    found: dict[call_metrics.Series, float] = {}
    for name, query in call_metrics.promql_by_metric(service, seconds).items():
        data = await _data(session, address, query)
        for one in data["result"]:
            labels = one["metric"] | {"service": service}
            value = float(one["value"][1])
            if math.isfinite(value):
                found[name, tuple(sorted(labels.items()))] = value
    return found


async def _number(session: aiohttp.ClientSession, address: str, query: str) -> float | None:
    """The single value of a query; None without one. Raises `ValueError` for several series."""
    data = await _data(session, address, query)
    samples = [data["result"]] if data["resultType"] == "scalar" else [one["value"] for one in data["result"]]
    if len(samples) > 1:
        raise ValueError(f"the query gives {len(samples)} series instead of one")
    value = float(samples[0][1]) if samples else math.nan
    return value if math.isfinite(value) else None


async def _data(session: aiohttp.ClientSession, address: str, query: str) -> Any:
    async with session.get(f"{address}/api/v1/query", params={"query": query}) as response:
        document: Any = await response.json()
    if document.get("status") != "success":
        raise ValueError(str(document.get("error") or "no success"))
    return document["data"]
