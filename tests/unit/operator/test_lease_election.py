"""Who may take a Lease: the rules alone, with clocks that the test sets."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from meshwright_operator.lease import election
from meshwright_operator.lease.election import Identity, Lease, LeaseVerdict, ObservedLease, Timing

ME = Identity("mesh/mw", "a")
HELD = Lease("mesh/mw/b", "mesh/mw", "2026-01-01T00:00:00Z", 15.0, 3, "7")
FOREIGN = replace(HELD, holder="other/mw/x", installation="other/mw")
FREE = replace(HELD, holder="")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("lease", "unchanged", "verdict"),
    [
        (None, 0, LeaseVerdict.TAKE),
        (replace(HELD, holder=ME.holder), 0, LeaseVerdict.TAKE),
        (Lease(), 0, LeaseVerdict.TAKE),
        (FREE, 0, LeaseVerdict.TAKE),
        (HELD, 0, LeaseVerdict.STAND_BY),
        (HELD, 14.9, LeaseVerdict.STAND_BY),
        (HELD, 15, LeaseVerdict.TAKE),
        (replace(HELD, duration=40), 15, LeaseVerdict.STAND_BY),
        (FOREIGN, 0, LeaseVerdict.REFUSE),
        (FOREIGN, 59.9, LeaseVerdict.REFUSE),
        (FOREIGN, 60, LeaseVerdict.TAKE),
        (replace(FOREIGN, holder=""), 15, LeaseVerdict.REFUSE),
        (replace(FOREIGN, holder=""), 60, LeaseVerdict.TAKE),
    ],
)
def test_a_lease_is_taken_by_its_own_installation_first(
    lease: Lease | None, unchanged: float, verdict: LeaseVerdict
) -> None:
    seen = None if lease is None else ObservedLease(lease, 100.0)
    assert election.judge(seen, ME, 100.0 + unchanged) is verdict


def test_a_lease_counts_from_when_it_last_changed_and_not_from_what_it_says_of_the_time() -> None:
    first = election.look(replace(FOREIGN, renewed="1999-01-01T00:00:00Z"), None, 5.0)
    assert first is not None
    assert first.since == 5.0
    assert election.look(first.lease, first, 30.0) == first
    renewed = election.look(replace(first.lease, renewed="1999-01-01T00:00:03Z", version="8"), first, 30.0)
    assert renewed is not None
    assert renewed.since == 30.0
    # A label on it is no sign of life.
    assert election.look(replace(first.lease, version="9"), first, 30.0) == ObservedLease(
        replace(first.lease, version="9"), 5.0
    )


def test_a_lease_that_vanishes_while_it_is_held_is_held_until_it_would_have_expired() -> None:
    seen = ObservedLease(FOREIGN, 10.0)
    assert election.look(None, seen, 20.0) == seen
    assert election.look(None, ObservedLease(FREE, 10.0), 20.0) is None


def test_what_is_written_is_what_is_read() -> None:
    part = election.taken(None, ME, Timing(), NOW)
    document = {"metadata": {**part["metadata"], "resourceVersion": "4", "uid": "u"}, "spec": part["spec"]}
    lease = election.read(document)
    assert lease == Lease(ME.holder, "mesh/mw", "2026-01-01T00:00:00.000000Z", 30.0, 0, "4", "u")
    renewed = election.taken(lease, ME, Timing(), NOW + timedelta(seconds=2))["spec"]
    assert "acquireTime" not in renewed
    assert "leaseTransitions" not in renewed
    assert election.taken(HELD, ME, Timing(), NOW)["spec"]["leaseTransitions"] == 4
    # Without our annotation it is another tool's.
    assert election.read({"metadata": {}, "spec": {"holderIdentity": "somebody"}}).installation == "somebody"


def test_a_holder_stops_well_before_another_may_begin() -> None:
    for duration in (3.0, 15.0, 60.0):
        timing = Timing(duration)
        assert timing.hold <= duration * 2 / 3
        # A renewal that hangs leaves time for a whole second one.
        assert timing.renew + 2 * timing.request < timing.hold
        assert timing.retry < timing.renew
