"""The control plane's own metrics, in a registry of their own."""

from __future__ import annotations

from enum import Enum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from meshwright.controlplane.model.snapshot import NodeKind, ResourceType

SHORT_NAMES = {
    ResourceType.LISTENER: "listener",
    ResourceType.ROUTE: "route",
    ResourceType.CLUSTER: "cluster",
    ResourceType.ENDPOINTS: "endpoints",
}
"""How people and labels call the types."""

_MILLISECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class RequestKind(Enum):
    """What a request turned out to be."""

    SUBSCRIBED = "subscribed"
    ACK = "ack"
    NACK = "nack"
    STALE = "stale"


class Metrics:
    """One set of metrics per control plane."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.streams = Gauge("meshwright_ads_streams", "Open ADS streams.", ["kind"], registry=registry)
        self.assumed_skews = Gauge(
            "meshwright_ads_assumed_skews",
            "Open ADS streams of clients that do not say how early their timeouts fire.",
            registry=registry,
        )
        self.pushes = Counter("meshwright_ads_responses", "Responses sent.", ["type"], registry=registry)
        self.sent_bytes = Counter("meshwright_ads_sent_bytes", "Bytes of responses sent.", registry=registry)
        self.requests = Counter("meshwright_ads_requests", "Requests, by kind.", ["receipt"], registry=registry)
        self.pushed = {kind: self.pushes.labels(name) for kind, name in SHORT_NAMES.items()}
        self.received = {receipt: self.requests.labels(receipt.value) for receipt in RequestKind}
        self.nacks = Counter("meshwright_ads_nacks", "Responses that a node refused.", ["type"], registry=registry)
        self.refusing = Gauge(
            "meshwright_ads_refusing_streams",
            "Open ADS streams whose client refuses the newest response of a type, and works with an older one.",
            ["type"],
            registry=registry,
        )
        # From 0 on: an increase from nothing to 1 is none to Prometheus, and a sum over nothing is nothing.
        for name in SHORT_NAMES.values():
            self.nacks.labels(name)
        for kind in NodeKind:
            self.streams.labels(kind.value)
        self.refused = Counter("meshwright_ads_refused_requests", "Requests that made no sense.", registry=registry)
        self.snapshots = Counter("meshwright_snapshots", "Snapshots published.", registry=registry)
        self.snapshot_time = Gauge(
            "meshwright_snapshot_timestamp_seconds", "When the current snapshot was published.", registry=registry
        )
        self.snapshot = Gauge("meshwright_snapshot_info", "The current version.", ["version"], registry=registry)
        self.problems = Gauge("meshwright_problems", "What could not be honoured, now.", registry=registry)
        self.translate = Histogram(
            "meshwright_translate_seconds", "Catalog to snapshot.", registry=registry, buckets=_MILLISECONDS
        )
        self.consul_up = Gauge("meshwright_consul_up", "1 while all watches on Consul work.", registry=registry)
        self.synced = Gauge("meshwright_synced", "1 once the first whole state was read.", registry=registry)
        self.watch_errors = Counter("meshwright_consul_errors", "Failed queries.", ["watch"], registry=registry)
        self.fetches = Counter("meshwright_consul_fetches", "Queries for what changed.", ["what"], registry=registry)
        self.held = Gauge(
            "meshwright_held_services", "Services kept from before Consul lost its state.", registry=registry
        )
