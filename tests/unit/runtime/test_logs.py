from __future__ import annotations

import io
import json
import logging
import sys

import pytest
from opentelemetry import trace

from meshwright import logs
from meshwright.errors import ValidationError

CONSTANTS = {"service": "user", "version": "1.0.0", "instance": "user-1"}


@pytest.fixture
def stream():
    """The stream that logging was configured to write to, undone after the test."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:] = before
    root.setLevel(level)


def record(message: str, *args: object, **more: object) -> logging.LogRecord:
    made = logging.LogRecord("some.logger", logging.WARNING, "file.py", 1, message, args, None)
    for name, value in more.items():
        setattr(made, name, value)
    return made


def test_a_line_is_one_json_object_with_the_constants() -> None:
    entry = json.loads(logs.JsonFormatter(CONSTANTS).format(record("two\nlines of %s", "text", tenant="blue")))
    assert entry.pop("time").endswith("Z")
    assert entry == {
        "level": "warning",
        "message": "two\nlines of text",
        "logger": "some.logger",
        "tenant": "blue",
        **CONSTANTS,
    }


def test_a_line_inside_a_span_carries_its_ids() -> None:
    context = trace.SpanContext(0xABC, 0xDEF, is_remote=False)
    with trace.use_span(trace.NonRecordingSpan(context)):
        entry = json.loads(logs.JsonFormatter({}).format(record("hello")))
        text = logs.TextFormatter(colour=False).format(record("hello"))
    assert (entry["trace_id"], entry["span_id"]) == (f"{0xABC:032x}", f"{0xDEF:016x}")
    assert text.endswith(f"WARNING some.logger: hello [trace {0xABC:032x}]")


def test_what_json_cannot_say_is_said_in_words() -> None:
    entry = json.loads(logs.JsonFormatter({}).format(record("hello", path={1})))
    assert entry["path"] == "{1}"


def test_an_exception_is_in_its_line() -> None:
    try:
        raise ValueError("why")
    except ValueError:
        made = record("failed")
        made.exc_info = sys.exc_info()
    assert "ValueError: why" in json.loads(logs.JsonFormatter({}).format(made))["exception"]
    assert "ValueError: why" in logs.TextFormatter(colour=True).format(made)


def test_extra_fields_cannot_forge_the_line() -> None:
    entry = json.loads(logs.JsonFormatter(CONSTANTS).format(record("hello", service="other", level="debug")))
    assert (entry["service"], entry["level"]) == ("user", "warning")


def test_configuring_sends_all_logs_to_one_place(stream: io.StringIO) -> None:
    logs.configure("user", "1.0.0", "user-1", "warning", stream=stream)
    logging.getLogger("any").info("not this")
    logging.getLogger("any").warning("this")
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["message"] == "this"
    assert logs.configured()


def test_the_level_is_that_of_ones_own_lines_and_not_of_chatty_libraries(stream: io.StringIO) -> None:
    logs.configure("user", level="debug", stream=stream)
    for name in ("aiosqlite", "grpc._cython.cygrpc", "httpcore.http11", "services.user"):
        logging.getLogger(name).debug("said by %s", name)
    assert [json.loads(line)["logger"] for line in stream.getvalue().splitlines()] == ["services.user"]


def test_a_level_that_there_is_not_is_refused_with_the_choices(stream: io.StringIO) -> None:
    with pytest.raises(ValidationError, match="MESHWRIGHT_LOG_LEVEL: expected one of debug, info"):
        logs.configure("user", level="loud", stream=stream)


def test_text_is_for_people(stream: io.StringIO) -> None:
    logs.configure("user", format=logs.LogFormat.TEXT, stream=stream)
    logging.getLogger("any").error("broken")
    assert stream.getvalue().rstrip().endswith("ERROR   any: broken")
