"""What the dev trace store can be told, and where it turned out to listen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshwright.config import env_field
from meshwright.errors import ValidationError, Violation

if TYPE_CHECKING:
    from meshwright.model import Address

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class TracesConfig:
    """Where the dev trace store listens and how much it keeps. The ports are Jaeger's own."""

    host: str = env_field("MESHWRIGHT_TRACES_HOST", "127.0.0.1", help="address to bind")
    query_port: int = env_field(
        "MESHWRIGHT_TRACES_QUERY_PORT", 16686, help="HTTP port of the page and Jaeger's query API"
    )
    otlp_grpc_port: int = env_field("MESHWRIGHT_TRACES_OTLP_GRPC_PORT", 4317, help="port that takes OTLP over gRPC")
    otlp_http_port: int = env_field("MESHWRIGHT_TRACES_OTLP_HTTP_PORT", 4318, help="port that takes OTLP over HTTP")
    max_spans: int = env_field("MESHWRIGHT_TRACES_MAX_SPANS", 100_000, help="spans kept; the oldest trace goes first")
    max_bytes: int = env_field(
        "MESHWRIGHT_TRACES_MAX_BYTES", 128 * _MIB, help="bytes of memory kept; the oldest trace goes first"
    )
    max_request_bytes: int = env_field(
        "MESHWRIGHT_TRACES_MAX_REQUEST_BYTES", 16 * _MIB, help="bytes of one export, counted after decompression"
    )

    def __post_init__(self) -> None:
        """Refuse limits under which nothing could be kept."""
        limits = {
            "MESHWRIGHT_TRACES_MAX_SPANS": self.max_spans,
            "MESHWRIGHT_TRACES_MAX_BYTES": self.max_bytes,
            "MESHWRIGHT_TRACES_MAX_REQUEST_BYTES": self.max_request_bytes,
        }
        problems = [
            Violation(name, f"expected a number above 0, not {value}") for name, value in limits.items() if value < 1
        ]
        if problems:
            raise ValidationError("the trace store's configuration", problems)


@dataclass(frozen=True, slots=True)
class Bound:
    """The addresses that a running trace store listens on."""

    query: Address
    otlp_grpc: Address
    otlp_http: Address
