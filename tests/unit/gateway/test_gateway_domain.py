"""How failures, time limits and versions read in HTTP, by table."""

from __future__ import annotations

from datetime import UTC, datetime

import grpc
import pytest

from services.gateway import errors, users
from services.gateway.readiness import Readiness

SECRET = "failed to connect to ipv4:10.1.2.3:20001"


def test_every_status_of_grpc_has_one_of_http() -> None:
    assert set(errors.STATUSES) == {code.name for code in grpc.StatusCode} - {"OK"}


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("INVALID_ARGUMENT", 400),
        ("NOT_FOUND", 404),
        ("ALREADY_EXISTS", 409),
        ("ABORTED", 409),
        ("RESOURCE_EXHAUSTED", 429),
        ("UNAVAILABLE", 503),
        ("DEADLINE_EXCEEDED", 504),
        ("CANCELLED", 499),
        ("INTERNAL", 500),
        ("SOMETHING_NEW", 500),
    ],
)
def test_a_failure_has_the_status_of_its_code(code, status):
    problem = errors.problem_of(errors.ApiError(code, "why"), "/here", "ab12")
    assert (problem.status, problem.code, problem.instance, problem.trace_id) == (status, code, "/here", "ab12")


@pytest.mark.parametrize("code", ["NOT_FOUND", "ALREADY_EXISTS", "INVALID_ARGUMENT", "PERMISSION_DENIED", "ABORTED"])
def test_what_the_caller_did_is_told_in_the_words_of_the_service(code):
    assert errors.ApiError(code, "in its words").detail == "in its words"


@pytest.mark.parametrize(
    "code", ["UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "UNKNOWN", "DATA_LOSS", "UNIMPLEMENTED"]
)
def test_what_went_wrong_on_our_side_is_told_in_ours(code):
    document = errors.problem_of(errors.ApiError(code, SECRET), "/", "").document()
    assert SECRET not in str(document)
    assert document["detail"]


def test_a_service_may_say_itself_why_it_is_not_available() -> None:
    failure = errors.ApiError("UNAVAILABLE", "the database cannot be read or written now", reason="STORE_UNAVAILABLE")
    assert failure.detail == "the database cannot be read or written now"


def test_a_bug_stays_anonymous_even_with_a_reason() -> None:
    problem = errors.problem_of(errors.ApiError("INTERNAL", SECRET, reason="SEGMENT_7"), "/", "ab12")
    assert problem.document() == {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "something went wrong here; with the trace id it can be found out what",
        "instance": "/",
        "code": "INTERNAL",
        "trace_id": "ab12",
    }


def test_wrong_fields_are_in_the_document() -> None:
    failure = errors.ApiError("INVALID_ARGUMENT", "name is required", fields={"name": "is required"})
    assert errors.problem_of(failure, "/", "").document()["errors"] == [{"field": "name", "detail": "is required"}]


@pytest.mark.parametrize(
    ("header", "seconds"), [(None, 5), ("2.5", 2.5), ("60", 60), ("61", 60), ("1e9", 60), (" 3 ", 3), ("0.001", 0.001)]
)
def test_a_request_gets_the_time_it_asks_for_up_to_the_most(header, seconds):
    assert errors.seconds_to_answer(header, 5, 60) == seconds


@pytest.mark.parametrize("header", ["", "soon", "0", "-1", "nan", "inf", "-inf", "5s"])
def test_a_time_that_is_none_is_refused(header):
    with pytest.raises(errors.ApiError) as caught:
        errors.seconds_to_answer(header, 5, 60)
    assert caught.value.status == 400
    assert caught.value.fields == {"X-Request-Timeout": "must be a number of seconds above 0"}


def test_a_version_comes_back_from_its_tag_to_the_microsecond() -> None:
    moment = datetime(2026, 3, 1, 12, 0, 0, 123457, tzinfo=UTC)
    assert users.seen(users.tag(moment)) == moment
    assert users.seen(users.tag(moment, "v3")) == moment
    assert users.seen(f'W/"x", "nonsense", {users.tag(moment)}') == moment


@pytest.mark.parametrize("header", [None, "*", " * "])
def test_any_version_will_do_where_none_is_named(header):
    assert users.seen(header) is None


@pytest.mark.parametrize("header", ["", '"xyz"', '"' + "f" * 40 + '"', 'W/"660eec22242dc"'])
def test_a_tag_that_is_not_ours_matches_nothing(header):
    with pytest.raises(errors.ApiError) as caught:
        users.seen(header)
    assert caught.value.status == 412


async def test_a_gateway_that_lost_its_database_is_not_ready_and_says_so() -> None:
    reasons: dict[str, str] = {}
    readiness = Readiness([], draining=lambda: False, own=lambda: reasons)
    assert await readiness.missing() == {}
    reasons["database"] = "the database has lost its tables (accounts)"
    assert await readiness.missing() == {"gateway": "the database has lost its tables (accounts)"}
