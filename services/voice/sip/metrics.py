"""Prometheus metrics of signalling."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

from services.voice.sip.guard import Admission

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client import CollectorRegistry


class CallMetrics:
    """The metrics of calls. `talking` wants its function: the number of calls that are answered and not ended."""

    def __init__(self, registry: CollectorRegistry, requests: SipMetrics) -> None:
        self._requests = requests
        self._setup = Histogram(
            "sip_call_setup_seconds",
            "From an INVITE to its acceptance: the time that it rings included.",
            buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
            registry=registry,
        )
        self.talking = Gauge("sip_calls_talking", "Calls that are answered and not ended.", registry=registry)

        self.score = Histogram(
            "sip_call_mos",
            "Estimated mean opinion score of calls to extensions, as they were heard here (ITU-T G.107).",
            buckets=(1, 2, 2.6, 3.1, 3.6, 4, 4.3, 4.5),
            registry=registry,
        )

    def ended(self, status: int, seconds: float) -> None:
        """Counts the final response to an INVITE."""
        self._requests.answered("INVITE", status, seconds)
        if status < LOWEST_REFUSAL:
            self._setup.observe(seconds)


LOWEST_REFUSAL = 300
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
