"""OpenTelemetry's SDK, set up as its own environment variables say.

`OTEL_TRACES_SAMPLER`, `OTEL_BSP_*`, `OTEL_SPAN_*`, `OTEL_EXPORTER_OTLP_*` are read by the SDK and the exporter
themselves; here are those that are not read when the SDK is set up by hand. Spans go to 127.0.0.1:4317, where
`meshwright traces` listens, unless a variable says otherwise.
"""

from __future__ import annotations

import logging
import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler, TraceIdRatioBased

from meshwright import optional_imports
from meshwright.config import env_field, load_config
from meshwright.errors import ValidationError, Violation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.util.types import AttributeValue

    from meshwright.telemetry.identity import Identity

log = logging.getLogger(__name__)

DEFAULT_ENDPOINT = "http://127.0.0.1:4317"
SCOPE = "meshwright"
"""The instrumentation scope of all spans of the runtime."""
DEFAULT_HTTP_ENDPOINT = "http://127.0.0.1:4318"
GRPC = "grpc"
HTTP = "http/protobuf"
_HTTP_EXPORTER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
_DEFAULT_LIMIT = 128
_EXPORTER_LOGGERS = ("opentelemetry.exporter.otlp.proto.grpc.exporter", _HTTP_EXPORTER)


@dataclass(frozen=True, slots=True)
class TracingConfig:
    """The variables of OpenTelemetry that decide whether and where spans go."""

    disabled: bool = env_field("OTEL_SDK_DISABLED", default=False)
    exporter: str = env_field("OTEL_TRACES_EXPORTER", "otlp", help="otlp or none")
    endpoint: str | None = env_field("OTEL_EXPORTER_OTLP_ENDPOINT", None)
    traces_endpoint: str | None = env_field("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", None)
    protocol: str = env_field("OTEL_EXPORTER_OTLP_PROTOCOL", GRPC, help="grpc or http/protobuf")
    traces_protocol: str | None = env_field("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", None)

    def exports(self) -> bool:
        """Whether spans leave the process; raises `ValidationError` for what this runtime cannot do."""
        problems = []
        if self.exporter not in {"otlp", "none"}:
            problems.append(Violation("OTEL_TRACES_EXPORTER", f"expected otlp or none, not {self.exporter!r}"))
        if self.speaks not in {GRPC, HTTP}:
            name = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL" if self.traces_protocol else "OTEL_EXPORTER_OTLP_PROTOCOL"
            what = f"expected {GRPC} (port 4317 of a collector) or {HTTP} (port 4318), not {self.speaks!r}"
            problems.append(Violation(name, what))
        if problems:
            raise ValidationError("the environment", problems)
        return self.exporter == "otlp" and not self.disabled

    @property
    def speaks(self) -> str:
        return self.traces_protocol or self.protocol

    def target(self) -> str:
        """Where spans go. Over HTTP the general endpoint is a base, to which each signal adds its path."""
        if self.speaks == HTTP:
            return self.traces_endpoint or f"{(self.endpoint or DEFAULT_HTTP_ENDPOINT).rstrip('/')}/v1/traces"
        return self.traces_endpoint or self.endpoint or DEFAULT_ENDPOINT


class PatientExporter(SpanExporter):
    """An exporter whose collector may be away: it says so once, and once when it is back."""

    def __init__(self, inner: SpanExporter, target: str) -> None:
        self._inner = inner
        self._target = target
        self._failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._inner.export(spans)
        failing = result is not SpanExportResult.SUCCESS
        if failing and not self._failing:
            log.warning("no collector answers at %s: spans are dropped until one does", self._target)
        elif self._failing and not failing:
            log.info("the collector at %s answers again", self._target)
        self._failing = failing
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._inner.force_flush(timeout_millis)


def resource(identity: Identity) -> Resource:
    """What each span says of its origin. `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` win."""
    return Resource.create(_attributes(identity)).merge(OTELResourceDetector().detect())


def _attributes(identity: Identity) -> dict[str, AttributeValue]:
    return {
        "service.name": identity.service,
        "service.version": identity.version,
        "service.instance.id": identity.instance,
    }


