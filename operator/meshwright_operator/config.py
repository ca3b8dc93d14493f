"""What the operator needs to know, from the environment."""

from __future__ import annotations

from dataclasses import dataclass, field

from meshwright.config import ConsulConfig, setting


@dataclass(frozen=True, slots=True)
class OperatorConfig:
    """Which rollouts it looks after, where it answers probes and scrapes, and where Consul and traces are."""

    namespaces: tuple[str, ...] = setting(
        "MESHWRIGHT_OPERATOR_NAMESPACES", (), help="comma-separated; unset: the whole cluster"
    )
    peering: str = setting(
        "MESHWRIGHT_OPERATOR_PEERING", "", help="kopf peering for several replicas, of which one works; unset: alone"
    )
    host: str = setting("MESHWRIGHT_OPERATOR_HOST", "127.0.0.1", help="address of /healthz and /metrics")
    port: int = setting("MESHWRIGHT_OPERATOR_PORT", 18002, help="port of /healthz and /metrics; 0: any")
    patience: float = setting(
        "MESHWRIGHT_OPERATOR_PATIENCE", 120.0, help="seconds that one pass may take before /healthz fails"
    )
    traces: str = setting(
        "MESHWRIGHT_TRACES_QUERY",
        "",
        help="Jaeger's query API (http://jaeger:16686), to link aborts to failing requests",
    )
    log_level: str = setting("MESHWRIGHT_LOG_LEVEL", "info")
    consul: ConsulConfig = field(default_factory=ConsulConfig)
