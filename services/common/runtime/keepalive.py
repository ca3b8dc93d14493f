"""gRPC server arguments for services whose calls stay open for hours."""

from __future__ import annotations

KEEPALIVE = (
    # A caller whose machine is gone says nothing: it is asked after 20 s, and given up 10 s later.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)
