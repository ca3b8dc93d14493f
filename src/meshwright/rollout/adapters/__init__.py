"""Adapters to Consul, Prometheus, Jaeger and OpenTelemetry, shared by the operator and `meshwright up`."""

from __future__ import annotations

from meshwright.rollout.adapters.metric_source import ConsulMetricSource
from meshwright.rollout.adapters.traffic import ConsulTraffic

__all__ = ["ConsulMetricSource", "ConsulTraffic"]
