"""The dev trace store: takes OTLP, answers Jaeger's query API, and shows traces on a page of its own.

It stands where a Jaeger stands in a larger system, with the same ports and paths, in memory and within bounds.
"""

from __future__ import annotations

from meshwright import optional_imports

with optional_imports.explaining("the dev trace store", "standard"):
    from meshwright.dev.traces.config import Bound, TracesConfig
    from meshwright.dev.traces.serving import run, serving
    from meshwright.dev.traces.store.trace_store import TraceStore

__all__ = ["Bound", "TraceStore", "TracesConfig", "run", "serving"]
