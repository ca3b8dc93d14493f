"""Taking a port, and saying where it is.

gRPC sets SO_REUSEPORT by default: two processes that happen on the same port would share it, and each would get calls
meant for the other. It is switched off, so that the second one fails, and looks for another port where it may.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshwright.errors import ValidationError, Violation
from meshwright.free_ports import find_free
from meshwright.model import Address

if TYPE_CHECKING:
    import grpc

    from meshwright.config import ServiceConfig

OPTIONS = (
    ("grpc.so_reuseport", 0),
    # Clients ping each 20 s while calls are in flight (client/connection.py); gRPC's own limit is 5 minutes.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
)
_ATTEMPTS = 20
_WILDCARDS = frozenset({"0.0.0.0", "::", "[::]", ""})  # noqa: S104 - compared with, not bound


def bind(server: grpc.aio.Server, host: str, port: int) -> Address:
    """Bind the port, or where it is 0 a free one. Raises `ValidationError` that names the address."""
    problem = ""
    for _ in range(1 if port else _ATTEMPTS):
        address = Address(host, port or find_free(host))
        try:
            server.add_insecure_port(str(address))
        except RuntimeError as error:
            problem = f"cannot listen: {error}"
        else:
            return address
    raise ValidationError(f"address {Address(host, port)}", [Violation("MESHWRIGHT_PORT", problem)])


def advertised(config: ServiceConfig, bound: Address) -> Address:
    """The address that callers dial. Raises `ValidationError` where the bound one cannot be dialled."""
    if config.advertise:
        try:
            return Address.parse(config.advertise)
        except ValueError:
            return Address(config.advertise.strip("[]"), bound.port)
    if bound.host in _WILDCARDS:
        what = f"is required: {bound.host}, which MESHWRIGHT_HOST says to bind, cannot be dialled"
        raise ValidationError("the environment", [Violation("MESHWRIGHT_ADVERTISE", what)])
    return bound
