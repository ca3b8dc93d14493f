"""Who may say what where, and who is there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chat import domain
from services.chat.domain import Connection, InvalidChatError, Member, Roster

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: int, user_id: str = "ada", room: str = "hall", name: str = "") -> Connection:
    return Connection(Member(room, user_id, name or user_id), NOW + timedelta(seconds=seconds))


def test_a_name_is_trimmed_and_may_be_left_out() -> None:
    assert domain.member("r", "u", "  Ada ").name == "Ada"
    assert domain.member("r", "u", " ").name == "u"


@pytest.mark.parametrize("room", ["", "a b", "ä", "a.b", "*", ">", "r" * 65, "a\n"])
def test_what_is_no_name_of_a_room_is_refused(room):
    with pytest.raises(InvalidChatError, match="room must be"):
        domain.check_room(room)


@pytest.mark.parametrize("text", ["", " \n", "x" * 2001, "a\x00b"])
def test_what_cannot_be_said_is_refused(text):
    with pytest.raises(InvalidChatError, match="text"):
        domain.new_message(Member("r", "u", "n"), text, "")


def test_the_size_of_a_page_has_bounds() -> None:
    assert (domain.page_size(0), domain.page_size(500)) == (50, 500)
    for wrong in (-1, 501):
        with pytest.raises(InvalidChatError):
            domain.page_size(wrong)


def test_a_member_comes_with_the_first_connection_and_goes_with_the_last() -> None:
    roster = Roster()
    (came,) = roster.add("a", "1", at(5, name="Ada"))
    assert (came.room, came.person.user_id, came.present) == ("hall", "ada", True)
    assert not roster.add("b", "1", at(3, name="Lady Ada"))
    (ada,) = roster.people("hall")
    assert (ada.name, ada.connections, ada.since) == ("Ada", 2, NOW + timedelta(seconds=3))
    assert not roster.remove("a", "1")
    assert not roster.remove("a", "1")
    (went,) = roster.remove("b", "1")
    assert (went.person.name, went.present) == ("Lady Ada", False)
    assert (roster.rooms(), roster.count("hall"), roster.people("hall")) == ({}, 0, [])


def test_a_replica_that_is_gone_takes_its_people_with_it() -> None:
    roster = Roster()
    roster.add("a", "1", at(0))
    roster.replace("b", {"1": at(0), "2": at(0, "bob"), "3": at(0, "eve", "attic")})
    assert roster.rooms() == {"hall": 2, "attic": 1}
    gone = roster.replace("b", {})
    assert {(change.person.user_id, change.present) for change in gone} == {("bob", False), ("eve", False)}
    assert roster.rooms() == {"hall": 1}


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "remove", "replace"]),
        st.sampled_from("ab"),
        st.sampled_from("123"),
        st.sampled_from(["ada", "bob"]),
        st.sampled_from(["hall", "attic"]),
    ),
    max_size=40,
)


@given(STEPS)
def test_what_is_told_of_comings_and_goings_always_adds_up_to_who_is_there(steps):
    roster, believed, connections = Roster(), set(), {}
    for number, (step, replica, connection, user_id, room) in enumerate(steps):
        attendance = at(number, user_id, room)
        if step == "add":
            changes = roster.add(replica, connection, attendance)
            connections[replica, connection] = attendance
        elif step == "remove":
            changes = roster.remove(replica, connection)
            connections.pop((replica, connection), None)
        else:
            changes = roster.replace(replica, {connection: attendance})
            connections = {key: value for key, value in connections.items() if key[0] != replica}
            connections[replica, connection] = attendance
        for change in changes:
            key = (change.room, change.person.user_id)
            assert (key not in believed) == change.present
            (believed.add if change.present else believed.remove)(key)
        there = {(each.member.room, each.member.user_id) for each in connections.values()}
        assert believed == there
        for room_ in ("hall", "attic"):
            people = {person.user_id: person.connections for person in roster.people(room_)}
            mine = [each.member.user_id for each in connections.values() if each.member.room == room_]
            assert people == {user: mine.count(user) for user in set(mine)}
