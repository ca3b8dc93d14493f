from __future__ import annotations

import logging
import threading
import time

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from meshwright.config import ServiceConfig, load_config
from meshwright.errors import ValidationError
from meshwright.telemetry import Telemetry
from meshwright.telemetry.recording import SpanRecorder
from meshwright.telemetry.tracing import PatientExporter, TracingConfig
from support.processes import promised_port
from support.waiting import eventually

OTEL = (
    "SDK_DISABLED",
    "TRACES_SAMPLER",
    "TRACES_SAMPLER_ARG",
    "TRACES_EXPORTER",
    "SERVICE_NAME",
    "RESOURCE_ATTRIBUTES",
)


@pytest.fixture(autouse=True)
def environ(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in OTEL:
        monkeypatch.delenv(f"OTEL_{name}", raising=False)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    return monkeypatch


def telemetry(**options) -> Telemetry:
    return Telemetry(load_config(ServiceConfig, {}, service="user", version="1.0.0", instance="user-1"), **options)


@pytest.mark.parametrize(
    ("sampler", "argument", "skips", "bound"),
    [
        (None, None, True, 2**64),
        ("parentbased_always_off", None, True, 0),
        ("parentbased_traceidratio", "0.25", True, 2**62),
        ("parentbased_traceidratio", "0.00001", True, round(0.00001 * 2**64)),
        ("traceidratio", "0.25", False, None),
        ("always_on", None, False, None),
    ],
)
def test_the_sampler_is_the_environments_and_short_cuts_hold_for_those_that_allow_them(
    environ: pytest.MonkeyPatch, sampler: str | None, argument: str | None, skips: bool, bound: int | None
) -> None:
    if sampler:
        environ.setenv("OTEL_TRACES_SAMPLER", sampler)
    if argument:
        environ.setenv("OTEL_TRACES_SAMPLER_ARG", argument)
    sampling = telemetry().sampling
    assert sampling.skips_unsampled is skips
    assert sampling.root_bound == bound


def test_a_chosen_trace_id_is_used_once() -> None:
    made = telemetry(exporter=SpanRecorder())
    made.sampling.choose(0xABC)
    first, second = (made.tracer.start_span("x").get_span_context().trace_id for _ in range(2))
    assert first == 0xABC
    assert second != 0xABC


def test_the_resource_says_who_we_are_and_the_environment_may_say_better(environ: pytest.MonkeyPatch) -> None:
    ours = telemetry().provider.resource.attributes
    assert (ours["service.name"], ours["service.version"], ours["service.instance.id"]) == ("user", "1.0.0", "user-1")
    environ.setenv("OTEL_SERVICE_NAME", "renamed")
    environ.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    theirs = telemetry().provider.resource.attributes
    assert (theirs["service.name"], theirs["deployment.environment.name"]) == ("renamed", "test")


def test_a_disabled_sdk_makes_no_spans(environ: pytest.MonkeyPatch) -> None:
    environ.setenv("OTEL_SDK_DISABLED", "true")
    made = telemetry()
    assert not made.tracer.start_span("x").is_recording()
    assert not made.sampling.skips_unsampled


@pytest.mark.parametrize(
    ("name", "value"), [("OTEL_TRACES_EXPORTER", "zipkin"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")]
)
def test_what_the_runtime_cannot_export_to_is_refused_by_name(
    environ: pytest.MonkeyPatch, name: str, value: str
) -> None:
    environ.setenv(name, value)
    with pytest.raises(ValidationError, match=rf"{name}: expected .*not '{value}'"):
        telemetry()


@pytest.mark.parametrize(
    ("environment", "target"),
    [
        ({}, "http://127.0.0.1:4317"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317"}, "http://c:4317"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, "http://127.0.0.1:4318/v1/traces"),
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_ENDPOINT": "https://c/base/"},
            "https://c/base/v1/traces",
        ),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/x"},
            "http://c/x",
        ),
    ],
)
def test_spans_go_to_the_endpoint_of_their_protocol(environment: dict[str, str], target: str) -> None:
    assert load_config(TracingConfig, environment).target() == target


class Fickle(SpanExporter):
    def __init__(self, *results: SpanExportResult) -> None:
        self._results = iter(results)

    def export(self, spans):
        return next(self._results)


def test_a_collector_that_is_away_is_mentioned_once_and_once_when_it_is_back(caplog) -> None:
    failed, good = SpanExportResult.FAILURE, SpanExportResult.SUCCESS
    exporter = PatientExporter(Fickle(failed, failed, failed, good, good), "here:4317")
    with caplog.at_level(logging.INFO):
        for _ in range(5):
            exporter.export([])
    assert [record.message for record in caplog.records] == [
        "no collector answers at here:4317: spans are dropped until one does",
        "the collector at here:4317 answers again",
    ]


def others() -> set[threading.Thread]:
    """The threads of this process but those of the event loop."""
    return {thread for thread in threading.enumerate() if not thread.name.startswith("asyncio")}


async def test_an_unreachable_collector_delays_the_end_by_a_few_seconds_at_most(
    environ: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    environ.setenv("OTEL_TRACES_EXPORTER", "otlp")
    environ.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{promised_port()}")
    before = others()
    made = telemetry()
    made.tracer.start_span("lost", kind=trace.SpanKind.CLIENT).end()
    began = time.monotonic()
    await made.close()
    assert time.monotonic() - began < 4
    assert len([record for record in caplog.records if record.name.startswith("opentelemetry")]) == 0
    # What was given up goes on for a while in its thread, and draws random numbers there: not beside other tests.
    await eventually(lambda: others() <= before, 30)
