from __future__ import annotations

from meshwright.local.supervisor.restarts import Restarts


def test_the_delay_doubles_up_to_ten_seconds() -> None:
    history, delays = Restarts(), []
    for _ in range(8):
        delay, history = history.after(lived=0.5)
        delays.append(delay)
    assert delays == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    assert history.total == 8


def test_a_long_life_is_forgiven() -> None:
    history = Restarts(total=7, streak=7)
    delay, history = history.after(lived=10.0)
    assert (delay, history) == (0.2, Restarts(total=8, streak=1))


def test_a_thousand_crashes_do_not_overflow() -> None:
    assert Restarts(streak=10_000).after(lived=0)[0] == 10.0
