"""`meshwright call` against a real gRPC server that it knows nothing of."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_reflection.v1alpha import reflection

from demo.calculator.v1 import calculator_pb2 as pb
from demo.calculator.v1 import calculator_pb2_grpc as rpc
from meshwright.errors import MeshwrightError, ValidationError
from meshwright.local.mesh.reflection_client import CallFailedError, ReflectionClient, read_json
from support.mesh.up import command
from support.processes import promised_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class Calculator(rpc.CalculatorServicer):
    async def Add(self, request: Any, context: Any) -> Any:
        context.set_trailing_metadata((("meshwright-instance", "calculator-7"), ("meshwright-version", "1.2.3")))
        return pb.Result(value=request.a + request.b + len(dict(context.invocation_metadata()).get("x-extra", "")))

    async def Multiply(self, request: Any, context: Any) -> Any:
        packed = any_pb2.Any()
        packed.Pack(error_details_pb2.ErrorInfo(reason="TOO_LARGE", domain="calculator"))
        status = status_pb2.Status(code=11, message="too large", details=[packed])
        details = (("grpc-status-details-bin", status.SerializeToString()),)
        await context.abort(grpc.StatusCode.OUT_OF_RANGE, "too large", details)


class NumberService(rpc.NumberServiceServicer):
    async def GetPrimes(self, request: Any, context: Any) -> Any:
        for prime in (2, 3, 5):
            yield pb.Prime(value=prime)

    async def SumNumbers(self, request_iterator: Any, context: Any) -> Any:
        return pb.Sum(value=sum([number.value async for number in request_iterator]))


@pytest.fixture
async def address() -> AsyncIterator[str]:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    rpc.add_CalculatorServicer_to_server(Calculator(), server)
    rpc.add_NumberServiceServicer_to_server(NumberService(), server)
    names = ["demo.calculator.v1.Calculator", "demo.calculator.v1.NumberService", reflection.SERVICE_NAME]
    reflection.enable_server_reflection(names, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


@pytest.fixture
async def caller(address: str) -> AsyncIterator[ReflectionClient]:
    async with grpc.aio.insecure_channel(address) as channel:
        yield ReflectionClient(channel, timeout=10)


async def answers(caller: ReflectionClient, method: str, *requests: Any, **metadata: str) -> list[Any]:
    found = await caller.find(method)
    return [answer async for answer in caller.call(found, requests, tuple(metadata.items()))]


@pytest.mark.parametrize("name", ["Add", "Calculator/Add", "Calculator.Add", "demo.calculator.v1.Calculator/Add"])
async def test_a_method_is_found_by_each_of_its_names(caller: ReflectionClient, name: str) -> None:
    assert await answers(caller, name, {"a": 1, "b": 2}) == [{"value": 3.0}]
    assert caller.trailing["meshwright-instance"] == "calculator-7"


async def test_streams_give_a_message_for_each_that_comes(caller: ReflectionClient) -> None:
    assert await answers(caller, "GetPrimes", {"limit": 5}) == [{"value": 2}, {"value": 3}, {"value": 5}]


async def test_streams_take_messages_one_by_one_or_as_a_list(caller: ReflectionClient) -> None:
    assert await answers(caller, "SumNumbers", {"value": 1}, {"value": 2}) == [{"value": 3.0}]
    assert await answers(caller, "SumNumbers", [{"value": 1}, {"value": 2}, {"value": 4}]) == [{"value": 7.0}]


async def test_an_unknown_method_is_refused_with_what_comes_near(caller: ReflectionClient) -> None:
    with pytest.raises(ValidationError, match=r"Ad: no such method; did you mean Add\?"):
        await caller.find("Ad")


async def test_a_wrong_field_is_refused_with_the_right_ones(caller: ReflectionClient) -> None:
    with pytest.raises(ValidationError, match=r'has no field named "x".*Its fields: a, b'):
        await answers(caller, "Add", {"x": 1})


@pytest.mark.parametrize("value", [[], [1], 3, None, "x"])
async def test_a_request_that_is_no_object_is_refused(caller: ReflectionClient, value: object) -> None:
    method = await caller.find("Add")
    with pytest.raises(ValidationError, match=r"a message is a JSON object: \{\.\.\.\}.* Its fields: a, b"):
        _ = [answer async for answer in caller.call(method, [value])]


async def test_one_message_is_enough_for_a_unary_method(caller: ReflectionClient) -> None:
    with pytest.raises(ValidationError, match="Add: takes one message, not 2"):
        await answers(caller, "Add", {"a": 1}, {"b": 1})
    assert await answers(caller, "Add") == [{"value": 0.0}]


async def test_a_failure_has_its_code_message_and_details(caller: ReflectionClient) -> None:
    with pytest.raises(CallFailedError) as caught:
        await answers(caller, "Multiply", {"a": 1})
    assert str(caught.value) == (
        'OUT_OF_RANGE: too large\n  {"ErrorInfo": {"reason": "TOO_LARGE", "domain": "calculator"}}'
    )


async def test_a_server_without_reflection_is_named_as_such() -> None:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            with pytest.raises(MeshwrightError, match="the server has no reflection service"):
                await ReflectionClient(channel, 10).find("Add")
    finally:
        await server.stop(None)


def test_json_values_follow_one_another() -> None:
    assert read_json('{"a": 1}\n{"a": 2} [3]') == [{"a": 1}, {"a": 2}, [3]]
    assert read_json("  ") == []
    with pytest.raises(ValidationError, match="line 2, column 2: is not JSON"):
        read_json('{"a": 1}\n{')


async def test_the_command_prints_json_and_who_answered(address: str, tmp_path: Path) -> None:
    code, text = await command(
        tmp_path, "call", "any", "Add", '{"a": 1, "b": 2}', "--address", address, "-H", "x-extra=ab"
    )
    answer, who = text.splitlines()
    assert code == 0
    assert json.loads(answer) == {"value": 5.0}
    assert who.startswith("calculator-7 1.2.3, ")
    assert who.endswith(" ms")


async def test_the_command_says_what_failed_in_one_paragraph(address: str, tmp_path: Path) -> None:
    code, text = await command(tmp_path, "call", "any", "Multiply", "--address", address)
    assert code == 1
    assert text == (
        'error: OUT_OF_RANGE: too large\n  {"ErrorInfo": {"reason": "TOO_LARGE", "domain": "calculator"}}\n'
    )
    dead = f"127.0.0.1:{promised_port()}"
    code, text = await command(tmp_path, "call", "any", "Add", "--address", dead)
    assert code == 1
    assert text.startswith("error: UNAVAILABLE: ")
    assert "Traceback" not in text
