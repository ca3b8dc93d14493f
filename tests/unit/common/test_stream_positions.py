"""Ids of stored messages keep their order as text and take no garbage."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.messaging.stream_position import InvalidPositionError, StreamPosition, parse_position

MILLISECONDS = st.integers(0, 10**13 - 1).map(lambda ms: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms))
POSITIONS = st.builds(StreamPosition, st.integers(0, 10**15 - 1), MILLISECONDS)


@given(POSITIONS)
def test_an_id_is_read_back_as_it_was_written(position):
    assert parse_position(str(position)) == position


@given(POSITIONS, POSITIONS)
def test_ids_ascend_as_their_texts_do(one, other):
    assert (one < other) == (str(one) < str(other))


@given(st.text())
def test_any_other_text_is_refused_or_is_an_id(text):
    with contextlib.suppress(InvalidPositionError):
        assert str(parse_position(text)) == text


@pytest.mark.parametrize(
    "text", ["", "1", "1-2", f"{1:015d}-{1:013d}\n", f"-{1:014d}-{1:013d}", "\u0661" * 15 + "-" + "1" * 13]
)
def test_garbage_is_refused(text):
    with pytest.raises(InvalidPositionError):
        parse_position(text)


def test_a_moment_is_cut_to_the_millisecond() -> None:
    assert str(StreamPosition(7, datetime(2026, 1, 1, microsecond=999_999, tzinfo=UTC))).endswith("999")
