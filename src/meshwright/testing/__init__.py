"""What the tests of a service need: the service really served, other services at known addresses, time, spans.

- `served`: an async context manager that serves a servicer and gives a channel to it, with its spans and metrics
- `resolving`: inside it, `meshwright.channel(name)` goes to the addresses given
- `Issuer`: signs tokens, for servers that take `auth`
- `ManualClock`: time that stands still until the test moves it
- `SpanRecorder`: an exporter that keeps the spans
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshwright import optional_imports
from meshwright.telemetry.recording import SpanRecorder
from meshwright.testing.clock import ManualClock
from meshwright.testing.service import Served, resolving, served

if TYPE_CHECKING:
    from meshwright.testing.issuer import Issuer

__all__ = ["Issuer", "ManualClock", "Served", "SpanRecorder", "resolving", "served"]


def __getattr__(name: str) -> Any:
    if name != "Issuer":
        raise AttributeError(f"module 'meshwright.testing' has no attribute {name!r}")
    return optional_imports.load("meshwright.testing.issuer", "Issuer", "auth").Issuer
