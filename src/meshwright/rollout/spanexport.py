"""One trace for each rollout: steps are spans, measurements their events, and an abort links to requests that failed.

The links come from Jaeger's query API where its address is known: the newest traces of the service with an error by the
refused version. Without an answer the spans are told without links.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import aiohttp

from meshwright.telemetry import finished

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from meshwright.rollout.decision import FinishedSpan
    from meshwright.rollout.spec import Rollout
    from meshwright.telemetry import Telemetry

log = logging.getLogger(__name__)

MOST_LINKS = 5
_PATIENCE = aiohttp.ClientTimeout(total=2.0)
_SLACK = 5.0
"""Seconds around a span in which a failing request belongs to it."""


class Traces:
    """Tells finished spans. `jaeger` is the base address of a query API; empty: no links."""

    def __init__(self, telemetry: Telemetry, jaeger: str = "") -> None:
        self._telemetry = telemetry
        self._jaeger = jaeger.rstrip("/")

    async def tell(self, rollout: Rollout, spans: Sequence[FinishedSpan]) -> None:
        for span in spans:
            links: Sequence[tuple[str, str]] = ()
            if not span.ok and self._jaeger:
                links = await self._failing(rollout, span)
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

    async def _failing(self, rollout: Rollout, span: FinishedSpan) -> list[tuple[str, str]]:
        query = {
            "service": rollout.service,
            "tags": json.dumps({"error": "true"}),
            "start": str(round((span.started_at - _SLACK) * 1e6)),
            "end": str(round((span.ended_at + _SLACK) * 1e6)),
            "limit": "20",
        }
        try:
            async with (
                aiohttp.ClientSession(timeout=_PATIENCE) as session,
                session.get(f"{self._jaeger}/api/traces", params=query) as response,
            ):
                response.raise_for_status()
                document = await response.json()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            log.warning("no links to failing requests: %s does not answer: %s", self._jaeger, error or "no answer")
            return []
        return list(failing_spans(document, rollout.service, rollout.version))[:MOST_LINKS]


def failing_spans(document: Any, service: str, version: str) -> Iterable[tuple[str, str]]:
    """From Jaeger's answer: (trace id, span id) of each trace's first span that failed in that version."""
    for trace in (document or {}).get("data") or ():
        processes = trace.get("processes") or {}
        for span in trace.get("spans") or ():
            process = processes.get(span.get("processID")) or {}
            tags = {tag.get("key"): tag.get("value") for tag in process.get("tags") or ()}
            failed = any(
                tag.get("key") == "error" and tag.get("value") in {True, "true"} for tag in span.get("tags") or ()
            )
            if failed and process.get("serviceName") == service and tags.get("service.version") == version:
                yield span["traceID"], span["spanID"]
                break
