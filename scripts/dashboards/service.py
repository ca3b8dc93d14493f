"""The dashboard of one service."""

from __future__ import annotations

from scripts.dashboards.panels import CALLS, MESH, OF_MESH, Dashboard, Panel, failed, quantile, rate, stat, variable

of = 'service=~"$service",version=~"$version"'
server, client = (f'{CALLS},side="{side}",{of}' for side in ("server", "client"))
target = f"{MESH},{of}"


def _stats() -> list[Panel]:
    return [
        stat("Calls per second", f"sum({rate('mesh', 'grpc_requests_total', server)})", "reqps"),
        stat("Failed", failed("mesh", client), "percentunit"),
        stat("p99", quantile(0.99, "mesh", "grpc_request_duration_seconds", server), "s"),
        stat("Instances in Consul", f"sum(meshwright_instance_registered{{{MESH},{of}}})"),
        stat("In flight", f'sum(grpc_requests_in_flight{{{CALLS},side="server",service=~"$service"}})'),
        stat("Versions", f"count(count by (version) (meshwright_instance_registered{{{MESH},{of}}}))"),
    ]


def _versions() -> list[Panel]:
    return [
        Panel(
            "Calls by version",
            ((rate("version", "grpc_requests_total", server), "{{version}}"),),
            "reqps",
            stacked=True,
        ),
        Panel(
            "Failed calls by version",
            ((failed("side, version", f"{CALLS},{of}"), "{{version}}, {{side}}"),),
            "percentunit",
        ),
        Panel(
            "Latency by version",
            tuple(
                (
                    quantile(share, "version", "grpc_request_duration_seconds", server),
                    f"{{{{version}}}} p{share * 100:g}",
                )
                for share in (0.5, 0.9, 0.99)
            ),
            "s",
        ),
    ]


def _calls() -> list[Panel]:
    return [
        Panel("Calls by method", ((rate("method", "grpc_requests_total", server), "{{method}}"),), "reqps"),
        Panel(
            "Calls by status", ((rate("status", "grpc_requests_total", client), "{{status}}"),), "reqps", stacked=True
        ),
        Panel(
            "Latency by method, p99",
            ((quantile(0.99, "method", "grpc_request_duration_seconds", server), "{{method}}"),),
            "s",
        ),
        Panel(
            "Calls by caller",
            ((rate("job, instance", "grpc_requests_total", client), "{{job}} {{instance}}"),),
            "reqps",
        ),
    ]


def _edge_and_process() -> list[Panel]:
    return [
        Panel("HTTP requests by status", ((rate("status", "http_requests_total", target), "{{status}}"),), "reqps"),
        Panel(
            "HTTP latency by route, p99",
            ((quantile(0.99, "route", "http_request_duration_seconds", target), "{{route}}"),),
            "s",
        ),
        Panel(
            "Error budget: failed calls of the last hour",
            ((f"mesh_service_version:call_errors:ratio_rate1h{{{MESH},{of}}}", "{{version}}"),),
            "percentunit",
        ),
        Panel(
            "Processor", ((rate("version, instance", "process_cpu_seconds_total", target), "{{version}} {{instance}}"),)
        ),
        Panel(
            "Memory",
            ((f"process_resident_memory_bytes{{{target}}}", "{{version}} {{instance}}"),),
            "bytes",
        ),
    ]


DASHBOARD = Dashboard(
    "a service",
    [*_stats(), *_versions(), *_calls(), *_edge_and_process()],
    (
        OF_MESH,
        variable("service", f'label_values(grpc_requests_total{{{MESH},side="server"}}, service)', several=False),
        variable("version", f'label_values(grpc_requests_total{{{MESH},service=~"$service"}}, version)'),
    ),
)
