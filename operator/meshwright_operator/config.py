"""The operator's configuration, from the environment."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field

from meshwright.config import ConsulConfig, env_field
from meshwright.errors import ValidationError, Violation
from meshwright_operator.lease.election import DURATION, Identity


@dataclass(frozen=True, slots=True)
class OperatorConfig:
    """The operator's namespaces, Lease identity, addresses, and timeouts."""

    namespaces: tuple[str, ...] = env_field(
        "MESHWRIGHT_OPERATOR_NAMESPACES", (), help="comma-separated; unset: the operator's own namespace"
    )
    clusterwide: bool = env_field(
        "MESHWRIGHT_OPERATOR_CLUSTERWIDE", default=False, help="true: every namespace that has rollouts"
    )
    installation: str = env_field(
        "MESHWRIGHT_OPERATOR_INSTALLATION",
        "",
        help="whose the Leases are, as in mesh/mw; the same for all replicas; unset: NAMESPACE/meshwright-operator",
    )
    pod: str = env_field("POD_NAME", "", help="which of the replicas this is; unset: host name and process id")
    lease_seconds: float = env_field(
        "MESHWRIGHT_OPERATOR_LEASE_SECONDS",
        DURATION,
        help="seconds that a Lease is valid; renewed after a sixth of it, no writes from two thirds on",
    )
    finalizer_deadline: float = env_field(
        "MESHWRIGHT_OPERATOR_FINALIZER_DEADLINE", 120.0, help="seconds that the deletion of a rollout waits at most"
    )
    host: str = env_field("MESHWRIGHT_OPERATOR_HOST", "127.0.0.1", help="address of /healthz, /readyz and /metrics")
    port: int = env_field("MESHWRIGHT_OPERATOR_PORT", 18002, help="port of /healthz, /readyz and /metrics; 0: any")
    pass_timeout: float = env_field(
        "MESHWRIGHT_OPERATOR_PATIENCE", 120.0, help="seconds that one pass may take before /healthz fails"
    )
    traces: str = env_field(
        "MESHWRIGHT_TRACES_QUERY",
        "",
        help="Jaeger's query API (http://jaeger:16686), to link aborts to failing requests",
    )
    log_level: str = env_field("MESHWRIGHT_LOG_LEVEL", "info")
    consul: ConsulConfig = field(default_factory=ConsulConfig)

    def __post_init__(self) -> None:
        problems = []
        if self.clusterwide and self.namespaces:
            text = "is set beside MESHWRIGHT_OPERATOR_CLUSTERWIDE=true; unset one of the two"
            problems.append(Violation("MESHWRIGHT_OPERATOR_NAMESPACES", text))
        if self.lease_seconds < 1:
            problems.append(Violation("MESHWRIGHT_OPERATOR_LEASE_SECONDS", f"at least 1, not {self.lease_seconds:g}"))
        if problems:
            raise ValidationError("the environment", problems)

    def identity(self, namespace: str) -> Identity:
        """The identity for Leases; `namespace` is that of this process."""
        pod = self.pod or f"{socket.gethostname()}-{os.getpid()}"
        return Identity(self.installation or f"{namespace}/meshwright-operator", pod)
