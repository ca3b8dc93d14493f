"""gRPC server arguments for services with long-lived streams."""

from __future__ import annotations

KEEPALIVE = (
    # Detects vanished callers: ping after 20 s, close 10 s later.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)
