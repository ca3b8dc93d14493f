"""gRPC's xDS bootstrap document (gRFC A27), made from the configuration instead of a file.

gRPC reads it once for each process, before the first `xds:///` channel; so the first channel decides. Feature
`ignore_resource_deletion` (gRFC A53) is essential: without it, a control plane that has lost its state turns every call
UNAVAILABLE. The node's metadata carries what the control plane must know of this process (`skew.py`).

Several control planes are addresses of *one* server where they are IP addresses. A list of servers would not do: gRPC
asks the next one only for what it lacks (gRFC A71), so a client that has everything never leaves a dead one.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import threading
from typing import TYPE_CHECKING, Any

from meshwright.config import set_grpc_xds_bootstrap

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from meshwright.config import ServiceConfig
    from meshwright.model import Address
    from meshwright.telemetry import Identity

log = logging.getLogger(__name__)

SKEW_KEY = "meshwright.timeout_skew_ms"
_FEATURES = ["xds_v3", "ignore_resource_deletion"]


def server_uris(addresses: Sequence[Address]) -> list[str]:
    """The gRPC targets of the servers to ask, the preferred one first. Host names stay servers of their own."""
    if len(addresses) > 1:
        for scheme, kind in (("ipv4", ipaddress.IPv4Address), ("ipv6", ipaddress.IPv6Address)):
            if all(_is_literal(address.host, kind) for address in addresses):
                return [f"{scheme}:{','.join(map(str, addresses))}"]
    return [str(address) for address in addresses]


def _is_literal(host: str, kind: type[ipaddress.IPv4Address | ipaddress.IPv6Address]) -> bool:
    try:
        kind(host)
    except ValueError:
        return False
    return True


def document(config: ServiceConfig, identity: Identity, skew_ms: int | None) -> dict[str, Any]:
    """The bootstrap document. Control planes are in the order of preference."""
    metadata: dict[str, Any] = {"meshwright.version": identity.version}
    if skew_ms is not None:
        metadata[SKEW_KEY] = skew_ms
    return {
        "xds_servers": [
            {"server_uri": uri, "channel_creds": [{"type": "insecure"}], "server_features": _FEATURES}
            for uri in server_uris(config.control_planes)
        ],
        "node": {
            "id": identity.instance,
            "cluster": identity.service,
            "locality": {"region": config.region, "zone": config.zone},
            "metadata": metadata,
        },
    }


_LOCK = threading.Lock()
_GIVEN: list[tuple[str, ...]] = []
_ASKED: list[tuple[Address, ...]] = []


def control_planes_asked() -> tuple[Address, ...]:
    """The control planes that this process's gRPC asks; none where the user's own bootstrap document is in force."""
    return _ASKED[0] if _ASKED else ()


def prepare(config: ServiceConfig, identity: Identity, skew_ms: Callable[[], int | None]) -> None:
    """Hand gRPC the document, the first time; later it is too late, which is said where it matters."""
    control_planes = tuple(map(str, config.control_planes))
    with _LOCK:
        if not _GIVEN:
            _GIVEN.append(control_planes)
            if set_grpc_xds_bootstrap(json.dumps(document(config, identity, skew_ms()))):
                _ASKED.append(config.control_planes)
        elif control_planes not in _GIVEN:
            _GIVEN.append(control_planes)
            log.warning(
                "this process asks the control planes %s: gRPC cannot change to %s",
                ", ".join(_GIVEN[0]),
                ", ".join(control_planes),
            )
