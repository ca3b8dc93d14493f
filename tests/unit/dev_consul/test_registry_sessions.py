"""Sessions over injected time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshwright.dev.consul.catalog.models import Service
from meshwright.dev.consul.kv import make_session

if TYPE_CHECKING:
    from meshwright.dev.consul.state import State


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


def test_a_deleted_key_is_remembered_for_a_quarter_of_an_hour(state: State) -> None:
    kv = state.kv
    kv.put("keep/a", b"1")
    for key in ("gone/a", "gone/b"):
        kv.put(key, b"1")
        kv.delete(key)
    deleted = state.store.index
    kv.expire(0.0)
    kv.put("keep/b", b"1")
    assert kv.index_under("gone/") == deleted

    kv.expire(899.0)
    assert kv.index_under("gone/") == deleted
    kv.expire(900.0)
    assert kv.graves == {}
    kv.expire(2000.0)
    assert kv.index_under("gone/") == state.store.index


def test_names_that_come_and_go_leave_nothing_behind(state: State) -> None:
    def churn(number: int) -> None:
        state.store.next()
        state.catalog.put_service(Service(state.node, f"s{number}", f"s{number}"))
        state.catalog.delete_service(state.node, f"s{number}")
        state.kv.put(f"k{number}", b"1")
        state.kv.delete(f"k{number}")
        state.kv.open(session := make_session({}, state.node), 0.0)
        state.kv.close(session.id, 0.0)

    churn(0)
    before = state.store.topics
    for number in range(1, 20):
        churn(number)
    assert state.store.topics == before
