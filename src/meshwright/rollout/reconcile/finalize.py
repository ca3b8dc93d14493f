"""The end of a rollout, when its resource is deleted (`onDelete: Restore`).

Without rules, calls go to every healthy instance. So all calls go to the stable version first, then the instances of
the other versions end, and the rules are removed only once Consul has none of these. The caller keeps or ends the
instances of the stable version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshwright.rollout.api.routing import Routing
from meshwright.rollout.api.vocabulary import OnDelete
from meshwright.rollout.reconcile.decision import Decision, ReleaseTraffic, ScaleVersion, SetTraffic

if TYPE_CHECKING:
    from meshwright.rollout.api.observed import Observed
    from meshwright.rollout.api.spec import Rollout
    from meshwright.rollout.api.status import RolloutStatus


def retire_others(rollout: Rollout, status: RolloutStatus, seen: Observed) -> tuple[Decision, str]:
    """One step towards the stable version alone, and the reason for waiting: empty when the rules may be removed.

    Without a healthy instance of a stable version, the other versions are all that serves: they stay.
    """
    stable = status.stable
    if rollout.on_delete is not OnDelete.RESTORE or not stable:
        return Decision(status), ""
    if seen.traffic is None or seen.workloads is None:
        return Decision(status), "it cannot be seen which versions are still there"
    healthy = seen.traffic.healthy
    if not healthy.get(stable):
        return Decision(status), ""
    others = {
        version: workload
        for version, workload in sorted(seen.workloads.items())
        if version != stable and (workload.desired or workload.running or healthy.get(version))
    }
    if not others:
        return Decision(status), ""
    waiting = f"instances of {', '.join(others)} are still there, to which calls would go without the rules"
    routing = seen.traffic.routing
    if routing is None or not routing.versions <= {stable}:
        return Decision(status, (SetTraffic(Routing.all_to(stable)),)), waiting
    ending = tuple(ScaleVersion(version, 0) for version, workload in others.items() if workload.desired)
    return Decision(status, ending), waiting


def release(rollout: Rollout, status: RolloutStatus) -> Decision:
    """Take the rules out of Consul. Workloads are the shell's: owner references, processes."""
    return Decision(status, (ReleaseTraffic(),) if rollout.on_delete is OnDelete.RESTORE else ())
