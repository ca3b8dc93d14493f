"""Which requests an abort points to: those that failed in the version that was refused."""

from __future__ import annotations

from typing import Any

import pytest

from meshwright.rollout.spanexport import failing_spans


def trace(number: int, version: str, *, service: str = "user", error: Any = True) -> dict[str, Any]:
    process = {"serviceName": service, "tags": [{"key": "service.version", "value": version}]}
    fine = {"spanID": f"{number}a", "traceID": f"t{number}", "processID": "p1", "tags": []}
    failed = {**fine, "spanID": f"{number}b", "tags": [{"key": "error", "value": error}]}
    return {"traceID": f"t{number}", "spans": [fine, failed], "processes": {"p1": process}}


def test_of_each_trace_the_first_span_that_failed_in_that_version_is_meant() -> None:
    found = {"data": [trace(1, "3.0.0"), trace(2, "1.0.0"), trace(3, "3.0.0", service="gateway"), trace(4, "3.0.0")]}
    assert list(failing_spans(found, "user", "3.0.0")) == [("t1", "1b"), ("t4", "4b")]


@pytest.mark.parametrize("error", ["true", True])
def test_an_error_may_be_said_in_words(error: Any) -> None:
    assert list(failing_spans({"data": [trace(1, "3", error=error)]}, "user", "3")) == [("t1", "1b")]


@pytest.mark.parametrize("answer", [None, {}, {"data": None}, {"data": [{}]}, {"data": [{"spans": [{}]}]}])
def test_an_answer_with_nothing_in_it_gives_no_links(answer: Any) -> None:
    assert list(failing_spans(answer, "user", "3.0.0")) == []


def test_what_did_not_fail_is_not_linked() -> None:
    assert list(failing_spans({"data": [trace(1, "3", error=False)]}, "user", "3")) == []
