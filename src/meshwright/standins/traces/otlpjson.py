"""Stored spans as OTLP in JSON: protobuf's JSON, with ids in hex and enums as numbers, as the specification asks."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from google.protobuf.json_format import MessageToDict

if TYPE_CHECKING:
    from meshwright.standins.traces.spans import Resource, Scope, StoredSpan
    from meshwright.standins.traces.store import Trace

Json = dict[str, Any]
_ID_FIELDS = ("traceId", "spanId", "parentSpanId")


def resource_spans(trace: Trace) -> list[Json]:
    """The trace as elements of `resourceSpans`: its spans by process and by instrumentation library."""
    groups: dict[Resource, dict[Scope, list[StoredSpan]]] = {}
    for stored in trace.spans.values():
        groups.setdefault(stored.resource, {}).setdefault(stored.scope, []).append(stored)
    return [
        {
            "resource": MessageToDict(resource.message()),
            "scopeSpans": [
                {"scope": scope_to_json(scope), "spans": [span_to_json(stored) for stored in spans]}
                for scope, spans in scopes.items()
            ],
        }
        for resource, scopes in groups.items()
    ]


def span_to_json(stored: StoredSpan) -> Json:
    """One span."""
    found: Json = MessageToDict(stored.message(), use_integers_for_enums=True)
    # Jaeger's sanitizers have named it by the time that it is read, and what is unset is still said.
    found["name"] = stored.name
    found.setdefault("status", {})
    _with_hex_ids(found)
    for link in found.get("links", ()):
        _with_hex_ids(link)
    return found


def scope_to_json(scope: Scope) -> Json:
    """The instrumentation library."""
    return {key: value for key, value in (("name", scope.name), ("version", scope.version)) if value}


def _with_hex_ids(document: Json) -> None:
    for field in _ID_FIELDS:
        if field in document:
            document[field] = base64.b64decode(document[field]).hex()
