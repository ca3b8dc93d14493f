"""Failed calls of a version, from Jaeger's query API, v3 or v1.

A Jaeger after 2.20 searches in API v3 only; an older one has `/api/traces` too, and its v3, if any, ignores
`query.attributes`. So v3 is queried first, and the older API where v3 found nothing. An unknown path returns Jaeger's
page, or 404: neither is JSON with traces, and neither is an error.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp

from meshwright.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Link = tuple[str, str]
"""Trace id and span id, in hex."""

_TIMEOUT = aiohttp.ClientTimeout(total=2.0)
_DEPTH = "20"
_ERROR = 2


@dataclass(frozen=True, slots=True)
class Search:
    """A search for failed calls; times are unix seconds."""

    service: str
    version: str
    start: float
    end: float


async def find(jaeger: str, search: Search) -> list[Link]:
    """The first failed span of that version in each of the newest traces with an error.

    `jaeger` is the base address of a query API. Raises `UnreachableError` where nothing answers there.
    """
    try:
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
            document = await _get(session, f"{jaeger}/api/v3/traces", _v3_parameters(search))
            if found := list(failing_spans_v3(document, search)):
                return found
            document = await _get(session, f"{jaeger}/api/traces", _parameters(search))
            return list(failing_spans(document, search))
    except (aiohttp.ClientError, TimeoutError) as error:
        raise UnreachableError(f"{jaeger} does not answer: {error or 'no answer'}") from error


async def _get(session: aiohttp.ClientSession, url: str, parameters: Mapping[str, str]) -> Any:
    """The JSON response; None for anything else."""
    async with session.get(url, params=parameters) as response:
        try:
            return json.loads(await response.read())
        except ValueError:
            return None


def _v3_parameters(search: Search) -> dict[str, str]:
    return {
        "query.service_name": search.service,
        "query.start_time_min": _time(search.start),
        "query.start_time_max": _time(search.end),
        "query.attributes": json.dumps({"error": "true"}),
        "query.search_depth": _DEPTH,
        "query.num_traces": _DEPTH,  # the former name
    }


def _parameters(search: Search) -> dict[str, str]:
    return {
        "service": search.service,
        "tags": json.dumps({"error": "true"}),
        "start": str(round(search.start * 1e6)),
        "end": str(round(search.end * 1e6)),
        "limit": _DEPTH,
    }


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def failing_spans_v3(document: Any, search: Search) -> Iterable[Link]:
    """From a response of API v3, which is OTLP in JSON."""
    seen: set[str] = set()
    for group in _objects(_object(_object(document).get("result")).get("resourceSpans")):
        attributes = {
            item.get("key"): _object(item.get("value")).get("stringValue")
            for item in _objects(_object(group.get("resource")).get("attributes"))
        }
        if (attributes.get("service.name"), attributes.get("service.version")) != (search.service, search.version):
            continue
        for scoped in _objects(group.get("scopeSpans")):
            for span in _objects(scoped.get("spans")):
                trace = span.get("traceId", "")
                if _object(span.get("status")).get("code") in (_ERROR, "STATUS_CODE_ERROR") and trace not in seen:
                    seen.add(trace)
                    yield trace, span.get("spanId", "")


def failing_spans(document: Any, search: Search) -> Iterable[Link]:
    """From a response of the older API."""
    for trace in _objects(_object(document).get("data")):
        processes = _object(trace.get("processes"))
        for span in _objects(trace.get("spans")):
            process = _object(processes.get(str(span.get("processID"))))
            version = {tag.get("key"): tag.get("value") for tag in _objects(process.get("tags"))}.get("service.version")
            failed = any(
                tag.get("key") == "error" and tag.get("value") in {True, "true"} for tag in _objects(span.get("tags"))
            )
            if failed and (process.get("serviceName"), version) == (search.service, search.version):
                yield span["traceID"], span["spanID"]
                break


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
