"""The nouns that every part shares: names, addresses, instances. Standard library only."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, NewType

if TYPE_CHECKING:
    from collections.abc import Mapping

ServiceName = NewType("ServiceName", str)
InstanceId = NewType("InstanceId", str)

_MAX_PORT = 65535
_TAKEN = ("register", "deregister", "maintenance")


def folded(name: str) -> str:
    """The name as Consul compares it: services, nodes, config entries and ids in its catalog differ by more than case.

    Keys of the KV store and ids at an agent are compared as they are. Consul lowers each character by itself, as Python
    does not: it has another sigma at the end of a word, and makes two characters of an İ.
    """
    return name.lower() if name.isascii() else "".join(character.lower()[0] for character in name)


def path_problem(name: str) -> str:
    """Why a name cannot be part of a path of Consul's API, as in "has an empty segment"; empty where it can.

    Consul decodes a path before it looks at it. It answers 400 to what cannot be printed, and redirects a path with
    empty segments or dots to a shorter one: to another's name.
    """
    odd = next((character for character in name if not character.isprintable()), "")
    if odd:
        return f"has the character U+{ord(odd):04X}, which cannot be printed: Consul refuses it"
    first, *inner = name.split("/")
    if not first:
        return "begins with a slash, which Consul takes away" if inner else "is empty"
    dots = next((segment for segment in (first, *inner) if segment in (".", "..")), "")
    if dots:
        return f"has the segment {dots!r}, which Consul resolves: it would mean another name"
    if "" in inner[:-1]:
        return "has an empty segment (//), which Consul takes away"
    return ""


def instance_problem(instance: str) -> str:
    """Why an id cannot be that of an instance; empty where it can."""
    taken = instance.partition("/")[0]
    if taken in _TAKEN:
        return f"is {instance!r}: Consul has an endpoint of its own at /v1/agent/service/{taken}"
    return path_problem(instance)


_HEADER = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")
_SECRETIVE = frozenset(
    {
        *("auth", "authorization", "authentication", "credential", "credentials", "jwt", "apikey"),
        *("token", "tokens", "secret", "secrets", "password", "passwd", "cookie", "cookies", "csrf", "xsrf"),
    }
)
_OF_PROTOCOLS = frozenset(
    {
        *(
            "accept",
            "accept-encoding",
            "baggage",
            "b3",
            "connection",
            "expect",
            "forwarded",
            "host",
            "keep-alive",
            "origin",
            "range",
            "referer",
            "te",
        ),
        *("traceparent", "tracestate", "trailer", "transfer-encoding", "uber-trace-id", "upgrade", "user-agent", "via"),
        *("x-real-ip", "x-request-timeout"),
    }
)
_RESERVED = ("grpc-", "meshwright-", "x-envoy-", "x-forwarded-", "x-b3-", "proxy-", "sec-", "content-", "if-")


def carried_header_problem(name: str) -> str:
    """Why a header may not be carried from hop to hop; empty where it may."""
    if not _HEADER.fullmatch(name):
        return "is no header name: lower-case letters, digits and _.- are allowed, 63 at most"
    if name.endswith("-bin"):
        return "is binary, as all names that end in -bin: no route can match it"
    if _SECRETIVE & set(re.split(r"[-_.]", name)) or "api-key" in name:
        return "may hold a secret, which not every service behind is to see"
    if name in _OF_PROTOCOLS or name.startswith(_RESERVED):
        return "has a meaning of its own to HTTP, gRPC, tracing or the mesh"
    return ""


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
