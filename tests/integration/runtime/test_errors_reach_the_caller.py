from __future__ import annotations

import asyncio
import json
import logging

import grpc
import pytest
from opentelemetry.trace import StatusCode

import meshwright
from demo.calculator.v1 import calculator_pb2 as pb
from demo.calculator.v1 import calculator_pb2_grpc as rpc
from integration.runtime.calculator import Everything, everything, failure, numbers
from meshwright.errors import AlreadyExistsError
from meshwright.logs import JsonFormatter
from meshwright.testing import served


class EmailTakenError(Exception):
    pass


class ShortError(EmailTakenError):
    pass


def raising(error: BaseException):
    async def act(context):
        raise error

    return Everything(act)


@pytest.mark.parametrize("kind", meshwright.ServiceError.__subclasses__())
async def test_each_service_error_has_its_status(kind: type[meshwright.ServiceError]) -> None:
    async with everything(raising(kind("what happened", reason="WHY", metadata={"key": "value"}))) as calculator:
        error = await failure(rpc.CalculatorStub(calculator.channel).Multiply(pb.Numbers()))
    told = meshwright.error_details(error)
    assert error.code().name == told.code == kind.code
    assert (told.message, told.reason, told.domain, told.metadata) == (
        "what happened",
        "WHY",
        "calculator",
        {"key": "value"},
    )


async def test_wrong_fields_are_named_to_the_caller() -> None:
    async with everything(Everything()) as calculator:
        error = await failure(rpc.NumberServiceStub(calculator.channel).SumNumbers(numbers(1, -1)))
    assert meshwright.error_details(error).fields == {"value": "must not be negative"}


@pytest.mark.parametrize("error", [EmailTakenError("a@b"), ShortError("a@b")])
async def test_a_domain_error_means_what_the_service_says_it_means(error: Exception) -> None:
    mapping = {EmailTakenError: AlreadyExistsError}
    async with everything(raising(error), errors=mapping) as calculator:
        told = meshwright.error_details(await failure(rpc.CalculatorStub(calculator.channel).Multiply(pb.Numbers())))
    assert (told.code, told.message, told.reason) == ("ALREADY_EXISTS", "a@b", "EMAIL_TAKEN")


async def test_a_bug_leaks_nothing_and_can_be_found_by_its_trace_id(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        async with everything(raising(ValueError("secret"))) as calculator:
            error = await failure(rpc.CalculatorStub(calculator.channel).Multiply(pb.Numbers()))
        (span,) = calculator.spans.servers
    told = meshwright.error_details(error)
    assert (told.code, told.message) == ("INTERNAL", "internal error")
    assert "secret" not in str(error) + repr(error.trailing_metadata())
    assert told.request_id == format(span.context.trace_id, "032x")
    assert span.status.status_code is StatusCode.ERROR
    assert [event.name for event in span.events] == ["exception"]
    assert span.attributes["rpc.grpc.status_code"] == grpc.StatusCode.INTERNAL.value[0]
    (record,) = [item for item in caplog.records if "unhandled" in item.message]
    assert record.exc_info is not None
    assert "secret" in str(record.exc_info[1])


async def test_the_log_line_of_a_bug_carries_the_trace_id() -> None:
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler = Keep()
    handler.setFormatter(JsonFormatter({"service": "calculator", "version": "1.2.3", "instance": "i"}))
    logging.getLogger().addHandler(handler)
    try:
        async with everything(raising(ValueError("secret"))) as calculator:
            error = await failure(rpc.CalculatorStub(calculator.channel).Multiply(pb.Numbers()))
    finally:
        logging.getLogger().removeHandler(handler)
    (line,) = [entry for entry in map(json.loads, lines) if "unhandled" in entry["message"]]
    assert line["trace_id"] == meshwright.error_details(error).request_id
    assert line["span_id"]
    assert (line["service"], line["version"], line["instance"], line["level"]) == (
        "calculator",
        "1.2.3",
        "calculator-test",
        "error",
    )
    assert "ValueError: secret" in line["exception"]


async def test_a_bug_in_a_stream_ends_it_with_internal() -> None:
    async with everything(Everything()) as calculator:
        call = rpc.NumberServiceStub(calculator.channel).GetPrimes(pb.PrimeRequest(limit=-1))
        assert [(await call.read()).value for _ in range(4)] == [2, 3, 5, 7]
        error = await failure(call.read())
    assert meshwright.error_details(error).message == "internal error"


async def test_what_a_handler_aborts_with_is_respected() -> None:
    async def act(context):
        await context.abort(grpc.StatusCode.DATA_LOSS, "the disk is gone")

    async with everything(Everything(act)) as calculator:
        error = await failure(rpc.CalculatorStub(calculator.channel).Multiply(pb.Numbers()))
    assert (error.code(), error.details()) == (grpc.StatusCode.DATA_LOSS, "the disk is gone")
    assert dict(error.trailing_metadata())["meshwright-version"] == "1.2.3"


async def test_a_method_that_is_not_written_is_unimplemented() -> None:
    class Half(rpc.CalculatorServicer):
        pass

    async with served(rpc.add_CalculatorServicer_to_server, Half()) as half:
        error = await failure(rpc.CalculatorStub(half.channel).Add(pb.Numbers()))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_handler_that_is_not_async_is_refused_by_name() -> None:
    class Blocking(rpc.CalculatorServicer):
        def Add(self, request, context):
            return pb.Result()

    with pytest.raises(TypeError, match=r"demo.calculator.v1.Calculator/Add: the handler must be an async function"):
        async with served(rpc.add_CalculatorServicer_to_server, Blocking()):
            pass


@pytest.mark.parametrize(
    ("behind", "seen"),
    [
        (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "RESOURCE_EXHAUSTED"),
        (grpc.StatusCode.NOT_FOUND, "INTERNAL"),
        (grpc.StatusCode.INVALID_ARGUMENT, "INTERNAL"),
    ],
)
async def test_only_a_passing_trouble_behind_a_service_is_passed_on(behind: grpc.StatusCode, seen: str) -> None:
    async with everything(raising(grpc.aio.AioRpcError(behind, details="at the back"))) as calculator:
        error = await failure(rpc.CalculatorStub(calculator.channel).Multiply(pb.Numbers()))
    assert error.code().name == seen
    assert "at the back" not in (error.details() or "")


async def test_a_cancelled_call_cancels_its_handler() -> None:
    servicer = Everything(lambda context: asyncio.Event().wait())
    async with everything(servicer) as calculator:
        call = rpc.CalculatorStub(calculator.channel).Multiply(pb.Numbers())
        await servicer.entered.wait()
        call.cancel()
        await asyncio.wait_for(servicer.cancelled.wait(), 5)


def test_details_of_a_status_without_details_are_its_code_and_message() -> None:
    told = meshwright.error_details(grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, details="nobody"))
    assert (told.code, told.message, told.reason, told.fields) == ("UNAVAILABLE", "nobody", "", {})


def test_details_that_are_not_googles_are_ignored() -> None:
    trailers = grpc.aio.Metadata(("grpc-status-details-bin", b"\xff\xff\xff"))
    error = grpc.aio.AioRpcError(grpc.StatusCode.ABORTED, trailing_metadata=trailers, details="no")
    assert meshwright.error_details(error).code == "ABORTED"
