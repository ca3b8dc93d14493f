"""Streams that take no messages though their server answers: what a disk that was full leaves behind.

A JetStream server whose disk was full at some write never takes a message for that stream again, also where there is
space by now: publishes are not answered, while everything else works (nats-server 2.15: "critical write error"). Only a
restart of the server mends it. One whose storage limit is reached says so at once, and takes messages again when some
are removed. A publisher cannot distinguish either from a server that is away: so it is asked for the stream. Where it
answers that, it is the stream that refuses, and this says so: in the log, and to its listener (a server's health).

While a stream refuses, a probe is published to it now and again, where it has a subject for that. The first that is
taken ends the incident, so that no more than one for each incident and replica is ever stored.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from services.common.runtime.health import ServerHealth

log = logging.getLogger(__name__)

PROBE = "probe"
"""The last token of subjects of probes: readers of a stream skip them."""
WHAT_TO_DO = "free space on its disk, then restart it"


def is_probe(subject: str) -> bool:
    return subject.endswith(f".{PROBE}")


def health_listener(health: ServerHealth) -> Callable[[Mapping[str, str]], None]:
    """A listener that takes a server out for as long as a stream refuses: one that can do nothing without NATS."""

    def changed(reasons: Mapping[str, str]) -> None:
        if reasons:
            health.hold("NATS", "; ".join(reasons.values()))
        else:
            health.release("NATS")

    return changed


class StreamRefusals:
    """What is known of the streams that a process publishes to."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}
        self._suspected: set[str] = set()
        self._listeners: list[Callable[[Mapping[str, str]], None]] = []

    def __bool__(self) -> bool:
        return bool(self._reasons)

    @property
    def reasons(self) -> Mapping[str, str]:
        """Why each stream that refuses does, as a sentence."""
        return dict(self._reasons)

    def listen(self, changed: Callable[[Mapping[str, str]], None]) -> None:
        """`changed` gets the reasons whenever they change."""
        self._listeners.append(changed)

    def doubtful(self, stream: str) -> bool:
        """Whether the stream refuses, or has left its last message unanswered."""
        return stream in self._reasons or stream in self._suspected

    def unanswered(self, stream: str) -> None:
        """A message was not answered, while the server answers: once it may be slow, twice it is the stream."""
        if stream in self._suspected:
            self.refused(stream, "answers no publish, though the server answers")
        self._suspected.add(stream)

    def refused(self, stream: str, why: str) -> None:
        """The server says that the stream takes no message, or it is to be assumed."""
        if stream in self._reasons:
            return
        reason = f"NATS refuses messages: the stream {stream} {why}; {WHAT_TO_DO}"
        self._reasons[stream] = reason
        log.error("%s", reason)
        self._tell()

    def taken(self, stream: str) -> None:
        """A message was taken."""
        self._suspected.discard(stream)
        if self._reasons and self._reasons.pop(stream, None) is not None:
            log.warning("NATS takes messages for the stream %s again", stream)
            self._tell()

    def _tell(self) -> None:
        for changed in self._listeners:
            changed(self.reasons)
