"""Streams that refuse messages while their server answers: after a full disk.

After a failed write to a full disk, a JetStream server never accepts another message for that stream, even with free
space: publishes get no answer, while everything else works (nats-server 2.15: "critical write error"). Only a restart
of the server helps. A stream at its storage limit answers with an error, and accepts messages again after removals. To
distinguish both from an unavailable server, the publisher requests the stream's info: if the server answers, the stream
refuses messages. That is logged and reported to listeners (a server's health).

While a stream refuses messages, probes are published to it, if it has a subject for probes. The first accepted probe
ends the incident: at most one probe per incident and replica is stored.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from services.common.runtime.health import ServerHealth

log = logging.getLogger(__name__)

PROBE = "probe"
"""The last token of probe subjects: readers skip probes."""
WHAT_TO_DO = "free space on its disk, then restart it"


def is_probe(subject: str) -> bool:
    return subject.endswith(f".{PROBE}")


def health_listener(health: ServerHealth) -> Callable[[Mapping[str, str]], None]:
    """A listener that holds a server NOT_SERVING while a stream refuses messages; for services that require NATS."""

    def changed(reasons: Mapping[str, str]) -> None:
        if reasons:
            health.hold("NATS", "; ".join(reasons.values()))
        else:
            health.release("NATS")

    return changed


class StreamRefusals:
    """Refusals of the streams that a process publishes to."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}
        self._suspected: set[str] = set()
        self._listeners: list[Callable[[Mapping[str, str]], None]] = []

    def __bool__(self) -> bool:
        return bool(self._reasons)

    @property
    def reasons(self) -> Mapping[str, str]:
        """The reason of each refusing stream, as a sentence."""
        return dict(self._reasons)

    def listen(self, changed: Callable[[Mapping[str, str]], None]) -> None:
        """Calls `changed` with the reasons whenever they change."""
        self._listeners.append(changed)

    def doubtful(self, stream: str) -> bool:
        """Whether the stream refuses messages, or did not answer the last one."""
        return stream in self._reasons or stream in self._suspected

    def unanswered(self, stream: str) -> None:
        """Records an unanswered message while the server answers: the second in a row counts as a refusal."""
        if stream in self._suspected:
            self.refused(stream, "answers no publish, though the server answers")
        self._suspected.add(stream)

    def refused(self, stream: str, why: str) -> None:
        """Records that the stream refuses messages."""
        if stream in self._reasons:
            return
        reason = f"NATS refuses messages: the stream {stream} {why}; {WHAT_TO_DO}"
        self._reasons[stream] = reason
        log.error("%s", reason)
        self._tell()

    def taken(self, stream: str) -> None:
        """Records an accepted message."""
        self._suspected.discard(stream)
        if self._reasons and self._reasons.pop(stream, None) is not None:
            log.warning("NATS takes messages for the stream %s again", stream)
            self._tell()

    def _tell(self) -> None:
        for changed in self._listeners:
            changed(self.reasons)
