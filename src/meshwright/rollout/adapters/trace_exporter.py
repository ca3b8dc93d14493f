"""One trace for each rollout: steps are spans, measurements their events, and an abort links to failed requests.

The links come from Jaeger's query API, if its address is known: the newest traces of the service with an error in the
refused version. At the time of an abort the services have not yet exported the spans of their last seconds, so Jaeger
is queried again until there are some, for at most a minute; a span is exported once, with the links found by then. At
the end of the process the waiting spans are exported as they are.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from meshwright.errors import UnreachableError
from meshwright.rollout.adapters.jaeger import Search, find
from meshwright.telemetry import finished

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import Self

    from meshwright.rollout.adapters.jaeger import Link
    from meshwright.rollout.api.spec import Rollout
    from meshwright.rollout.reconcile.decision import FinishedSpan
    from meshwright.telemetry import Telemetry

    Find = Callable[[str, Search], Awaitable[list[Link]]]

log = logging.getLogger(__name__)

MOST_LINKS = 5
LINK_TIMEOUT = 60.0
"""Seconds after an abort within which links are searched."""
LINK_INTERVAL = 2.0
"""Seconds between two searches."""
_SLACK = 5.0
"""Seconds before and after a span within which a failed request belongs to it."""


def wait_for_links(began: float, now: float, links: Sequence[Link]) -> float:
    """Seconds until the next search for links; 0: the span is exported now with the links found."""
    left = began + LINK_TIMEOUT - now
    return 0.0 if links or left <= 0 else min(LINK_INTERVAL, left)


class TraceExporter:
    """Exports finished spans. `jaeger` is the base address of a query API; empty: no links.

    An async context manager, which at its end exports the spans that still wait for links.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        jaeger: str = "",
        *,
        find: Find = find,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._telemetry = telemetry
        self._jaeger = jaeger.rstrip("/")
        self._find = find
        self._clock = clock
        self._sleep = sleep
        self._waiting: dict[asyncio.Task[None], FinishedSpan] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        waiting = dict(self._waiting)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        for task, span in waiting.items():
            if task.cancelled():
                self._export(span, ())

    async def export(self, rollout: Rollout, spans: Sequence[FinishedSpan]) -> None:
        """Exports the spans: `ok` ones at once, the others once they have their links."""
        for span in spans:
            if span.ok or not self._jaeger:
                self._export(span, ())
                continue
            version = str(span.attributes.get("meshwright.version", rollout.version))
            search = Search(rollout.service, version, span.started_at - _SLACK, span.ended_at + _SLACK)
            task = asyncio.create_task(self._linked(span, search), name=f"links of {span.name}")
            self._waiting[task] = span
            task.add_done_callback(self._waiting.pop)

    async def _linked(self, span: FinishedSpan, search: Search) -> None:
        began = self._clock()
        while True:
            links: list[Link] = []
            unreachable = ""
            try:
                links = await self._find(self._jaeger, search)
            except UnreachableError as error:
                unreachable = str(error)
            wait = wait_for_links(began, self._clock(), links)
            if not wait:
                break
            await self._sleep(wait)
        if unreachable:
            log.warning("no links to failing requests of %s: %s", search.service, unreachable)
        self._export(span, links[:MOST_LINKS])

    def _export(self, span: FinishedSpan, links: Sequence[Link]) -> None:
        finished.tell(
            self._telemetry,
            trace_id=span.trace_id,
            span_id=span.span_id,
            parent_id=span.parent_id,
            name=span.name,
            started_at=span.started_at,
            ended_at=span.ended_at,
            ok=span.ok,
            message=span.message,
            attributes=span.attributes,
            events=[finished.Moment(event.name, event.at, event.attributes) for event in span.events],
            links=links,
        )
