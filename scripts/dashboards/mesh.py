"""The dashboard of the whole mesh."""

from __future__ import annotations

from scripts.dashboards.panels import CALLS, MESH, OF_MESH, Dashboard, Panel, failed, quantile, rate, stat

server = f'{CALLS},side="server"'
client = f'{CALLS},side="client"'


def _stats() -> list[Panel]:
    return [
        stat("Control planes that serve", f"sum(meshwright_synced{{{MESH}}})"),
        stat("Clients connected", f"sum(meshwright_ads_streams{{{MESH}}})"),
        stat("Services", f"count(count by (service) (meshwright_instance_registered{{{MESH}}}))"),
        stat("Instances in Consul", f"sum(meshwright_instance_registered{{{MESH}}})"),
        stat("Calls per second", f"sum({rate('mesh', 'grpc_requests_total', server)})", "reqps"),
        stat("Alerts that fire", f'count(ALERTS{{{MESH},alertname=~"Meshwright.*",alertstate="firing"}}) or vector(0)'),
    ]


def _calls() -> list[Panel]:
    return [
        Panel("Calls", ((rate("service", "grpc_requests_total", server), "{{service}}"),), "reqps", stacked=True),
        Panel(
            "Failed calls",
            ((failed("service", client), "{{service}}"),),
            "percentunit",
            description="As callers saw it: calls that reached no instance are in it.",
        ),
        Panel(
            "Latency, p99",
            ((quantile(0.99, "service", "grpc_request_duration_seconds", server), "{{service}}"),),
            "s",
        ),
    ]


def _control_plane() -> list[Panel]:
    return [
        Panel(
            "Responses of the control plane",
            ((rate("type", "meshwright_ads_responses_total", MESH), "{{type}}"),),
            "ops",
        ),
        Panel(
            "Refused by clients (NACK)",
            (
                (f"sum by (type) (meshwright_ads_refusing_streams{{{MESH}}})", "{{type}}, now"),
                (f"sum by (type) (increase(meshwright_ads_nacks_total{{{MESH}}}[$__rate_interval]))", "{{type}}, new"),
            ),
        ),
        Panel(
            "Not honoured, or kept from a Consul that lost it",
            (
                (f"max(meshwright_problems{{{MESH}}})", "problems of config entries and policies"),
                (f"max(meshwright_held_services{{{MESH}}})", "services kept"),
            ),
        ),
        Panel(
            "Consul",
            (
                (f"min(meshwright_consul_up{{{MESH}}})", "control planes reach it"),
                (f"min by (service) (meshwright_instance_registered{{{MESH}}})", "{{service}} registered"),
            ),
            more={"min": 0, "max": 1},
        ),
        Panel(
            "From a change to a snapshot, p99",
            (
                (
                    f"histogram_quantile(0.99, {rate('le', 'meshwright_translate_seconds_bucket', MESH)})",
                    "translation",
                ),
                (f"time() - max(meshwright_snapshot_timestamp_seconds{{{MESH}}})", "age of the newest snapshot"),
            ),
            "s",
        ),
        Panel(
            "Bytes sent to clients",
            ((rate("instance", "meshwright_ads_sent_bytes_total", MESH), "{{instance}}"),),
            "Bps",
        ),
    ]


def _events() -> list[Panel]:
    return [
        Panel(
            "Outboxes: age of the oldest event",
            ((f"max by (source) (outbox_oldest_event_age_seconds{{{MESH}}})", "{{source}}"),),
            "s",
        ),
        Panel(
            "Events",
            (
                (rate("source", "outbox_published_events_total", MESH), "{{source}}, published"),
                (rate("service, source", "event_consumer_events_total", MESH), "{{source}}, taken in by {{service}}"),
            ),
            "ops",
        ),
        Panel(
            "Events that wait or fail",
            (
                (
                    f"max by (service, source) (event_consumer_pending_events{{{MESH}}})",
                    "{{source}}, behind: {{service}}",
                ),
                (rate("service, source", "event_consumer_failures_total", MESH), "{{source}}, failing: {{service}}"),
                (f"sum by (service, source) (event_consumer_dead_letters_total{{{MESH}}})", "{{source}}, unreadable"),
            ),
        ),
        Panel(
            "NATS",
            (
                (f"min by (service) (nats_connected{{{MESH}}})", "{{service}} connected"),
                (f"max(nats_refusing_streams{{{MESH}}})", "streams that refuse"),
            ),
        ),
        Panel("Sagas under way", ((f"max by (state) (saga_orders{{{MESH}}})", "{{state}}"),)),
        Panel("Sagas without a driver", ((f"max(saga_overdue_seconds{{{MESH}}})", "the longest"),), "s"),
    ]


DASHBOARD = Dashboard("the mesh", [*_stats(), *_calls(), *_control_plane(), *_events()], (OF_MESH,))
