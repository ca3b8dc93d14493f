"""Leader election for a namespace: a `coordination.k8s.io` Lease, and when an operator may take it.

Two independent operators would both decide about the same rollout. So each namespace with rollouts has a Lease of a
well-known name, and only its holder writes. The Lease names an installation (a release), and its active pod. The rules
are those of Kubernetes' own leader election, which compares no clocks: a waiting operator measures, on its own clock,
for how long the Lease has not changed; the holder stops well before that time is over.

A pod of the same installation takes the Lease as soon as it is free, or was not renewed for its duration. Another
installation waits four times as long: an upgrade, or a lost node, is no reason to hand a namespace over. A deleted
Lease, as after an uninstall, is free for every installation.
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
"""The name of the Lease in each namespace."""
INSTALLATION_ANNOTATION = f"{GROUP}/installation"
"""The installation of the Lease, also between two pods, while there is no holder."""
DURATION = 30.0
"""The default duration of a Lease, in seconds."""
FOREIGN_FACTOR = 4
"""The number of durations that another installation waits."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The identity of an operator: installation `mesh/mw`, pod `mw-operator-5c9f`."""

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
        """For this long after the start of the last successful renewal the holder may write."""
        return self.duration * 2 / 3

    @property
    def renew(self) -> float:
        """Between two renewals."""
        return self.duration / 6

    @property
    def request(self) -> float:
        """The timeout of a request: a renewal that hangs is repeated within a hold."""
        return self.hold / 3

    @property
    def retry(self) -> float:
        """Between two reads of the namespace or of another operator's Lease, and after a failed renewal."""
        return self.duration / 12


@dataclass(frozen=True, slots=True)
class Lease:
    """The content of a Lease."""

    holder: str = ""
    installation: str = ""
    renewed: str = ""
    """The text of `renewTime`: compared for changes, never parsed as a time."""
    duration: float = DURATION
    transitions: int = 0
    version: str = ""
    """`metadata.resourceVersion`: a write includes it, and fails where the Lease has changed since."""
    uid: str = ""

    @property
    def beat(self) -> tuple[str, str, str, int]:
        """The fields that change with each renewal."""
        return self.holder, self.installation, self.renewed, self.transitions


@dataclass(frozen=True, slots=True)
class ObservedLease:
    """The last observed Lease, and since when it has not changed, on the observer's own clock."""

    lease: Lease
    since: float


class LeaseVerdict(StrEnum):
    """The decision on a Lease."""

    TAKE = "take"
    """Take or renew it: it is free, or held by this operator."""
    STAND_BY = "stand by"
    """Another pod of this installation holds it."""
    REFUSE = "refuse"
    """It belongs to another installation."""


def look(lease: Lease | None, before: ObservedLease | None, now: float) -> ObservedLease | None:
    """The current observation. A Lease that vanished while held counts as held until it would have expired."""
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
    """Parses a Lease document."""
    metadata, spec = document["metadata"], document.get("spec") or {}
    holder = spec.get("holderIdentity") or ""
    # A Lease without the annotation was written by another tool, or by hand: its holder is the installation.
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
    """The patch that makes `me` the holder from `now` on."""
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
    """The patch that removes the holder and keeps the installation."""
    return {"spec": {"holderIdentity": "", "renewTime": _micro(now)}}


def _micro(at: datetime) -> str:
    """Kubernetes' MicroTime."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