def make_provider(identity: Identity, exporter: SpanExporter | None = None) -> TracerProvider:
    """A tracer provider that exports as the environment says; or to `exporter`, each span at once, sampling all."""
    sampler = None if exporter is None else ParentBased(ALWAYS_ON)
    provider = TracerProvider(
        sampler=sampler, resource=resource(identity), shutdown_on_exit=False, id_generator=ChosenIds()
    )
    config = load_config(TracingConfig)
    if exporter is not None:
        provider.add_span_processor(SimpleSpanProcessor(exporter))
    elif config.exports():
        # Its own complaints, one for each retry of each batch, are what PatientExporter replaces.
        for name in _EXPORTER_LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        provider.add_span_processor(BatchSpanProcessor(PatientExporter(_exporter(config), config.target())))
    return provider


def isolated_provider(identity: Identity, exporter: SpanExporter) -> TracerProvider:
    """A tracer provider that takes nothing from the environment: each span goes to `exporter` at once, sampling all.

    The limits are the defaults of OpenTelemetry's specification: 128 attributes, events and links.
    """
    many, unlimited = _DEFAULT_LIMIT, SpanLimits.UNSET
    limits = SpanLimits(many, many, many, many, many, many, unlimited, unlimited)
    provider = TracerProvider(
        sampler=ParentBased(ALWAYS_ON),
        resource=Resource(_attributes(identity)),
        shutdown_on_exit=False,
        id_generator=ChosenIds(),
        span_limits=limits,
    )
    provider._disabled = False  # noqa: SLF001 - OTEL_SDK_DISABLED; there is no argument for it
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


def _exporter(config: TracingConfig) -> SpanExporter:
    if config.speaks == HTTP:
        # Looked up by name: it brings an HTTP client of its own, which who speaks gRPC need not load, nor have.
        what = f"exporting spans by {HTTP}"
        made: SpanExporter = optional_imports.load(_HTTP_EXPORTER, what, "otlp-http").OTLPSpanExporter(
            endpoint=config.target()
        )
        return made
    explicit = None if config.traces_endpoint or config.endpoint else DEFAULT_ENDPOINT
    return OTLPSpanExporter(endpoint=explicit)


class ChosenIds(RandomIdGenerator):
    """Random ids, except that the next trace id of this thread may be chosen beforehand."""

    def __init__(self) -> None:
        self._chosen = threading.local()

    def choose(self, trace_id: int) -> None:
        self._chosen.trace_id = trace_id

    def generate_trace_id(self) -> int:
        chosen: int | None = self._chosen.__dict__.pop("trace_id", None)
        return super().generate_trace_id() if chosen is None else chosen


class Sampling:
    """What can be known of a sampler without asking it for each call: that is what makes unsampled calls cheap."""

    def __init__(self, provider: TracerProvider, *, disabled: bool) -> None:
        sampler = provider.sampler
        generator = provider.id_generator
        self._ids = generator if isinstance(generator, ChosenIds) else None
        self.skips_unsampled = not disabled and _honours_unsampled_parents(sampler)
        """Whether a span below an unsampled parent is never sampled: the default of all parent-based samplers."""
        self.root_bound = None if disabled or self._ids is None or not self.skips_unsampled else _root_bound(sampler)
        """A trace without a parent is sampled if the low 64 bits of its id are below this; None: ask the sampler."""

    def choose(self, trace_id: int) -> None:
        """Make this the id of the trace that the tracer begins next."""
        if self._ids is not None:
            self._ids.choose(trace_id)


def _honours_unsampled_parents(sampler: Sampler) -> bool:
    description = str(sampler.get_description())
    off = ALWAYS_OFF.get_description()
    never = f"remoteParentNotSampled:{off}" in description and f"localParentNotSampled:{off}" in description
    return isinstance(sampler, ParentBased) and never


def _root_bound(sampler: Sampler) -> int | None:
    """The bound of a parent-based sampler whose root is one of the SDK's three."""
    description = str(sampler.get_description())
    for root, bound in ((ALWAYS_OFF, 0), (ALWAYS_ON, 2**64)):
        if f"root:{root.get_description()}," in description:
            return bound
    if not (ratio := re.search(r"root:TraceIdRatioBased\{([0-9.e-]+)\}", description)):
        return None
    return TraceIdRatioBased(float(ratio[1])).bound


def shut_down(provider: TracerProvider, seconds: float) -> None:
    """Flush and end the provider, waiting `seconds` at most.

    The thread that does it is a daemon, so that a collector that hangs cannot keep the process.
    """
    thread = threading.Thread(target=provider.shutdown, daemon=True, name="flush traces")
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        log.warning("gave up flushing traces after %g seconds", seconds)
