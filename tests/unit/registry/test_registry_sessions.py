"""Sessions over injected time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshwright.standins.registry.kv import make_session

if TYPE_CHECKING:
    from meshwright.standins.registry.state import State


def open_session(state: State, **form: Any) -> str:
    session = make_session(form, state.node)
    state.kv.open(session, 0.0)
    return session.id


def test_a_session_ends_at_twice_its_time_to_live_unless_it_is_renewed(state: State) -> None:
    held = open_session(state, TTL="10s")
    state.kv.renew(held, 15.0)
    state.kv.expire(34.9)
    assert held in state.kv.sessions
    state.kv.expire(35.0)
    assert held not in state.kv.sessions


def test_an_expired_session_lets_go_and_its_delay_runs(state: State) -> None:
    held = open_session(state, TTL="10s", LockDelay=5_000_000_000)
    other = open_session(state)
    assert state.kv.acquire("k", b"1", 0, held, 0.0)
    state.kv.expire(20.0)
    assert state.kv.pairs["k"].session == ""
    assert not state.kv.acquire("k", b"2", 0, other, 24.9)
    assert state.kv.acquire("k", b"2", 0, other, 25.0)


def test_an_expired_session_deletes_what_it_held_where_it_said_so(state: State) -> None:
    held = open_session(state, TTL="10s", Behavior="delete")
    state.kv.acquire("k", b"1", 0, held, 0.0)
    state.kv.expire(20.0)
    assert "k" not in state.kv.pairs
