"""The dashboard of one rollout."""

from __future__ import annotations

from scripts.dashboards.panels import (
    CALLS,
    MESH,
    OF_MESH,
    WIDTH,
    Dashboard,
    Panel,
    failed,
    quantile,
    rate,
    stat,
    variable,
)

of = f'{MESH},namespace=~"$namespace",rollout=~"$rollout"'
calls = f'{CALLS},service=~"$service"'
server = f'{calls},side="server"'


def _stats() -> list[Panel]:
    return [
        stat(
            "Under way", f'count(meshwright_rollout_phase{{{of},phase!~"Healthy|Aborted|Invalid"}} == 1) or vector(0)'
        ),
        stat("Aborted", f'sum(meshwright_rollout_phase{{{of},phase="Aborted"}})'),
        stat("Last pass", f"time() - min(meshwright_rollout_last_pass_timestamp_seconds{{{of}}})", "s"),
        stat("In this state for", f"time() - max(meshwright_rollout_since_timestamp_seconds{{{of}}})", "s"),
        stat("Rollouts that this operator follows", f"sum(meshwright_operator_rollouts{{{MESH}}})"),
        stat("Leases held", f'sum(meshwright_operator_namespace{{{MESH},state="Holding"}})'),
    ]


def _progress() -> list[Panel]:
    return [
        Panel(
            "Phase",
            ((f"max by (namespace, rollout, phase) (meshwright_rollout_phase{{{of}}}) > 0", "{{rollout}}: {{phase}}"),),
            kind="state-timeline",
            width=12,
        ),
        Panel(
            "Weight",
            ((f"max by (rollout, version) (meshwright_rollout_weight{{{of}}})", "{{rollout}} {{version}}"),),
            "percent",
            width=12,
            stacked=True,
            description="The share of calls that each version is meant to have.",
        ),
        Panel("What it is about", ((f"meshwright_rollout_info{{{of}}}", ""),), kind="table", width=WIDTH, height=5),
    ]


def _calls() -> list[Panel]:
    return [
        Panel(
            "Share of calls that came",
            (
                (
                    f"{rate('version', 'grpc_requests_total', server)} / ignoring (version) group_left () "
                    f"(sum(rate(grpc_requests_total{{{server}}}[$__rate_interval])) > 0)",
                    "{{version}}",
                ),
            ),
            "percentunit",
            stacked=True,
        ),
        Panel("Failed calls by version", ((failed("side, version", calls), "{{version}}, {{side}}"),), "percentunit"),
        Panel(
            "Latency by version, p99",
            ((quantile(0.99, "version", "grpc_request_duration_seconds", server), "{{version}}"),),
            "s",
        ),
        Panel(
            "Instances in Consul by version",
            ((f'sum by (version) (meshwright_instance_registered{{{MESH},service=~"$service"}})', "{{version}}"),),
        ),
    ]


def _operator() -> list[Panel]:
    return [
        Panel(
            "Verdicts of analyses",
            (
                (
                    f"sum by (rollout, analysis, verdict) (meshwright_rollout_analysis_verdicts_total{{{of}}})",
                    "{{rollout}} {{analysis}}: {{verdict}}",
                ),
            ),
        ),
        Panel("Failed passes", ((rate("rollout", "meshwright_rollout_failures_total", of), "{{rollout}}"),), "ops"),
        Panel(
            "Duration of rollouts, median",
            (
                (
                    "histogram_quantile(0.5, sum by (outcome, le) "
                    f"(meshwright_rollout_duration_seconds_bucket{{{of}}}))",
                    "{{outcome}}",
                ),
            ),
            "s",
        ),
    ]


DASHBOARD = Dashboard(
    "a rollout",
    [*_stats(), *_progress(), *_calls(), *_operator()],
    (
        OF_MESH,
        variable("namespace", f"label_values(meshwright_rollout_phase{{{MESH}}}, namespace)"),
        variable("rollout", f'label_values(meshwright_rollout_phase{{{MESH},namespace=~"$namespace"}}, rollout)'),
        variable(
            "service",
            f'label_values(meshwright_rollout_info{{{MESH},namespace=~"$namespace",rollout=~"$rollout"}}, service)',
        ),
    ),
)
