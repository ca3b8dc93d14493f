"""How much too early gRPC's configured timeouts fire in this process, in milliseconds.

gRPC turns a timeout that it was configured with (an xDS route's, a service config's) into a deadline by way of its
cycle clock, whose zero is the whole second *before* the process's first look at the monotonic clock. The conversion
loses that second and the fraction: the timeout fires early by `1 + frac(CLOCK_MONOTONIC at init)` seconds, in every
release tried (1.62 to 1.85; related: grpc/grpc#34547, #40633). A timeout below that fires at once. Deadlines given per
call are right.

We cannot know when gRPC looked at the clock, but we can watch the error. On a channel that leads nowhere, calls wait
for a connection, each with another timeout from the service config: those below the skew fail at once, the others
after `timeout - skew`. So each failure says that the skew is at least `timeout - elapsed`, never more, and the largest
of these is the skew, less what the failure took to be noticed. When three timers in a row say the same, they are no
accident, and we stop waiting. Without the bug, all say zero. It takes some 40 ms once for each process
(docs/decisions/0022); the control plane adds the result to the timeouts of this node.

On a busy machine timers may be noticed too late to agree. Then the largest counts where timers above it have fired,
too: where it is the last that fired, larger ones were perhaps still to come. A skew that is too small ends calls early,
so that none is better: the control plane then assumes the greatest.
"""

from __future__ import annotations

import functools
import json
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger(__name__)

_TIMEOUTS = (0.01, 0.02, 0.03, *(1.0 + step / 100 for step in range(112)))
_AGREE = 0.0015
"""Seconds within which three timers say the same."""
_ABOVE = 10
"""Timers above the largest estimate that must have fired, where none agree."""
_PATIENCE = 0.4
_NOWHERE = "unix:/nonexistent/meshwright-timeout-skew"


@functools.cache
def timeout_skew_ms() -> int | None:
    """The skew of this process, measured at the first call; None where it could not be measured."""
    began = time.perf_counter()
    skew = Probe().measure(_PATIENCE)
    if skew is None:
        log.warning("gRPC's timeout skew could not be measured: timeouts set for routes may fire up to 1 s late")
        return None
    took = time.perf_counter() - began
    log.debug("gRPC's configured timeouts fire %.1f ms early (measured in %.0f ms)", skew * 1000, took * 1000)
    return max(0, round(skew * 1000))


def agreed(estimates: Sequence[float]) -> bool:
    """Whether three neighbours among the estimates, in the order of their timeouts, say the same.

    Calls that failed at once cannot: their estimates are as far apart as their timeouts.
    """
    return any(
        max(group) - min(group) <= _AGREE for group in zip(estimates, estimates[1:], estimates[2:], strict=False)
    )


def complete(estimates: Sequence[float]) -> bool:
    """Whether the largest of the estimates, in the order of their timeouts, is not merely the last so far."""
    return bool(estimates) and len(estimates) - 1 - estimates.index(max(estimates)) >= _ABOVE


class Probe:
    """Calls that wait for nothing, and what each that gave up says of the skew."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._estimates: dict[float, float] = {}

    def measure(self, patience: float) -> float | None:
        """The skew in seconds, after `patience` seconds at most."""
        until = time.perf_counter() + patience
        with grpc.insecure_channel(_NOWHERE, options=_options()) as channel:
            calls = [self._call(channel, index, timeout) for index, timeout in enumerate(_TIMEOUTS)]
            found = self.watch(until)
            for call in calls:
                call.cancel()
        return found

    def _call(self, channel: grpc.Channel, index: int, timeout: float) -> Any:
        method: Any = channel.unary_unary(f"/skew/{index}")
        began = time.perf_counter()
        call = method.future(b"", wait_for_ready=True)
        call.add_done_callback(functools.partial(self._ended, timeout, began))
        return call

    def _ended(self, timeout: float, began: float, _call: object) -> None:
        self.note(timeout, time.perf_counter() - began)

    def note(self, timeout: float, elapsed: float) -> None:
        """A call with that timeout gave up after `elapsed` seconds. From any thread."""
        with self._changed:
            self._estimates[timeout] = timeout - elapsed
            self._changed.notify()

    def watch(self, until: float) -> float | None:
        """Waits for what the calls say, until a time on `time.perf_counter`; None where they say too little."""
        with self._changed:
            while True:
                estimates = [self._estimates[timeout] for timeout in sorted(self._estimates)]
                left = until - time.perf_counter()
                if agreed(estimates) or (left <= 0 and complete(estimates)):
                    return max(estimates)
                if left <= 0:
                    return None
                self._changed.wait(left)


def _options() -> tuple[tuple[str, object], ...]:
    methods = [
        {"name": [{"service": "skew", "method": str(index)}], "timeout": f"{timeout:.3f}s"}
        for index, timeout in enumerate(_TIMEOUTS)
    ]
    config = json.dumps({"methodConfig": methods})
    return (("grpc.service_config", config), ("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))
