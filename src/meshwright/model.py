"""The nouns that every part shares: names, addresses, instances. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, NewType

if TYPE_CHECKING:
    from collections.abc import Mapping

ServiceName = NewType("ServiceName", str)
InstanceId = NewType("InstanceId", str)

_MAX_PORT = 65535


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """A host (name, IPv4 or IPv6) and a TCP port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `host:port` or `[ipv6]:port`; raises ValueError that says what was expected."""
        host, colon, port = text.rpartition(":")
        if not colon or not host or not port.isdigit() or int(port) > _MAX_PORT:
            raise ValueError("expected host:port")
        return cls(host.strip("[]"), int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Health(Enum):
    """The state of an instance as Consul aggregates its checks: the worst one counts."""

    PASSING = "passing"
    WARNING = "warning"
    CRITICAL = "critical"
    MAINTENANCE = "maintenance"


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance of a service as Consul knows it."""

    id: InstanceId
    service: ServiceName
    address: Address
    health: Health = Health.PASSING
    tags: tuple[str, ...] = ()
    meta: Mapping[str, str] = field(default_factory=dict)
    node: str = ""
    weight: int = 1

    @property
    def version(self) -> str:
        """The version that the instance registered, or the empty string."""
        return self.meta.get("version", "")
