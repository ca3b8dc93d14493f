"""When every service is read once more."""

from __future__ import annotations

from meshwright.controlplane.consul_source.resync_scheduler import RARELY, SOON, SPACING, ResyncScheduler


def test_without_a_move_there_is_no_sweep() -> None:
    assert ResyncScheduler().at is None
    assert not ResyncScheduler().due(100)


def test_a_move_that_nothing_explains_is_followed_by_one_sweep_soon() -> None:
    sweeper = ResyncScheduler()
    sweeper.explain(6)
    sweeper.moved(7, 100)
    assert sweeper.at == 100 + SOON
    assert not sweeper.due(100.5)
    assert sweeper.due(101)
    assert sweeper.at is None
    assert not sweeper.due(102)


def test_the_next_sweep_keeps_its_distance() -> None:
    sweeper = ResyncScheduler()
    sweeper.moved(7, 100)
    assert sweeper.due(101)
    sweeper.moved(8, 102)
    assert sweeper.at == 101 + SPACING
    sweeper.moved(9, 105)
    assert sweeper.at == 101 + SPACING


def test_moves_that_the_checks_explain_lead_to_a_sweep_rarely() -> None:
    sweeper = ResyncScheduler()
    sweeper.moved(7, 100)
    assert sweeper.due(101)
    sweeper.moved(8, 110)
    sweeper.explain(8)
    assert not sweeper.due(111)
    assert sweeper.at == 101 + RARELY
    sweeper.moved(9, 112)
    assert sweeper.at == 112 + SOON
    assert sweeper.due(113)
