"""Meshwright: a service mesh without sidecars for Python gRPC services.

The front door: what a service needs to serve, to call and to be configured. Errors are in `meshwright.errors`, tokens
in `meshwright.auth`, the rest of the configuration in `meshwright.config`, the harness of tests in
`meshwright.testing`. Each name is loaded when it is first used, so that a tool that needs one part does not pay for
gRPC and OpenTelemetry.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meshwright import sync
    from meshwright.auth import caller
    from meshwright.calls.errors import error_details
    from meshwright.calls.http.asgi import AsgiMiddleware
    from meshwright.calls.incoming import deadline, time_left, without_deadline
    from meshwright.client import channel
    from meshwright.config import ServiceConfig, env_field, load_config
    from meshwright.errors import MeshwrightError, ServiceError, ValidationError
    from meshwright.server import Server
    from meshwright.telemetry import Telemetry

_HOMES = {
    "meshwright.auth": ("caller",),
    "meshwright.client": ("channel",),
    "meshwright.config": ("ServiceConfig", "env_field", "load_config"),
    "meshwright.errors": ("MeshwrightError", "ServiceError", "ValidationError"),
    "meshwright.calls.http.asgi": ("AsgiMiddleware",),
    "meshwright.calls.errors": ("error_details",),
    "meshwright.calls.incoming": ("deadline", "time_left", "without_deadline"),
    "meshwright.server": ("Server",),
    "meshwright.telemetry": ("Telemetry",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AsgiMiddleware",
    "MeshwrightError",
    "Server",
    "ServiceConfig",
    "ServiceError",
    "Telemetry",
    "ValidationError",
    "caller",
    "channel",
    "deadline",
    "env_field",
    "error_details",
    "load_config",
    "sync",
    "time_left",
    "without_deadline",
]


def __getattr__(name: str) -> Any:
    if name == "sync":  # a part of its own, for code without asyncio
        return importlib.import_module("meshwright.sync")
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'meshwright' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
