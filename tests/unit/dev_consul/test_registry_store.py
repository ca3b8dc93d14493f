"""The one index and who wakes for what."""

from __future__ import annotations

from meshwright.dev.consul.catalog.store import Store


def test_an_index_is_never_zero() -> None:
    assert Store().last("anything") == 1


def test_a_write_moves_only_what_it_touches() -> None:
    store = Store()
    store.next()
    store.touch("a")
    store.next()
    store.touch("b")
    assert (store.last("a"), store.last("b"), store.last("a", "b"), store.last("c")) == (2, 3, 3, 1)


def test_only_readers_of_the_topic_wake_and_none_after_leaving() -> None:
    store, woken = Store(), []
    leave = store.subscribe(("a", "b"), lambda: woken.append("ab"))
    store.subscribe(("c",), lambda: woken.append("c"))
    store.next()
    store.touch("b")
    leave()
    store.touch("a")
    assert woken == ["ab"]


def test_moving_wakes_no_reader_and_waking_moves_no_index() -> None:
    store, woken = Store(), []
    store.subscribe(("a",), lambda: woken.append("a"))
    store.next()
    store.move("a")
    assert (woken, store.last("a")) == ([], 2)
    store.next()
    store.wake("a")
    assert (woken, store.last("a")) == (["a"], 2)


def test_a_waiter_counts_once_however_much_it_waits_for() -> None:
    store = Store()
    leave = store.subscribe(("a", "b"), lambda: None)
    assert store.waiters == 1
    leave()
    assert store.waiters == 0


def test_writes_held_together_share_an_index_and_wake_once_at_the_end() -> None:
    store, woken = Store(), []
    store.subscribe(("a",), lambda: woken.append(store.last("a")))
    with store.held():
        store.next()
        store.touch("a")
        store.next()
        store.touch("a")
        assert woken == []
    assert woken == [2]


def test_held_writes_that_are_undone_wake_no_reader() -> None:
    store, woken = Store(), []
    store.subscribe(("a",), lambda: woken.append("a"))
    with store.held() as touched:
        store.touch("a")
        touched.clear()
    assert woken == []
