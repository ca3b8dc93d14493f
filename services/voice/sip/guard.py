"""Protection against floods and scanners, by source address.

- Each address has a bucket of requests that fills at a rate. What exceeds it is dropped without an answer: over UDP an
answer would go to whom the sender pretends to be. - Wrong passwords ban an address for a time. They count only with a
nonce that was given out to that address (`digest`), so that forged datagrams cannot ban a stranger.

Tables are bounded: the address that was silent longest is forgotten, the ban that ends next is lifted. An IPv6 address
stands for its /64, which one device has whole. Times are seconds of a monotonic clock, and come as arguments.
"""

from __future__ import annotations

import enum
import ipaddress
from collections import OrderedDict
from dataclasses import dataclass

MAX_ADDRESSES = 10_000
MAX_BANS = 10_000


class Admission(enum.Enum):
    """What is done with a message."""

    ADMITTED = "admitted"
    LIMITED = "limited"
    BANNED = "banned"


@dataclass(frozen=True, slots=True)
class Limits:
    rate: float = 50.0
    """Requests a second that one address may send on average."""
    burst: float = 100.0
    """Requests that one address may send at once."""
    failures: int = 8
    """Wrong passwords within `window` after which the address is banned."""
    window: float = 60.0
    """Seconds."""
    ban: float = 600.0
    """Seconds."""


@dataclass(slots=True)
class _Address:
    level: float
    at: float
    failures: int = 0
    failing_since: float = 0.0


class Guard:
    """The addresses of late, and the banned ones."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._addresses: OrderedDict[str, _Address] = OrderedDict()
        self._bans: OrderedDict[str, float] = OrderedDict()
        """When each ban ends. All last equally long, so they are in the order of their end."""

    def admit(self, host: str, now: float) -> Admission:
        """Takes a request from the address's bucket."""
        key = network_of(host)
        until = self._bans.get(key)
        if until is not None:
            if now < until:
                return Admission.BANNED
            del self._bans[key]
        known = self._known(key, now)
        known.level = min(self._limits.burst, known.level + (now - known.at) * self._limits.rate)
        known.at = now
        if known.level < 1.0:
            return Admission.LIMITED
        known.level -= 1.0
        return Admission.ADMITTED

    def failed(self, host: str, now: float) -> bool:
        """Counts a wrong password; True if it bans the address."""
        key = network_of(host)
        known = self._known(key, now)
        if now - known.failing_since > self._limits.window:
            known.failures, known.failing_since = 0, now
        known.failures += 1
        if known.failures < self._limits.failures:
            return False
        known.failures = 0
        self._bans[key] = now + self._limits.ban
        self._bans.move_to_end(key)
        while len(self._bans) > MAX_BANS:
            self._bans.popitem(last=False)
        return True

    def succeeded(self, host: str) -> None:
        """Forgets the address's wrong passwords."""
        known = self._addresses.get(network_of(host))
        if known is not None:
            known.failures = 0

    def banned(self, now: float) -> int:
        """The number of banned addresses."""
        return sum(1 for until in self._bans.values() if until > now)

    def _known(self, key: str, now: float) -> _Address:
        known = self._addresses.get(key)
        if known is None:
            known = self._addresses[key] = _Address(self._limits.burst, now)
            while len(self._addresses) > MAX_ADDRESSES:
                self._addresses.popitem(last=False)
        self._addresses.move_to_end(key)
        return known


def network_of(host: str) -> str:
    """What is counted as one sender: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
