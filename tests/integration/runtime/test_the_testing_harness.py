"""`meshwright.testing` takes nothing from the environment of the tests."""

from __future__ import annotations

import pytest

from demo.calculator.v1 import calculator_pb2 as pb
from demo.calculator.v1 import calculator_pb2_grpc as rpc
from meshwright.testing import served


class Calculator(rpc.CalculatorServicer):
    async def Add(self, request, context):
        return pb.Result(value=request.a + request.b)


@pytest.mark.parametrize(
    "variable",
    [
        "OTEL_SDK_DISABLED=true",
        "OTEL_TRACES_SAMPLER=always_off",
        "OTEL_TRACES_EXPORTER=nonsense",
        "OTEL_SERVICE_NAME=another",
        "OTEL_RESOURCE_ATTRIBUTES=service.name=another,a=b",
        "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT=1",
        "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT=1",
        "MESHWRIGHT_VERSION=9",
        "MESHWRIGHT_INSTANCE=another",
    ],
)
async def test_spans_and_identity_are_what_the_test_says(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(*variable.split("=", 1))
    async with served(rpc.add_CalculatorServicer_to_server, Calculator(), service="calculator", version="1.2") as one:
        await rpc.CalculatorStub(one.channel).Add(pb.Numbers(a=1, b=2))
    (server,), (client,) = one.spans.servers, one.spans.clients
    for span in (server, client):
        assert dict(span.resource.attributes) == {
            "service.name": "calculator",
            "service.version": "1.2",
            "service.instance.id": "calculator-test",
        }
        assert span.attributes["rpc.service"] == "demo.calculator.v1.Calculator"
        assert len(span.attributes) > 4
