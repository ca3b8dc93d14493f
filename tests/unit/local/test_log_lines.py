from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from meshwright.local.log_lines import parse
from meshwright.local.supervisor.log_files import LogFile, last_lines

if TYPE_CHECKING:
    from pathlib import Path


def test_a_json_line_becomes_time_level_message_extras_and_trace() -> None:
    entry = {
        "time": "not a time",
        "level": "info",
        "message": "served",
        "logger": "x",
        "trace_id": "abc",
        "service": "cart",
        "items": 3,
        "note": "two words",
    }
    line = parse(json.dumps(entry))
    assert str(line) == 'not a time INFO    served items=3 note="two words" trace=abc'


def test_the_time_is_shown_as_a_clock() -> None:
    line = parse('{"time": "2026-11-23T09:30:15.123Z", "level": "info", "message": "m"}')
    assert line.time.endswith(":15.123")
    assert len(line.time) == len("09:30:15.123")


def test_an_exception_follows_its_line() -> None:
    line = parse('{"message": "failed", "level": "error", "exception": "Traceback\\n  x"}')
    assert str(line).splitlines() == ["ERROR   failed", "Traceback", "  x"]


def test_lines_that_are_not_ours_stay_as_they_are() -> None:
    for text in ("plain text", '{"not": "ours"}', '{"message": 3}', "{broken", "", "[1]"):
        assert str(parse(f"{text}\n")) == text


@pytest.mark.parametrize(
    "text",
    [
        '{"a":' * 20_000,
        '{"message": "m", "time": "0001-01-01T00:00:00+14:00"}',
        '{"message": "m\\ud800", "a\\ud800": 1}',
    ],
)
def test_no_line_is_too_strange_to_be_shown(text: str) -> None:
    assert len(str(parse(text)).encode()) > 0
    assert parse('{"message": "\\ud83d\\ude00"}').message == "\U0001f600"


def test_a_log_file_is_bounded_and_keeps_the_part_before(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    log = LogFile(path, limit=100)
    for number in range(50):
        log.write(f"line {number}")
    log.close()
    assert path.stat().st_size <= 100
    assert path.with_name("a.log.1").stat().st_size <= 100
    assert last_lines(path, 3) == ["line 47", "line 48", "line 49"]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.log", "a.log.1"]


def test_a_new_run_begins_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    for text in ("first", "second"):
        log = LogFile(path)
        log.write(text)
        log.close()
    assert path.read_text() == "second\n"
    assert last_lines(path, 10) == ["first", "second"]
