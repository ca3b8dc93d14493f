"""Which headers go on from hop to hop, and with which values."""

from __future__ import annotations

import pytest
from opentelemetry import baggage
from opentelemetry import context as otel_context
from opentelemetry.context import Context

from meshwright.calls import carried
from meshwright.config import ServiceConfig, load_config
from meshwright.errors import ValidationError

NAMES = ("x-preview", "x-tester")


def configured(value: str) -> tuple[str, ...]:
    return load_config(ServiceConfig, {"MESHWRIGHT_SERVICE": "a", "MESHWRIGHT_CARRIED_HEADERS": value}).carried_headers


def test_the_samples_headers_are_carried_unless_told_otherwise() -> None:
    assert configured("") == NAMES


def test_the_list_is_replaced_by_one_of_ones_own() -> None:
    assert configured("X-Canary, x-team,x-canary") == ("x-canary", "x-team")


def test_a_dash_carries_none() -> None:
    assert configured("-") == ()


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("authorization", "may hold a secret"),
        ("x-auth-user", "may hold a secret"),
        ("x-api-key", "may hold a secret"),
        ("cookie", "may hold a secret"),
        ("x-access-token", "may hold a secret"),
        ("baggage", "has a meaning of its own"),
        ("traceparent", "has a meaning of its own"),
        ("grpc-timeout", "has a meaning of its own"),
        ("meshwright-version", "has a meaning of its own"),
        ("x-envoy-retry-on", "has a meaning of its own"),
        ("x-forwarded-for", "has a meaning of its own"),
        ("content-type", "has a meaning of its own"),
        ("te", "has a meaning of its own"),
        ("host", "has a meaning of its own"),
        ("x-blob-bin", "is binary"),
        ("x preview", "is no header name"),
        (":path", "is no header name"),
        ("ä", "is no header name"),
        ("x" * 64, "is no header name"),
    ],
)
def test_a_header_that_must_not_be_carried_is_refused_by_name(name: str, what: str) -> None:
    with pytest.raises(ValidationError) as caught:
        configured(f"x-preview,{name}")
    assert f"MESHWRIGHT_CARRIED_HEADERS: {name} {what}" in str(caught.value)


def test_too_many_headers_are_refused() -> None:
    with pytest.raises(ValidationError, match="lists 17 headers; 16 are allowed"):
        configured(",".join(f"x-{number}" for number in range(17)))


def held(*headers: tuple[str, str | bytes], context: Context | None = None) -> dict[str, object]:
    return dict(baggage.get_all(carried.taken(headers, NAMES, context or Context())))


def test_headers_of_the_list_become_baggage_and_no_others_do() -> None:
    assert held(("x-preview", "yes"), ("x-other", "1"), ("cookie", "a=b")) == {"x-preview": "yes"}


def test_several_values_are_one_as_routes_see_them() -> None:
    assert held(("x-tester", "ada"), ("x-tester", " grace ")) == {"x-tester": "ada,grace"}


@pytest.mark.parametrize("value", ["", "  ", "jä", "a\x00b", "a\nb", b"\xff", "x" * 257])
def test_a_value_that_cannot_be_sent_is_left_out(value: str | bytes) -> None:
    assert held(("x-preview", value), ("x-tester", "yes")) == {"x-tester": "yes"}


def test_what_does_not_fit_is_left_out() -> None:
    names = tuple(f"x-{number}" for number in range(6))
    context = carried.taken([(name, "v" * 256) for name in names], names, Context())
    assert sorted(baggage.get_all(context)) == ["x-0", "x-1", "x-2"]


def test_metadata_wins_over_baggage_and_other_baggage_stays() -> None:
    context = baggage.set_baggage("x-preview", "no", baggage.set_baggage("tenant", "blue", Context()))
    assert held(("x-preview", "yes"), context=context) == {"tenant": "blue", "x-preview": "yes"}
    assert held(context=context) == {"tenant": "blue", "x-preview": "no"}


def test_baggage_that_could_not_be_sent_is_taken_out() -> None:
    context = baggage.set_baggage("x-preview", "ü", baggage.set_baggage("tenant", "blau", Context()))
    assert held(context=context) == {"tenant": "blau"}


def sent(pairs: list[tuple[str, str | bytes]], **entries: object) -> list[tuple[str, str | bytes]]:
    context = otel_context.get_current()
    for name, value in entries.items():
        context = baggage.set_baggage(name.replace("_", "-"), value, context)
    # As within any call, something else is in the context too.
    token = otel_context.attach(otel_context.set_value("another", 1, context))
    try:
        carried.outgoing(pairs, NAMES)
    finally:
        otel_context.detach(token)
    return pairs


def test_a_call_gets_what_the_context_carries_and_nothing_else() -> None:
    assert sent([("a", "b")], x_preview="yes", authorization="Bearer 1") == [("a", "b"), ("x-preview", "yes")]


def test_what_a_call_is_given_itself_stands() -> None:
    assert sent([("x-preview", "no")], x_preview="yes", x_tester=1) == [("x-preview", "no"), ("x-tester", "1")]


def test_nothing_is_sent_that_grpc_would_refuse() -> None:
    assert sent([], x_preview="line\nbreak", x_tester=b"\xff") == [("x-tester", "b'\\xff'")]


def test_a_call_outside_of_any_request_gets_nothing() -> None:
    assert sent([]) == []
