from __future__ import annotations

import asyncio

import grpc
import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.trace import SpanKind, StatusCode

from demo.calculator.v1 import calculator_pb2 as pb
from demo.calculator.v1 import calculator_pb2_grpc as rpc
from integration.runtime.calculator import Everything, everything, failure, numbers
from meshwright.client import channel
from meshwright.testing import resolving
from support.waiting import eventually

ROOT = "0af7651916cd43dd8448eb211c80319c"


async def chat(stub):
    async def messages():
        yield pb.ChatMessage(user="me", text="hello")

    return [answer.text async for answer in stub.Chat(messages())]


async def primes(stub):
    return [prime.value async for prime in stub.GetPrimes(pb.PrimeRequest(limit=7))]


KINDS = {
    "Calculator/Add": lambda channel: rpc.CalculatorStub(channel).Add(pb.Numbers(a=1, b=2)),
    "NumberService/GetPrimes": lambda channel: primes(rpc.NumberServiceStub(channel)),
    "NumberService/SumNumbers": lambda channel: rpc.NumberServiceStub(channel).SumNumbers(numbers(1, 2)),
    "NumberService/Chat": lambda channel: chat(rpc.NumberServiceStub(channel)),
}


@pytest.mark.parametrize("method", KINDS)
async def test_each_kind_of_call_has_a_client_span_and_a_server_span_below_it(method: str) -> None:
    async with everything(Everything()) as calculator:
        await KINDS[method](calculator.channel)
        await eventually(lambda: len(calculator.spans.spans) == 2)
        (client,), (server,) = calculator.spans.clients, calculator.spans.servers
    assert client.name == server.name == f"demo.calculator.v1.{method}"
    assert client.parent is None
    assert server.parent.span_id == client.context.span_id
    assert server.context.trace_id == client.context.trace_id
    for span in (client, server):
        assert span.status.status_code is StatusCode.UNSET
        assert span.attributes["rpc.system"] == "grpc"
        assert span.attributes["rpc.service"], span.attributes["rpc.method"] == method.split("/")
        assert span.attributes["rpc.grpc.status_code"] == 0
        assert span.resource.attributes["service.name"] == "calculator"
        assert span.resource.attributes["service.version"] == "1.2.3"
        assert span.resource.attributes["service.instance.id"] == "calculator-test"
    assert server.attributes["network.peer.address"] == "127.0.0.1"
    assert server.attributes["network.peer.port"] > 0
    assert client.attributes["server.address"] == client.attributes["service.peer.name"] == "calculator"
    assert client.attributes["meshwright.peer.instance"] == "calculator-test"
    assert client.attributes["meshwright.peer.version"] == "1.2.3"


async def test_the_spans_of_a_call_behind_a_call_are_one_trace() -> None:
    async with everything(Everything()) as back:

        async def act(context):
            await rpc.CalculatorStub(back.channel).Add(pb.Numbers())

        async with everything(Everything(act)) as front:
            await rpc.CalculatorStub(front.channel).Multiply(pb.Numbers())
    (outer,), (handler,) = front.spans.clients, front.spans.servers
    (inner,), (last,) = back.spans.clients, back.spans.servers
    assert [handler.parent.span_id, inner.parent.span_id, last.parent.span_id] == [
        outer.context.span_id,
        handler.context.span_id,
        inner.context.span_id,
    ]


async def test_a_deadline_marks_both_spans() -> None:
    servicer = Everything(lambda context: asyncio.Event().wait())
    async with everything(servicer) as calculator:
        await asyncio.wait_for(calculator.channel.channel_ready(), 60)
        await failure(rpc.CalculatorStub(calculator.channel).Multiply(pb.Numbers(), timeout=1))
        await servicer.cancelled.wait()
        await eventually(lambda: len(calculator.spans.spans) == 2)
    for span in calculator.spans.spans:
        assert span.attributes["rpc.grpc.status_code"] == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]
        assert span.status.status_code is StatusCode.ERROR
        assert span.attributes["error.type"] == "DEADLINE_EXCEEDED"


async def test_a_callers_mistake_is_an_error_for_the_caller_only() -> None:
    async with everything(Everything()) as calculator:
        await failure(rpc.NumberServiceStub(calculator.channel).SumNumbers(numbers(-1)))
    (client,), (server,) = calculator.spans.clients, calculator.spans.servers
    assert client.status.status_code is StatusCode.ERROR
    assert server.status.status_code is StatusCode.UNSET
    assert server.attributes["rpc.grpc.status_code"] == grpc.StatusCode.INVALID_ARGUMENT.value[0]


