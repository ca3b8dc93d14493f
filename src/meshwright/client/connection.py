"""What is under a channel of the mesh: a gRPC channel, and the options that it is opened with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from meshwright.model import Address

Options = tuple[tuple[str, Any], ...]

DEFAULT_OPTIONS: Options = (
    # A peer that vanished without a word (a host that lost power) is noticed by a ping, while calls are in flight only:
    # pings on idle connections would keep every one of them awake.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # An instance that was restarted at the same address is back within a second, not after two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)

ROUND_ROBIN_CONFIG: dict[str, Any] = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 3,
                "initialBackoff": "0.025s",
                "maxBackoff": "0.25s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}
"""The service config of a channel without a control plane: what the mesh does by default, said to gRPC directly."""


def merged(options: Iterable[tuple[str, Any]]) -> Options:
    """The defaults with `options` on top."""
    return tuple((dict(DEFAULT_OPTIONS) | dict(options)).items())


def open_xds(name: str, options: Iterable[tuple[str, Any]]) -> grpc.aio.Channel:
    """Endpoints and rules come from the control plane."""
    return grpc.aio.insecure_channel(f"xds:///{name}", options=merged(options))


def open_nowhere(name: str) -> grpc.aio.Channel:
    """While no instance is known: calls fail at once, and the error says why."""
    return grpc.aio.insecure_channel(f"unix:/nonexistent/no-instance-of-{name}-is-known")


def open_static(addresses: Sequence[Address], options: Iterable[tuple[str, Any]]) -> grpc.aio.Channel:
    """Round robin over those addresses, each call retried where nobody answered."""
    # One scheme for a channel: where both families are about, the larger one it is.
    v6 = [address for address in addresses if ":" in address.host]
    v4 = [address for address in addresses if ":" not in address.host]
    chosen, scheme = (v4, "ipv4") if len(v4) >= len(v6) else (v6, "ipv6")
    target = f"{scheme}:{','.join(map(str, chosen))}"
    config = ("grpc.service_config", json.dumps(ROUND_ROBIN_CONFIG))
    return grpc.aio.insecure_channel(target, options=merged((config, *options)))
