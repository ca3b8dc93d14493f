"""Our registrations to Consul's JSON, as pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshwright import durations
from meshwright.model import Health

if TYPE_CHECKING:
    from meshwright.consul.values import Registration


def registration(item: Registration, status: Health = Health.PASSING) -> dict[str, Any]:
    """The body of `PUT /v1/agent/service/register`. `status` is what the check says until it first runs."""
    document: dict[str, Any] = {
        "ID": item.id,
        "Name": item.service,
        "Address": item.address.host,
        "Port": item.address.port,
        "Tags": list(item.tags),
        "Meta": dict(item.meta),
        "Weights": {"Passing": item.weight, "Warning": item.weight},
    }
    if item.grpc_check is not None:
        document["Check"] = _grpc_check(item, item.grpc_check, status)
    return document


def _grpc_check(item: Registration, name: str, status: Health) -> dict[str, Any]:
    check: dict[str, Any] = {
        "Name": "gRPC health",
        "GRPC": f"{item.address}/{name}" if name else str(item.address),
        "GRPCUseTLS": item.grpc_check_tls,
        "Interval": durations.of_seconds(item.check_interval),
        "Timeout": durations.of_seconds(item.check_timeout),
        "Status": status.value,
    }
    if item.deregister_after:
        check["DeregisterCriticalServiceAfter"] = durations.of_seconds(item.deregister_after)
    return check