async def test_a_stream_that_the_client_leaves_early_ends_its_spans_at_once() -> None:
    servicer = Everything()
    async with everything(servicer) as calculator:
        call = rpc.NumberServiceStub(calculator.channel).GetPrimes(pb.PrimeRequest(limit=100))
        async for prime in call:
            if prime.value == 7:
                break
        await servicer.entered.wait()
        assert calculator.spans.spans == []
        call.cancel()
        (client,) = calculator.spans.clients
        await eventually(lambda: calculator.spans.servers)
        (server,) = calculator.spans.servers
    cancelled = grpc.StatusCode.CANCELLED.value[0]
    assert client.attributes["rpc.grpc.status_code"] == server.attributes["rpc.grpc.status_code"] == cancelled
    assert client.attributes.get("meshwright.peer.instance") is None


async def test_a_call_without_a_response_is_an_error_without_a_peer() -> None:
    async with everything(Everything()) as calculator:
        with resolving({}):
            lonely = channel("nobody", telemetry=calculator.telemetry)
        async with lonely:
            error = await failure(rpc.CalculatorStub(lonely).Add(pb.Numbers()))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert "no-instance-of-nobody-is-known" in (error.details() or "")
    (client,) = calculator.spans.clients
    assert client.status.status_code is StatusCode.ERROR
    assert "meshwright.peer.instance" not in client.attributes


def unsampled() -> trace.Span:
    parent = trace.SpanContext(int(ROOT, 16), 0xB7AD6B7169203331, is_remote=True, trace_flags=trace.TraceFlags(0))
    return trace.NonRecordingSpan(parent)


async def test_an_unsampled_trace_is_carried_on_without_spans() -> None:
    seen: list[str] = []

    async def note(context):
        seen.append(dict(context.invocation_metadata())["traceparent"])
        seen.append(trace.format_trace_id(trace.get_current_span().get_span_context().trace_id))

    async with everything(Everything(note)) as back:

        async def act(context):
            await rpc.CalculatorStub(back.channel).Multiply(pb.Numbers())

        async with everything(Everything(act)) as front:
            with trace.use_span(unsampled()):
                await rpc.CalculatorStub(front.channel).Multiply(pb.Numbers())
    assert front.spans.spans == back.spans.spans == []
    assert seen == [f"00-{ROOT}-b7ad6b7169203331-00", ROOT]


async def test_baggage_reaches_the_service_behind_the_service() -> None:
    seen: list[object] = []

    async def note(context):
        seen.append(baggage.get_baggage("tenant"))

    async with everything(Everything(note)) as back:

        async def act(context):
            await rpc.CalculatorStub(back.channel).Multiply(pb.Numbers())

        async with everything(Everything(act)) as front:
            for parent in (trace.INVALID_SPAN, unsampled()):
                context = baggage.set_baggage("tenant", "blue", trace.set_span_in_context(parent))
                token = otel_context.attach(context)
                await rpc.CalculatorStub(front.channel).Multiply(pb.Numbers())
                otel_context.detach(token)
    assert seen == ["blue", "blue"]


@pytest.mark.parametrize("header", ["", "nonsense", f"00-{'0' * 32}-b7ad6b7169203331-01", f"00-{ROOT}-{'0' * 16}-01"])
async def test_a_malformed_traceparent_begins_a_trace(header: str) -> None:
    async with (
        everything(Everything()) as calculator,
        grpc.aio.insecure_channel(str(calculator.address)) as plain,
    ):
        await rpc.CalculatorStub(plain).Add(pb.Numbers(), metadata=(("traceparent", header),))
    (server,) = calculator.spans.servers
    assert server.parent is None


async def test_a_spans_of_the_services_own_lies_between_server_and_client() -> None:
    async with everything(Everything()) as calculator:

        async def act(context):
            with calculator.telemetry.tracer.start_as_current_span("work"):
                await rpc.CalculatorStub(calculator.channel).Add(pb.Numbers())

        async with everything(Everything(act)) as front:
            await rpc.CalculatorStub(front.channel).Multiply(pb.Numbers())
    (work,) = calculator.spans.of(SpanKind.INTERNAL)
    assert work.parent.span_id == front.spans.servers[0].context.span_id
    assert calculator.spans.clients[0].parent.span_id == work.context.span_id
