"""The two ports that every shell fills alike, because Consul is the same everywhere: traffic and measurements."""

from __future__ import annotations

from meshwright.rollout.adapters.measurements import ConsulMeasurements
from meshwright.rollout.adapters.traffic import ConsulTraffic

__all__ = ["ConsulMeasurements", "ConsulTraffic"]
