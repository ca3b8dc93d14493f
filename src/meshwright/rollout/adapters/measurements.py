"""`Measurements`: the /metrics pages of the instances that Consul lists, or Prometheus.

The pages of the last windows are kept in memory. After a restart the first window is shorter, or empty: that delays
a verdict and never makes one. An instance that is gone counts with its last page for as long as that is in the window.
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
from meshwright.rollout import metrics
from meshwright.rollout.observed import ApiUse
from meshwright.rollout.vocabulary import MetricKind, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from meshwright.consul import Consul
    from meshwright.model import Instance, InstanceId
    from meshwright.rollout.observed import Demand, Measurement
    from meshwright.rollout.spec import Rollout

PORT = "metrics_port"
"""The key in an instance's meta."""
_KEPT = 600.0
"""Seconds that pages are kept."""
_FRESH = 0.5
"""Seconds within which a page is not fetched again."""


class ConsulMeasurements:
    """`meshwright.rollout.ports.Measurements`. `clock` is unix time, as the rollouts' `now`."""

    def __init__(self, consul: Consul, *, timeout: float = 1.0, clock: Callable[[], float] = time.time) -> None:
        self._consul = consul
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._clock = clock
        self._pages: dict[InstanceId, deque[metrics.Page]] = defaultdict(deque)
        self._owners: dict[InstanceId, str] = {}
        self._watched_since: dict[str, tuple[float, float]] = {}

    async def measure(self, rollout: Rollout, demands: Sequence[Demand]) -> tuple[Measurement, ...]:
        """One answer to each demand."""
        if rollout.analysis.source is Source.PROMETHEUS:
            return await self._ask(rollout, demands)
        await self._scrape((rollout.service,))
        now = self._clock()
        answers = []
        for demand in demands:
            counted = self._increases({rollout.service}, now - demand.seconds)
            seen = metrics.window((one for _, one in counted), rollout.service, demand.version)
            if demand.metric.kind is MetricKind.QUERY:
                answers.append(demand.answer(None, error="a query needs source prometheus"))
            else:
                answers.append(demand.answer(metrics.value(demand, seen), calls=seen.calls))
        return tuple(answers)

    async def callers(self, rollout: Rollout, apis: Sequence[str], seconds: float) -> tuple[ApiUse, ...] | None:
        """Who called these APIs within the last seconds; None until all services were watched for so long."""
        services = (await self._consul.services()).value
        await self._scrape(services)
        now = self._clock()
        found: dict[tuple[str, str], float] = defaultdict(float)
        for owner, counted in self._increases(set(services), now - seconds):
            for api, calls in metrics.used_apis(counted, rollout.service, apis).items():
                caller = f"HTTP clients of {owner}" if api.startswith("/") else owner
                found[api, caller] += calls
        uses = tuple(ApiUse(api, caller, calls) for (api, caller), calls in sorted(found.items()))
        watched = self._watched(f"{rollout.namespace}/{rollout.name}", now, seconds)
        return uses if uses or watched >= seconds else None

    def _watched(self, rollout: str, now: float, seconds: float) -> float:
        """For how long callers were watched without a gap."""
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
        """One page. An instance that does not answer has no new one: its health is Consul's to judge."""
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, ValueError):
            address = Address(instance.address.host, int(instance.meta[PORT]))
            async with session.get(f"http://{address}/metrics") as answer:
                answer.raise_for_status()
                page = metrics.parse_page(await answer.text(), self._clock())
            self._pages[instance.id].append(page)
            self._owners[instance.id] = str(instance.service)

    def _increases(self, services: set[str], since: float) -> list[tuple[str, dict[metrics.Series, float]]]:
        """What each instance of the services has counted since then."""
        found = []
        for instance, pages in self._pages.items():
            if self._owners[instance] not in services or not pages or pages[-1].at < since:
                continue
            before = None
            for page in pages:
                if page.at <= since or before is None:
                    before = page
            first = pages[0]
            base = before if before is not None and before is not pages[-1] else None
            if base is first and first.at > since and first.started is not None and first.started >= since:
                base = None
            found.append((self._owners[instance], metrics.increase(base, pages[-1], since)))
        return found

    def _forget(self) -> None:
        horizon = self._clock() - _KEPT
        for instance in list(self._pages):
            pages = self._pages[instance]
            while pages and pages[0].at < horizon:
                pages.popleft()
            if not pages:
                del self._pages[instance], self._owners[instance]

    async def _ask(self, rollout: Rollout, demands: Sequence[Demand]) -> tuple[Measurement, ...]:
        async with aiohttp.ClientSession(timeout=self._timeout) as session:
            found = await asyncio.gather(*(self._prometheus(session, rollout, demand) for demand in demands))
        return tuple(found)

    async def _prometheus(self, session: aiohttp.ClientSession, rollout: Rollout, demand: Demand) -> Measurement:
        value_query, calls_query = metrics.queries(demand, rollout.service)
        address = rollout.analysis.prometheus
        try:
            value = await _number(session, address, value_query)
            calls = ((await _number(session, address, calls_query)) or 0.0) if calls_query else None
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError) as error:
            return demand.answer(None, error=f"Prometheus at {address}: {str(error) or type(error).__name__}")
        return demand.answer(value, calls=calls)


async def _number(session: aiohttp.ClientSession, address: str, query: str) -> float | None:
    """The one number that a query gives; None where it gives none. ValueError where it gives several."""
    async with session.get(f"{address}/api/v1/query", params={"query": query}) as answer:
        document: Any = await answer.json()
    if document.get("status") != "success":
        raise ValueError(str(document.get("error") or "no success"))
    data = document["data"]
    samples = [data["result"]] if data["resultType"] == "scalar" else [one["value"] for one in data["result"]]
    if len(samples) > 1:
        raise ValueError(f"the query gives {len(samples)} series instead of one")
    value = float(samples[0][1]) if samples else math.nan
    return value if math.isfinite(value) else None
