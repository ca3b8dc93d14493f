"""The control plane's configuration."""

from __future__ import annotations

from dataclasses import dataclass, field

from meshwright.config import ConsulConfig, setting


@dataclass(frozen=True, slots=True)
class ControlPlaneConfig:
    """One control plane. Several, with the same configuration, serve the same mesh side by side."""

    host: str = setting("MESHWRIGHT_CONTROLPLANE_HOST", "127.0.0.1", help="address to bind")
    port: int = setting("MESHWRIGHT_CONTROLPLANE_PORT", 18000, help="xDS, gRPC health and admin; 0: any free one")
    debug_host: str = setting("MESHWRIGHT_CONTROLPLANE_DEBUG_HOST", "127.0.0.1", help="address to bind for HTTP")
    debug_port: int = setting("MESHWRIGHT_CONTROLPLANE_DEBUG_PORT", 18001, help="/debug, /metrics; 0: any free one")
    debounce_ms: float = setting(
        "MESHWRIGHT_CONTROLPLANE_DEBOUNCE_MS", 20.0, help="milliseconds in which further changes share one push"
    )
    recovery_seconds: float = setting(
        "MESHWRIGHT_CONTROLPLANE_RECOVERY_SECONDS",
        60.0,
        help="seconds for which the last good state is kept after Consul lost its state",
    )
    log_level: str = setting("MESHWRIGHT_CONTROLPLANE_LOG_LEVEL", "INFO")
    consul: ConsulConfig = field(default_factory=ConsulConfig)
