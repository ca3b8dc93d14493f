"""What the spans of calls say: OpenTelemetry's semantic conventions for RPC, for client and server alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
from opentelemetry.trace import Status, StatusCode

if TYPE_CHECKING:
    from opentelemetry.trace import Span

SERVER_FAULTS = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
"""The statuses that make a SERVER span an error: what the server is to blame for, not its caller."""
CLIENT_FAULTS = frozenset(grpc.StatusCode) - {grpc.StatusCode.OK}
"""The statuses that make a CLIENT span an error."""

INSTANCE_KEY = "meshwright-instance"
VERSION_KEY = "meshwright-version"
"""The trailing metadata of a response that the client's span records: which instance answered, of which version."""


def method_attributes(name: str) -> dict[str, str]:
    """The attributes of all calls of the method `package.Service/Method`."""
    service, _, method = name.rpartition("/")
    return {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}


def set_status(span: Span, code: grpc.StatusCode, message: str, faults: frozenset[grpc.StatusCode]) -> None:
    """Record how the call ended."""
    span.set_attribute("rpc.grpc.status_code", code.value[0])
    if code in faults:
        span.set_attribute("error.type", code.name)
        span.set_status(Status(StatusCode.ERROR, message or code.name))
