"""The operator's process: `meshwright-operator`, configured by the environment."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys

from meshwright import http, logs
from meshwright.config import ServiceConfig, load_config
from meshwright.consul import Consul
from meshwright.errors import MeshwrightError
from meshwright.process import stop_event
from meshwright.rollout.adapters.trace_exporter import TraceExporter
from meshwright.rollout.metrics import RolloutMetrics
from meshwright.telemetry import Telemetry
from meshwright_operator.config import OperatorConfig
from meshwright_operator.health import GuardMetrics, OperatorState, pages
from meshwright_operator.kubernetes.cluster import Cluster
from meshwright_operator.leadership import NAME, LeadershipTerm
from meshwright_operator.lease.guard import LeaseLostError
from meshwright_operator.metrics import register_metrics

log = logging.getLogger("meshwright_operator")


async def run(config: OperatorConfig) -> None:
    """Reconciles rollouts until SIGTERM or SIGINT, term after term."""
    async with contextlib.AsyncExitStack() as stack:
        telemetry = Telemetry(load_config(ServiceConfig, service=NAME))
        stack.push_async_callback(telemetry.close)
        telemetry.metrics.describe_process()
        traces = await stack.enter_async_context(TraceExporter(telemetry, config.traces))
        consul = await stack.enter_async_context(Consul(config.consul))
        registry, operator_state = telemetry.metrics.registry, OperatorState()
        rollout_metrics = RolloutMetrics(registry)
        register_metrics(registry, operator_state.reconcilers)
        registry.register(GuardMetrics(operator_state))
        stopping = stack.enter_context(stop_event())
        own = await _namespace()
        app = pages(telemetry, operator_state, config.identity(own).installation, config.pass_timeout)
        address = await stack.enter_async_context(http.serving(app, config.host, config.port))
        log.info("health and metrics at http://%s, %s", address, _scope(config, own))
        while not stopping.is_set():
            try:
                async with Cluster() as cluster:
                    await LeadershipTerm(config, cluster, consul, traces).run(operator_state, rollout_metrics, stopping)
                return
            except LeaseLostError as error:
                log.error("%s: all work has stopped, and restarts once the Lease is held", error)


async def _namespace() -> str:
    """The namespace of this process."""
    async with Cluster() as cluster:
        return cluster.namespace


def _scope(config: OperatorConfig, namespace: str) -> str:
    if config.clusterwide:
        return "for all namespaces that have rollouts"
    return f"for namespace {', '.join(config.namespaces or (namespace,))}"


def main() -> None:
    """The console script."""
    try:
        config = load_config(OperatorConfig)
        identity = load_config(ServiceConfig, service=NAME)
        logs.configure(NAME, identity.version, identity.instance or "", config.log_level)
        for chatty in ("httpx2", "kopf"):  # each request of each pass, each event of each handler
            logging.getLogger(chatty).setLevel(logging.WARNING)
        asyncio.run(run(config))
    except MeshwrightError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
