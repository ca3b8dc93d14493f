"""Stored spans as OTLP in JSON: protobuf's JSON, with ids in hex and enums as numbers, as the specification asks."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from google.protobuf.json_format import MessageToDict

from meshwright.dev.traces.store.skew import skew_warnings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meshwright.dev.traces.store.spans import Resource, Scope, StoredSpan
    from meshwright.dev.traces.store.trace_store import Trace

Json = dict[str, Any]
WARNINGS = "@jaeger@warnings"
_ID_FIELDS = ("traceId", "spanId", "parentSpanId")


def resource_spans(trace: Trace, *, raw: bool = False) -> list[Json]:
    """The trace as elements of `resourceSpans`: its spans by process and by instrumentation library.

    Attributes are in the order of their keys. As Jaeger does, warnings become an attribute, unless `raw`.
    """
    warnings = {} if raw else skew_warnings(trace)
    groups: dict[Resource, dict[Scope, list[StoredSpan]]] = {}
    for stored in trace.spans.values():
        groups.setdefault(stored.resource, {}).setdefault(stored.scope, []).append(stored)
    return [
        {
            "resource": resource_to_json(resource),
            "scopeSpans": [
                {
                    "scope": scope_to_json(scope),
                    "spans": [span_to_json(stored, warnings.get(stored.span_id, ())) for stored in spans],
                }
                for scope, spans in scopes.items()
            ],
        }
        for resource, scopes in groups.items()
    ]


def resource_to_json(resource: Resource) -> Json:
    """The process. Its name is the one by which it is found, also where it gave none."""
    found: Json = MessageToDict(resource.message())
    others = [item for item in found.get("attributes", ()) if item.get("key") != "service.name"]
    named = {"key": "service.name", "value": {"stringValue": resource.service}}
    return found | {"attributes": _sorted([*others, named])}


def span_to_json(stored: StoredSpan, warnings: Sequence[str] = ()) -> Json:
    """One span."""
    found: Json = MessageToDict(stored.message(), use_integers_for_enums=True)
    told = _sorted(found.get("attributes", []))
    if warnings:
        values = [{"stringValue": text} for text in warnings]
        told.append({"key": WARNINGS, "value": {"arrayValue": {"values": values}}})
    if told:
        found["attributes"] = told
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


def _sorted(attributes: list[Json]) -> list[Json]:
    return sorted(attributes, key=lambda item: str(item.get("key", "")))


def _with_hex_ids(document: Json) -> None:
    for field in _ID_FIELDS:
        if field in document:
            document[field] = base64.b64decode(document[field]).hex()
