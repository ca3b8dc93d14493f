"""Prometheus metrics of signalling."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

from services.voice.sip.guard import Admission

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client import CollectorRegistry

METHODS = ("REGISTER", "OPTIONS", "INVITE", "ACK", "BYE", "CANCEL")


class SipMetrics:
    """The metrics of one process. `banned` is asked at each scrape."""

    def __init__(self, registry: CollectorRegistry, banned: Callable[[], int]) -> None:
        self.requests = Counter(
            "sip_requests", "Requests that were looked at.", ["method", "status"], registry=registry
        )
        self.seconds = Histogram(
            "sip_request_seconds",
            "From a request to its final response.",
            ["method"],
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
            registry=registry,
        )
        self.dropped = Counter(
            "sip_dropped_messages", "Messages that were not looked at, by reason.", ["reason"], registry=registry
        )
        self.failures = Counter("sip_wrong_passwords", "Wrong passwords and unknown accounts.", registry=registry)
        Gauge("sip_banned_addresses", "Addresses that are banned now.", registry=registry).set_function(banned)
        for reason in (Admission.LIMITED.value, Admission.BANNED.value, "malformed", "overload"):
            self.dropped.labels(reason)

    def answered(self, method: str, status: int, seconds: float) -> None:
        """Counts a response. Methods that nothing here knows are one label."""
        label = method if method in METHODS else "other"
        self.requests.labels(label, str(status)).inc()
        self.seconds.labels(label).observe(seconds)
