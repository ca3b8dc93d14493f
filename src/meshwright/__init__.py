"""Meshwright: a service mesh without sidecars for Python gRPC services.

This is the front door: what a service needs to serve, to call, to fail properly and to be configured. Each name is
loaded when it is first used, so that a tool that needs one part does not pay for gRPC and OpenTelemetry.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meshwright import sync
    from meshwright.auth import Auth, Identity, JwtVerifier, caller
    from meshwright.client import channel
    from meshwright.config import AuthConfig, ConsulConfig, Discovery, ServiceConfig, env_field, load_config
    from meshwright.errors import (
        AbortedError,
        AlreadyExistsError,
        FailedPreconditionError,
        InvalidArgumentError,
        MeshwrightError,
        NotFoundError,
        OutOfRangeError,
        PermissionDeniedError,
        ResourceExhaustedError,
        ServiceError,
        UnauthenticatedError,
        UnavailableError,
        UnimplementedError,
        ValidationError,
    )
    from meshwright.interceptors.asgi import AsgiMiddleware
    from meshwright.interceptors.errors import ErrorDetails, error_details
    from meshwright.interceptors.incoming import deadline, time_left, without_deadline
    from meshwright.server import Server
    from meshwright.telemetry import Telemetry

_HOMES = {
    "meshwright.auth": ("Auth", "Identity", "JwtVerifier", "caller"),
    "meshwright.client": ("channel",),
    "meshwright.config": ("AuthConfig", "ConsulConfig", "Discovery", "ServiceConfig", "load_config", "env_field"),
    "meshwright.errors": (
        "AbortedError",
        "AlreadyExistsError",
        "ValidationError",
        "FailedPreconditionError",
        "InvalidArgumentError",
        "MeshwrightError",
        "NotFoundError",
        "OutOfRangeError",
        "PermissionDeniedError",
        "ResourceExhaustedError",
        "ServiceError",
        "UnauthenticatedError",
        "UnavailableError",
        "UnimplementedError",
        "UnimplementedError",
    ),
    "meshwright.interceptors.asgi": ("AsgiMiddleware",),
    "meshwright.interceptors.errors": ("ErrorDetails", "error_details"),
    "meshwright.interceptors.incoming": ("deadline", "without_deadline", "time_left"),
    "meshwright.server": ("Server",),
    "meshwright.telemetry": ("Telemetry",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AbortedError",
    "AlreadyExistsError",
    "AsgiMiddleware",
    "Auth",
    "AuthConfig",
    "ConsulConfig",
    "Discovery",
    "ErrorDetails",
    "FailedPreconditionError",
    "Identity",
    "InvalidArgumentError",
    "JwtVerifier",
    "MeshwrightError",
    "NotFoundError",
    "OutOfRangeError",
    "PermissionDeniedError",
    "ResourceExhaustedError",
    "Server",
    "ServiceConfig",
    "ServiceError",
    "Telemetry",
    "UnauthenticatedError",
    "UnavailableError",
    "UnimplementedError",
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
