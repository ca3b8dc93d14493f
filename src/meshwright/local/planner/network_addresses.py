"""The addresses of this machine in its networks, for `up --host`.

A laptop has several: Wi-Fi, a cable, a virtual network of containers. The one of the default route comes first, because
it is usually the shared network; the others follow. Loopback and link-local addresses are left out. With an IPv6 host a
process listens for both families, as Linux does by default.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from typing import TYPE_CHECKING

import psutil

from meshwright.errors import ValidationError, Violation

if TYPE_CHECKING:
    from collections.abc import Iterable

_ROUTED = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
"""An address beyond every local network (RFC 5737, RFC 3849), for a lookup of its route; nothing is sent."""


def check_host(host: str) -> str:
    """The address in the notation of `ipaddress`; empty for the loopback address, the default.

    Raises `ValidationError` for an invalid address, or one of another machine.
    """
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        what = "expected an IP address of this machine, such as 0.0.0.0 (all IPv4) or :: (all)"
        raise ValidationError("the command", [Violation(f"--host {host}", what)]) from None
    if not address.is_unspecified and str(address) not in {str(one) for one in _all()}:
        known = ", ".join(str(one) for one in _all())
        what = f"no network interface has this address; there are {known}, and 0.0.0.0 and :: for all of them"
        raise ValidationError("the command", [Violation(f"--host {host}", what)])
    return "" if address.is_loopback else str(address)


def reachable(host: str) -> tuple[str, ...]:
    """The addresses at which other machines reach a listener on `host`, the one of the default route first."""
    address = ipaddress.ip_address(host)
    if not address.is_unspecified:
        return (host,)
    versions = {4} if address.version == 4 else {4, 6}  # noqa: PLR2004 - IP's versions
    found = [one for one in _all() if one.version in versions and not (one.is_loopback or one.is_link_local)]
    first = [ipaddress.ip_address(text) for text in _sources()]
    found.sort(key=lambda one: (first.index(one) if one in first else len(first), one.version))
    return tuple(str(one) for one in found)


def in_url(address: str) -> str:
    """The address in the notation of URLs."""
    return f"[{address}]" if ":" in address else address


def _all() -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The addresses of all interfaces that are up."""
    up = {name for name, stats in psutil.net_if_stats().items() if stats.isup}
    found: dict[ipaddress.IPv4Address | ipaddress.IPv6Address, None] = {}
    for name, entries in psutil.net_if_addrs().items():
        for entry in entries if name in up else ():
            if entry.family in (socket.AF_INET, socket.AF_INET6):
                address = ipaddress.ip_address(entry.address.partition("%")[0])
                found[address] = None
    return list(found)


def _sources() -> Iterable[str]:
    """The source addresses of this machine's routes to other networks."""
    for family, outside in _ROUTED.items():
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((outside, 9))
            yield probe.getsockname()[0]
