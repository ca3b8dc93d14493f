"""The addresses of the mesh's components, local or external, for placeholders and pages.

`${registry.address}`, `${traces.url}` and others are those of the component in use: the one that `up` runs, or the
external one in the environment, the command line or the topology. Those of a missing component are empty, so that a
topology does not depend on its users' machines.

Traces are received at one address and queried at another. OpenTelemetry has a variable for the first only. The second
is `JAEGER_UI_URL`, by default Jaeger's port on the collector's host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from meshwright.errors import ValidationError, Violation
from meshwright.local.topology.spec import CONTROLPLANE, DEFAULT_PORTS, REGISTRY, TRACES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshwright.local.planner.component_source import ComponentSource

UI_VARIABLE = "JAEGER_UI_URL"
_PORTS = {"http": 80, "https": 443}


def traces_url(traces: ComponentSource, addresses: Mapping[str, str], environment: Mapping[str, str]) -> str:
    """The URL at which traces are queried; empty where spans are not exported.

    Raises `ValidationError` for an invalid `JAEGER_UI_URL`.
    """
    if traces.dev:
        return f"http://{addresses[TRACES]}"
    if not traces.address:
        return ""
    told = environment.get(UI_VARIABLE, "").strip()
    if not told:
        host = _split(traces.address).hostname or "127.0.0.1"
        return f"http://{_bracketed(host)}:{DEFAULT_PORTS[TRACES]}"
    parts = _split(told)
    if parts.scheme not in _PORTS or not parts.hostname or not _port(told):
        what = f"expected the URL of Jaeger's page, such as http://127.0.0.1:{DEFAULT_PORTS[TRACES]}, not {told!r}"
        raise ValidationError("the environment", [Violation(UI_VARIABLE, what)])
    return told.rstrip("/")


def placeholders(
    registry: ComponentSource,
    controlplane: ComponentSource,
    traces: ComponentSource,
    traces_page: str,
    environment: Mapping[str, str],
) -> dict[str, str]:
    """The placeholders of components that do not run here."""
    found: dict[str, str] = {}
    if not registry.dev:
        found |= _named(REGISTRY, _consul_url(registry, environment), url=True)
    if not controlplane.dev:
        first = controlplane.address.partition(",")[0].strip()
        found |= _named("xds", first) | _named(CONTROLPLANE, "")
    if not traces.dev:
        found |= _named(TRACES, traces_page, url=True)
        host = _split(traces.address).hostname if traces.address else None
        for name in ("otlp-grpc", "otlp-http"):
            found |= _named(name, f"{_bracketed(host)}:{DEFAULT_PORTS[name]}" if host else "")
        if port := _port(traces.address):
            said = environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environment.get(
                "OTEL_EXPORTER_OTLP_PROTOCOL", ""
            )
            used = "otlp-http" if said.startswith("http") else "otlp-grpc"
            found |= _named(used, f"{_bracketed(host or '')}:{port}")
    return found


def _consul_url(registry: ComponentSource, environment: Mapping[str, str]) -> str:
    if not registry.address:
        return ""
    # Only with an external Consul: the import is slow.
    from meshwright.config import ConsulConfig, load_config  # noqa: PLC0415
    from meshwright.consul.endpoint import parse_endpoint  # noqa: PLC0415

    return str(parse_endpoint(load_config(ConsulConfig, {**environment, "CONSUL_HTTP_ADDR": registry.address})))


def _named(name: str, where: str, *, url: bool = False) -> dict[str, str]:
    """`name.address` and `name.port` of an address or a URL; with `url`, `name.url` too."""
    address = _address(where) if where else ""
    found = {f"{name}.address": address, f"{name}.port": address.rpartition(":")[2] if ":" in address else ""}
    return found | {f"{name}.url": where} if url else found


def _address(where: str) -> str:
    """`host:port` of an address or a URL; other texts, such as a socket's path, unchanged."""
    parts = _split(where)
    if not parts.hostname:
        return where if parts.scheme not in _PORTS else ""
    port = _port(where)
    return f"{_bracketed(parts.hostname)}:{port}" if port else _bracketed(parts.hostname)


def _port(where: str) -> int | None:
    parts = _split(where)
    try:
        return parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None


def _split(where: str) -> SplitResult:
    return urlsplit(where if "://" in where else f"//{where}")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
