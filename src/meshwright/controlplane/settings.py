"""The control plane's configuration."""

from __future__ import annotations

from dataclasses import dataclass, field

from meshwright.config import ConsulConfig, env_field
from meshwright.errors import ValidationError, Violation


@dataclass(frozen=True, slots=True)
class ControlPlaneConfig:
    """One control plane. Several, with the same configuration, serve the same mesh side by side."""

    host: str = env_field("MESHWRIGHT_CONTROLPLANE_HOST", "127.0.0.1", help="address to bind")
    port: int = env_field("MESHWRIGHT_CONTROLPLANE_PORT", 18000, help="xDS, gRPC health and admin; 0: any free one")
    debug_host: str = env_field("MESHWRIGHT_CONTROLPLANE_DEBUG_HOST", "127.0.0.1", help="address to bind for HTTP")
    debug_port: int = env_field("MESHWRIGHT_CONTROLPLANE_DEBUG_PORT", 18001, help="/debug, /metrics; 0: any free one")
    debounce_ms: float = env_field(
        "MESHWRIGHT_CONTROLPLANE_DEBOUNCE_MS", 20.0, help="milliseconds in which further changes share one push"
    )
    recovery_seconds: float = env_field(
        "MESHWRIGHT_CONTROLPLANE_RECOVERY_SECONDS",
        60.0,
        help="seconds for which the last good state is kept after Consul lost its state",
    )
    log_level: str = env_field("MESHWRIGHT_CONTROLPLANE_LOG_LEVEL", "INFO")
    consul: ConsulConfig = field(default_factory=ConsulConfig)

    def __post_init__(self) -> None:
        """Raises `ValidationError` for values that cannot be meant."""
        problems = [
            Violation(f"MESHWRIGHT_CONTROLPLANE_{name}", f"expected a number from 0 to {most:g}, not {value:g}")
            for name, value, most in (
                ("PORT", self.port, 65535),
                ("DEBUG_PORT", self.debug_port, 65535),
                ("DEBOUNCE_MS", self.debounce_ms, 5000),
                ("RECOVERY_SECONDS", self.recovery_seconds, 86400),
            )
            if not 0 <= value <= most
        ]
        if problems:
            raise ValidationError("the control plane's configuration", problems)
