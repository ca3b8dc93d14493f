"""The values that pass through the door to Consul: queries, answers, registrations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from meshwright.consul.rights import needed
from meshwright.errors import MeshwrightError, UnreachableError, ValidationError, Violation
from meshwright.model import instance_problem, path_problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshwright.model import Address, Health, InstanceId, ServiceName

T = TypeVar("T")

NEEDS_CONNECT = "Connect is off there, and discovery chains need it: set connect { enabled = true } on its servers"
_NO_CONNECT = "Connect must be enabled"
_FORBIDDEN = 403


class ConsulError(MeshwrightError):
    """Consul answered, and the answer is an error (or nothing that Consul would say)."""

    def __init__(self, request: str, status: int, body: str) -> None:
        self.request = request
        self.status = status
        self.body = body
        right = needed(request) if status == _FORBIDDEN else ""
        hint = f"; does the token have {right}?" if right else ""
        self.forbidden = status == _FORBIDDEN
        """Whether the token lacks a right."""
        self.without_connect = _NO_CONNECT in body
        """Whether Consul compiles no discovery chains; `NEEDS_CONNECT` says what to do."""
        super().__init__(f"Consul answered {status} to {request}: {body.strip() or 'nothing more'}{hint}")


class NotConnectedError(UnreachableError):
    """There was no connection to Consul: the request has certainly not reached it."""


@dataclass(frozen=True, slots=True)
class Blocking:
    """A blocking query: answer when the result's index is past `index`, or after `wait` seconds.

    With index 0 Consul answers at once. Consul adds up to a sixteenth of `wait` so that many waiters spread.
    """

    index: int = 0
    wait: float = 300.0


@dataclass(frozen=True, slots=True)
class Indexed(Generic[T]):
    """An answer, and the index of Consul's state at which it was true (`X-Consul-Index`)."""

    value: T
    index: int


@dataclass(frozen=True, slots=True)
class KvPair:
    """One key of the KV store. `modify_index` is what a check-and-set compares with."""

    key: str
    value: bytes
    modify_index: int
    create_index: int
    flags: int = 0


@dataclass(frozen=True, slots=True)
class CheckState:
    """One health check as the catalog knows it."""

    node: str
    check_id: str
    service: ServiceName
    """Empty for a check of the node itself."""
    instance: InstanceId
    health: Health
    modify_index: int


@dataclass(frozen=True, slots=True)
class AgentService:
    """An instance as the agent that it registered with knows it: no health there."""

    id: InstanceId
    service: ServiceName
    address: Address
    tags: tuple[str, ...] = ()
    meta: Mapping[str, str] = field(default_factory=dict)
    content_hash: str = ""
    """What the agent's blocking queries compare; empty where a list of services was asked for."""


@dataclass(frozen=True, slots=True)
class Registration:
    """What an instance tells Consul of itself. Raises `ValidationError` for an id or a name that Consul takes into its
    catalog and cannot be asked for."""

    id: InstanceId
    service: ServiceName
    address: Address
    tags: tuple[str, ...] = ()
    meta: Mapping[str, str] = field(default_factory=dict)
    weight: int = 1
    grpc_check: str | None = ""
    """The name that Consul asks `grpc.health.v1` about; empty: the server as a whole; None: no check."""
    grpc_check_tls: bool = False
    check_interval: float = 1.0
    """Seconds."""
    check_timeout: float = 1.0
    """Seconds."""
    deregister_after: float = 60.0
    """Seconds critical after which Consul forgets the instance. Consul takes less than 60 as 60, and looks every
    30 seconds. 0: never."""

    def __post_init__(self) -> None:
        problems = [Violation("id", instance_problem(self.id)), Violation("service", path_problem(self.service))]
        if found := [problem for problem in problems if problem.message]:
            raise ValidationError(f"the registration of {self.id!r}", found)
