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


def xds_target(name: str) -> str:
    """Endpoints and rules come from the control plane."""
    return f"xds:///{name}"


def nowhere_target(name: str) -> str:
    """While no instance is known: calls fail at once, and the error says why."""
    return f"unix:/nonexistent/no-instance-of-{name}-is-known"


def static_target(addresses: Sequence[Address], options: Iterable[tuple[str, Any]]) -> tuple[str, Options]:
    """Round robin over those addresses, each call retried where no server answered; the target and its options."""
    # One scheme for a channel: where both families are about, the larger one it is.
    v6 = [address for address in addresses if ":" in address.host]
    v4 = [address for address in addresses if ":" not in address.host]
    chosen, scheme = (v4, "ipv4") if len(v4) >= len(v6) else (v6, "ipv6")
    config = ("grpc.service_config", json.dumps(ROUND_ROBIN_CONFIG))
    return f"{scheme}:{','.join(map(str, chosen))}", merged((config, *options))


def open_xds(name: str, options: Iterable[tuple[str, Any]]) -> grpc.aio.Channel:
    """A gRPC channel to the service by xDS."""
    return grpc.aio.insecure_channel(xds_target(name), options=merged(options))


def known_target(name: str, addresses: Sequence[Address], options: Iterable[tuple[str, Any]]) -> tuple[str, Options]:
    """Those addresses, or nowhere while there are none; the target and its options."""
    return static_target(addresses, options) if addresses else (nowhere_target(name), ())


def open_known(name: str, addresses: Sequence[Address], options: Iterable[tuple[str, Any]]) -> grpc.aio.Channel:
    """A gRPC channel to those addresses, or to none while there are none."""
    target, chosen = known_target(name, addresses, options)
    return grpc.aio.insecure_channel(target, options=chosen)
