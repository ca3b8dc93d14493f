"""The policy document: what it may say, and how a bad one is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from meshwright import durations
from meshwright.controlplane.model.policy import (
    Abort,
    Balancing,
    Delay,
    Fault,
    HeaderMatch,
    LoadBalancing,
    OutlierDetection,
    Policy,
    Retry,
    parse_policy,
)
from meshwright.errors import ValidationError
from meshwright.model import ServiceName

USER = ServiceName("user")
REFERENCE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "policy.md"


def parse(document: object) -> Policy:
    return parse_policy(USER, json.dumps(document).encode())


def refused(document: bytes) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        parse_policy(USER, document)
    assert caught.value.source == "policy meshwright/policy/user"
    return [str(problem) for problem in caught.value.violations]


def test_the_empty_document_means_the_defaults() -> None:
    assert parse({}) == Policy()


def test_everything_that_can_be_said_is_read() -> None:
    policy = parse(
        {
            "load_balancing": {"policy": "ring_hash", "hash_on_header": "X-User", "minimum_ring_size": 64},
            "outlier_detection": {"failure_percentage": 20, "interval": "1s", "base_ejection_time": "1.5s"},
            "max_concurrent_requests": 7,
            "prioritize_by_locality": "failover",
            "faults": [
                {"headers": [{"name": "X-Chaos", "prefix": "a", "invert": True}], "abort": {"status": "ABORTED"}},
                {"abort": {"status": 14, "percentage": 0.05}, "delay": {"duration": "1m", "percentage": 3}},
            ],
            "retry": {"on": ["unavailable", "internal"], "attempts": 2, "base_backoff": "50ms"},
            "timeout": "1500ms",
        }
    )
    assert policy == Policy(
        load_balancing=LoadBalancing(Balancing.RING_HASH, "x-user", minimum_ring_size=64),
        outlier_detection=OutlierDetection(failure_percentage=20, interval_ms=1000, base_ejection_time_ms=1500),
        max_concurrent_requests=7,
        prioritize_by_locality="failover",
        faults=(
            Fault((HeaderMatch("x-chaos", prefix="a", invert=True),), Abort(10)),
            Fault((), Abort(14, 0.05), Delay(60_000, 3)),
        ),
        retry=Retry(("internal", "unavailable"), 2, base_backoff_ms=50),
        timeout_ms=1500,
    )


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"retry": {"on": ["unavailable", "internal", "5xx"]}}, "retry.on[2]: expected one of"),
        ({"retry": {"attempts": 6}}, "retry.attempts: must be at most 5, not 6"),
        ({"retry": {"base_backoff": "1ms"}}, "retry.base_backoff: must be at least 10ms"),
        ({"retry": {"base_backoff": "1s"}}, "retry.base_backoff: must not exceed maximum_backoff"),
        ({"retries": {}}, "retries: unknown key; did you mean retry?"),
        ({"load_balancing": {"policy": "least_request"}}, "load_balancing.policy: expected one of"),
        ({"load_balancing": {"policy": "ring_hash"}}, "load_balancing.hash_on_header: is required by ring_hash"),
        ({"load_balancing": {"hash_on_header": "x"}}, "load_balancing: hash_on_header and ring sizes need"),
        (
            {"load_balancing": {"policy": "ring_hash", "hash_on_header": "x-bin"}},
            "load_balancing.hash_on_header: expected a metadata key",
        ),
        (
            {"load_balancing": {"policy": "ring_hash", "hash_on_header": "x", "maximum_ring_size": 9}},
            "load_balancing.minimum_ring_size: must not exceed",
        ),
        ({"max_concurrent_requests": 0}, "max_concurrent_requests: must be at least 1, not 0"),
        ({"prioritize_by_locality": "zone"}, 'prioritize_by_locality: expected one of none, failover, not "zone"'),
        ({"outlier_detection": {"interval": 5}}, "outlier_detection.interval: expected a string, not 5"),
        ({"outlier_detection": {"interval": "0.1ms"}}, "outlier_detection.interval: must be at least 1ms"),
        (
            {"outlier_detection": {"base_ejection_time": "1h"}},
            "outlier_detection.base_ejection_time: must not exceed maximum_ejection_time",
        ),
        ({"faults": [{}]}, "faults[0]: expected an abort, a delay, or both, not {}"),
        ({"faults": [{"abort": {"status": "OK"}}]}, "faults[0].abort.status: expected one of CANCELLED"),
        ({"faults": [{"abort": {"status": 14, "percentage": 101}}]}, "faults[0].abort.percentage: must be at most"),
        ({"faults": [{"delay": {"duration": "5"}}]}, "faults[0].delay.duration: expected a duration such as"),
        (
            {"faults": [{"headers": [{"name": "a", "exact": "x", "regex": "y"}], "delay": {"duration": "1s"}}]},
            "faults[0].headers[0]: expected exactly one of exact, prefix, suffix, regex, present",
        ),
        (
            {"faults": [{"headers": [{"name": "a", "regex": "(?=x)"}], "delay": {"duration": "1s"}}]},
            "faults[0].headers[0].regex: regular expression",
        ),
        ([], "expected an object, not []"),
    ],
)
def test_a_bad_document_is_refused_with_the_place(document: object, problem: str) -> None:
    (found,) = refused(json.dumps(document).encode())
    assert found.startswith(problem)


@pytest.mark.parametrize("document", [b"", b"{", b"\xff", b'{"max_concurrent_requests": NaN}', b"[" * 100_000])
def test_what_is_not_json_is_refused(document: bytes) -> None:
    (problem,) = refused(document)
    assert problem.startswith("is not JSON")


def test_a_whole_number_may_be_written_with_a_point() -> None:
    policy = parse_policy(USER, b'{"max_concurrent_requests": 5.0}')
    assert policy.max_concurrent_requests == 5
    assert isinstance(policy.max_concurrent_requests, int)


def test_every_example_of_the_reference_is_valid() -> None:
    examples = re.findall(r"```json\n(.*?)```", REFERENCE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) >= 5
    for example in examples:
        parse_policy(USER, example.encode())


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("1.5s", 1500),
        ("250ms", 250),
        ("1h2m3s", 3_723_000),
        ("1us", 0.001),
        (2_000_000, 2),
        ("", 0),
        ("0", 0),
        (None, 0),
    ],
)
def test_durations_are_read_as_go_writes_them(text: str | int | None, milliseconds: float) -> None:
    assert durations.milliseconds(text) == milliseconds


@pytest.mark.parametrize("text", ["5", "s", "-1s", "1 s", "1d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        durations.milliseconds(text)


@pytest.mark.parametrize("duration", ["9999999999999999h", "9" * 400 + "h", "8761h"])
@pytest.mark.parametrize(
    ("document", "place"),
    [
        ('{"timeout": "%s"}', "timeout"),
        ('{"retry": {"maximum_backoff": "%s"}}', "retry.maximum_backoff"),
        ('{"outlier_detection": {"maximum_ejection_time": "%s"}}', "outlier_detection.maximum_ejection_time"),
        ('{"faults": [{"delay": {"duration": "%s"}}]}', "faults[0].delay.duration"),
    ],
)
def test_a_duration_beyond_what_can_be_sent_is_refused(document: str, place: str, duration: str) -> None:
    assert refused((document % duration).encode()) == [f"{place}: must not exceed 8760h"]


def test_a_delay_of_nothing_is_refused_because_an_envoy_would_refuse_its_whole_table() -> None:
    document = b'{"faults": [{"abort": {"status": 14}}, {"delay": {"duration": "0.4ns"}}]}'
    assert refused(document) == ["faults[1].delay.duration: must be at least 1ms"]


def test_text_that_is_not_unicode_is_refused() -> None:
    document = rb'{"faults": [{"headers": [{"name": "x", "exact": "\ud800"}], "abort": {"status": 14}}]}'
    assert refused(document) == ["is not JSON: it holds half of a surrogate pair, which is no text"]
