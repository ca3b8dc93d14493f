"""However a call ends: its caller, both metrics, both spans and the log say the same."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.trace import StatusCode

from demo.calculator.v1 import calculator_pb2 as pb
from demo.calculator.v1 import calculator_pb2_grpc as rpc
from integration.runtime.calculator import everything, numbers
from meshwright.calls.spans import SERVER_FAULTS
from programs.endings import ENDINGS, Ending, Ends
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from meshwright.testing import Served

CODES = {code.value[0]: code.name for code in grpc.StatusCode}


async def messages() -> AsyncIterator[pb.ChatMessage]:
    yield pb.ChatMessage(text="hello")


METHODS = {
    "Calculator/Multiply": lambda channel, **more: rpc.CalculatorStub(channel).Multiply(pb.Numbers(), **more),
    "NumberService/SumNumbers": lambda channel, **more: rpc.NumberServiceStub(channel).SumNumbers(numbers(1), **more),
    "NumberService/GetPrimes": lambda channel, **more: rpc.NumberServiceStub(channel).GetPrimes(
        pb.PrimeRequest(), **more
    ),
    "NumberService/Chat": lambda channel, **more: rpc.NumberServiceStub(channel).Chat(messages(), **more),
}
STREAMS = ("NumberService/GetPrimes", "NumberService/Chat")
Script = tuple[str, Ending, int]


class Log(logging.Handler):
    """The server's line of each call, as (method, status)."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: Counter[tuple[str, str]] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno == logging.DEBUG:
            method, status, *_ = record.args  # type: ignore[misc]
            self.lines[str(method).removeprefix("demo.calculator.v1."), str(status)] += 1


@contextmanager
def logged() -> Iterator[Log]:
    logger, log = logging.getLogger("meshwright.calls.server"), Log()
    before, passed_on = logger.level, logger.propagate
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(log)
    try:
        yield log
    finally:
        logger.removeHandler(log)
        logger.setLevel(before)
        logger.propagate = passed_on


async def seen_by_caller(served: Served, servicer: Ends, number: str, script: Script) -> tuple[str, str, str]:
    """Make the call; its method, status and message."""
    method, ending, _ = script
    call: Any = METHODS[method](served.channel, timeout=ending.timeout, metadata=(("script", number),))
    reading = asyncio.ensure_future(read(call))
    if ending.cancels:
        await servicer.entered[number].wait()
        call.cancel()
    await asyncio.wait([reading])
    error = None if reading.cancelled() else reading.exception()
    code = await call.code()
    assert (error is None or reading.cancelled()) == (code.name in {"OK", "CANCELLED"}), (error, code)
    return method, code.name, await call.details() or ""


async def read(call: Any) -> None:
    if hasattr(call, "__aiter__"):
        async for _ in call:
            pass
    else:
        await call


def counted(served: Served, side: str) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for family in served.telemetry.metrics.registry.collect():
        for sample in family.samples:
            if sample.name == "grpc_requests_total" and sample.labels["side"] == side:
                method = sample.labels["method"].removeprefix("demo.calculator.v1.")
                found[method, sample.labels["status"]] += int(sample.value)
    return found


def traced(spans: list[Any], faults: frozenset[grpc.StatusCode]) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for span in spans:
        code = CODES[span.attributes["rpc.grpc.status_code"]]
        assert (span.status.status_code is StatusCode.ERROR) == (grpc.StatusCode[code] in faults)
        found[span.name.removeprefix("demo.calculator.v1."), code] += 1
    return found


async def run(scripts: list[Script]) -> None:
    """Make all these calls at once; whatever speaks of them must say what their callers saw, and that be right."""
    numbered = {str(number): script for number, script in enumerate(scripts)}
    servicer = Ends({number: (ending, count) for number, (_, ending, count) in numbered.items()})
    with logged() as log:
        async with everything(servicer, grace=0.0) as served:
            outcomes = await asyncio.gather(
                *(seen_by_caller(served, servicer, number, script) for number, script in numbered.items())
            )
            seen = Counter((method, code) for method, code, _ in outcomes)
            await eventually(lambda: counted(served, "server").total() == len(scripts))
            for (_, ending, _), (_, code, message) in zip(scripts, outcomes, strict=True):
                assert (ending.name, code) == (ending.name, ending.expected)
                assert "secret" not in message
                assert code != "INTERNAL" or message == "internal error"
            assert counted(served, "server") == counted(served, "client") == log.lines == seen
            assert traced(served.spans.servers, SERVER_FAULTS) == seen
            clients = frozenset(grpc.StatusCode) - {grpc.StatusCode.OK}
            assert traced(served.spans.clients, clients) == seen
            pairs = {span.context.span_id: span for span in served.spans.clients}
            for span in served.spans.servers:
                mine = span.attributes["rpc.grpc.status_code"]
                assert pairs[span.parent.span_id].attributes["rpc.grpc.status_code"] == mine


@pytest.mark.parametrize("method", METHODS)
async def test_each_ending_of_each_kind_of_method_is_told_alike(method: str) -> None:
    counts = (0, 2) if method in STREAMS else (0,)
    for first in range(0, len(ENDINGS), 20):
        await run([(method, ending, sent) for ending in ENDINGS[first : first + 20] for sent in counts])


@settings(max_examples=12, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(METHODS)), st.sampled_from(ENDINGS), st.integers(0, 3)),
        min_size=1,
        max_size=24,
    )
)
async def test_any_mixture_of_calls_is_told_alike(scripts: list[Script]) -> None:
    await run(scripts)
