"""Who may act in a namespace: a `coordination.k8s.io` Lease there, and when an operator may take it.

Two operators that do not know of each other would both decide about the same rollout. So each namespace with work has a
Lease of a well-known name, and only its holder acts. The Lease names an installation (a release), and the one of its
pods that works. The rules are those of Kubernetes' own leader election: nobody compares clocks. Who waits measures, on
a clock of its own, for how long the Lease has not changed; the holder stops well before that time is over.

Pods of one installation follow each other as soon as the Lease is free, or was not renewed for its duration. Another
installation waits four times as long: an upgrade, or a node that is lost, is no reason to hand a namespace over. A
Lease that is deleted, as an uninstall does, is free for everybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from meshwright.rollout.api.vocabulary import GROUP

if TYPE_CHECKING:
    from collections.abc import Mapping

LEASE = "meshwright-operator"
"""The name of the Lease in the namespace that it guards."""
INSTALLATION_ANNOTATION = f"{GROUP}/installation"
"""Whose the Lease is, also between two pods, when nobody holds it."""
DURATION = 30.0
"""Seconds that a Lease is valid, where nothing else is said."""
FOREIGN_FACTOR = 4
"""Another installation waits so many durations."""


@dataclass(frozen=True, slots=True)
class Identity:
    """An operator that takes Leases: `mesh/mw`, and the pod `mw-operator-5c9f`."""

    installation: str
    pod: str

    @property
    def holder(self) -> str:
        return f"{self.installation}/{self.pod}"


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds, all from the Lease's duration."""

    duration: float = DURATION

    @property
    def hold(self) -> float:
        """For so long after the start of the last renewal that worked does its holder act."""
        return self.duration * 2 / 3

    @property
    def renew(self) -> float:
        """Between two renewals."""
        return self.duration / 6

    @property
    def request(self) -> float:
        """For so long is an answer waited for: a renewal that hangs is tried a second time within a hold."""
        return self.hold / 3

    @property
    def retry(self) -> float:
        """Between two looks: at the namespace, at a Lease that is somebody else's, and after a renewal that failed."""
        return self.duration / 12


@dataclass(frozen=True, slots=True)
class Lease:
    """What a Lease says."""

    holder: str = ""
    installation: str = ""
    renewed: str = ""
    """As it stands there: it is compared, and never read as a time."""
    duration: float = DURATION
    transitions: int = 0
    version: str = ""
    """`metadata.resourceVersion`: a write names it, and fails where the Lease has changed since."""
    uid: str = ""

    @property
    def beat(self) -> tuple[str, str, str, int]:
        """What changes with each renewal."""
        return self.holder, self.installation, self.renewed, self.transitions


@dataclass(frozen=True, slots=True)
class ObservedLease:
    """A Lease as last seen, and since when, on the observer's own clock, it has not changed."""

    lease: Lease
    since: float


class LeaseVerdict(StrEnum):
    """What to do about a Lease."""

    TAKE = "take"
    """Write oneself into it: it is free, or one's own."""
    STAND_BY = "stand by"
    """Another pod of this installation works."""
    REFUSE = "refuse"
    """It is another installation's."""


def look(lease: Lease | None, before: ObservedLease | None, now: float) -> ObservedLease | None:
    """The Lease as seen now. One that vanished while it was held counts as held until it would have expired."""
    if lease is None:
        return before if before is not None and before.lease.holder else None
    if before is not None and before.lease.beat == lease.beat:
        return ObservedLease(lease, before.since)
    return ObservedLease(lease, now)


def judge(seen: ObservedLease | None, me: Identity, now: float) -> LeaseVerdict:
    """Whether `me` may take the Lease at `now`, on the clock of `seen.since`."""
    if seen is None:
        return LeaseVerdict.TAKE
    lease, unchanged = seen.lease, now - seen.since
    if lease.holder == me.holder or not (lease.holder or lease.installation):
        return LeaseVerdict.TAKE
    if lease.installation == me.installation:
        return LeaseVerdict.TAKE if not lease.holder or unchanged >= lease.duration else LeaseVerdict.STAND_BY
    return LeaseVerdict.TAKE if unchanged >= FOREIGN_FACTOR * lease.duration else LeaseVerdict.REFUSE


def read(document: Mapping[str, Any]) -> Lease:
    """A Lease as the API server has it."""
    metadata, spec = document["metadata"], document.get("spec") or {}
    holder = spec.get("holderIdentity") or ""
    # One without the annotation was written by another tool, or by hand: it is its own installation.
    installation = (metadata.get("annotations") or {}).get(INSTALLATION_ANNOTATION) or holder
    return Lease(
        holder=holder,
        installation=installation,
        renewed=str(spec.get("renewTime") or ""),
        duration=float(spec.get("leaseDurationSeconds") or DURATION),
        transitions=int(spec.get("leaseTransitions") or 0),
        version=str(metadata.get("resourceVersion") or ""),
        uid=str(metadata.get("uid") or ""),
    )


def taken(before: Lease | None, me: Identity, timing: Timing, now: datetime) -> dict[str, Any]:
    """The part of a Lease that says that `me` holds it from now on."""
    mine = before is not None and before.holder == me.holder
    spec: dict[str, Any] = {
        "holderIdentity": me.holder,
        "leaseDurationSeconds": max(1, round(timing.duration)),
        "renewTime": _micro(now),
    }
    if not mine:
        spec["acquireTime"] = _micro(now)
        spec["leaseTransitions"] = 0 if before is None else before.transitions + 1
    return {"metadata": {"annotations": {INSTALLATION_ANNOTATION: me.installation}}, "spec": spec}


def released(now: datetime) -> dict[str, Any]:
    """The part of a Lease that says that its installation has it, and none of its pods works."""
    return {"spec": {"holderIdentity": "", "renewTime": _micro(now)}}


def _micro(at: datetime) -> str:
    """Kubernetes' MicroTime."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
